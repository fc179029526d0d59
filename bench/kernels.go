package bench

import (
	"fmt"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/conv"
	"afterimage/tensor/cpu/gemm"
)

// Kernels measures single kernels on b: matrix products, the three directions of every convolution
// of the main job's networks, and what moves memory. Rows come in this order.
func Kernels(b *cpu.Backend, o Options) []Row {
	m := newMeter(b, o)
	m.bounds()
	m.matmuls()
	m.convolutions()
	m.memory()
	return m.rows
}

// copyBytes is the size of the copy in the table's first rows: far beyond any cache of a core.
const copyBytes = 256 << 20

// bounds are the machine's own rows: what the fractions are fractions of.
func (m *meter) bounds() {
	threads := fmt.Sprintf("%d threads", m.b.Threads())
	if m.wants("peak FMA", threads) {
		p := Peak(m.b)
		m.add(Row{Name: "peak FMA", Shape: threads, Runs: 1, Rate: p.Wall, Unit: FLOPs,
			Bound: p.Wall, Fraction: 1,
			CPUFraction: 1})
	}
	if m.wants("copy", threads) {
		p := CopyRate(m.b, copyBytes)
		m.add(Row{Name: "copy", Shape: threads, Runs: 1, Rate: p.Wall, Unit: Bytes, Bound: p.Wall,
			Fraction:    1,
			CPUFraction: 1})
	}
}

// matmuls: squares, and the skinny products that convolutions of the networks would be as matrices
// (reference measurements of other libraries use the same).
func (m *meter) matmuls() {
	for _, s := range [][3]int{{256, 256, 256}, {384, 384, 384}, {512, 512, 512}, {768, 768, 768},
		{1024, 1024, 1024},
		{64, 1024, 576}, {64, 3136, 576}, {256, 784, 1152}} {
		rows, cols, k := s[0], s[1], s[2]
		name, shape := "sgemm", fmt.Sprintf("%d×%d×%d", rows, cols, k)
		if !m.wants(name, shape) {
			continue
		}
		a, b, c := random(rows*k, "a"), random(k*cols, "b"), make([]float32, rows*cols)
		m.flops(name, shape, 2*float64(rows)*float64(cols)*float64(k), func() {
			gemm.SGEMM(m.b.Pool(), false, false, rows, cols, k, 1, a, k, b, cols, 0, c, cols)
		})
	}
}

// convolutions counts taps in the padding as work, as is usual: on small images a kernel that
// leaves them out can pass the peak.
func (m *meter) convolutions() {
	for _, s := range convShapes(m.b) {
		p, text := m.b.Pool(), describe(s.Shape)
		if !m.wants("conv forward", text) && !m.wants("conv input-grad", text) &&
			!m.wants("conv weight-grad", text) {
			continue
		}
		x, w := random(s.N*s.H*s.W*s.C, "x"), random(s.O*s.KH*s.KW*s.C/s.Groups, "w")
		y := random(s.N*s.OutH()*s.OutW()*s.O, "y")
		m.flops("conv forward", text, s.FLOPs(), func() { s.Forward(p, y, x, w, conv.Epilogue{}) })
		m.flops("conv input-grad", text, s.FLOPs(), func() { s.InputGrad(p, x, y, w) })
		m.flops("conv weight-grad", text, s.FLOPs(), func() { s.WeightGrad(p, w, x, y) })
	}
}

// memory measures what moves memory, on an activation of ResNet-18-CIFAR (16.8 MB, beyond a core's
// caches) and of ResNet-20 (8.4 MB). The bytes of a row are those of its passes with every operand
// read once and every result written once in each.
func (m *meter) memory() {
	for _, s := range [][]int{{64, 32, 32, 64}, {128, 32, 32, 16}} {
		scope := tensor.NewScope(m.b)
		t := newTensors(scope, s)
		m.normRows(t)
		m.elementRows(t)
		m.resampleRows(t)
		scope.Close()
	}
	m.softmaxRows()
	m.optimizerRows()
}

// tensors are the operands of the memory rows, all of one shape, and per-channel vectors.
type tensors struct {
	scope                 *tensor.Scope
	shape                 string
	bytes                 int
	x, y, z, w            *tensor.Tensor
	gamma, beta, mean, vv *tensor.Tensor
	rstd, dgamma, dbeta   *tensor.Tensor
}

func newTensors(s *tensor.Scope, shape []int) *tensors {
	n, c := tensor.Shape(shape).Size(), shape[len(shape)-1]
	full := func(name string) *tensor.Tensor {
		return tensor.FromSlice(s, random(n, name),
			shape...)
	}
	channel := func(name string) *tensor.Tensor { return tensor.FromSlice(s, random(c, name), c) }
	return &tensors{scope: s, shape: fmt.Sprintf("%d×%d²×%d", shape[0], shape[1], c), bytes: 4 * n,
		x: full("x"), y: full("y"), z: full("z"), w: full("w"), gamma: channel("gamma"),
		beta: channel("beta"),
		mean: channel("mean"), vv: channel("var"), rstd: channel("rstd"),
		dgamma: channel("dgamma"), dbeta: channel("dbeta")}
}

// normRows: batch normalisation in training reads x twice, for the statistics and for the result;
// its gradient reads x and dy (and y, for the mask of the ReLU) twice.
func (m *meter) normRows(t *tensors) {
	b := m.b
	m.bytes("batch norm forward", t.shape, 3*t.bytes, func() {
		b.NormStats(t.mean, t.vv, t.rstd, t.x, 1e-5)
		b.NormApply(t.y, t.x, t.gamma, t.beta, nil, false)
	})
	m.bytes("BN+ReLU+add forward", t.shape, 4*t.bytes, func() {
		b.NormStats(t.mean, t.vv, t.rstd, t.x, 1e-5)
		b.NormApply(t.y, t.x, t.gamma, t.beta, t.z, true)
	})
	m.bytes("batch norm backward", t.shape, 5*t.bytes, func() {
		b.NormBackward(t.w, t.dgamma, t.dbeta, nil, t.z, t.x, nil, t.mean, t.rstd, t.gamma)
	})
	m.bytes("BN+ReLU backward", t.shape, 7*t.bytes, func() {
		b.NormBackward(t.w, t.dgamma, t.dbeta, nil, t.z, t.x, t.y, t.mean, t.rstd, t.gamma)
	})
	dres := t.scope.Like(t.x)
	m.bytes("BN+ReLU+add backward", t.shape, 8*t.bytes, func() {
		b.NormBackward(t.w, t.dgamma, t.dbeta, dres, t.z, t.x, t.y, t.mean, t.rstd, t.gamma)
	})
	dres.Free()
}

func (m *meter) elementRows(t *tensors) {
	b := m.b
	m.bytes("ReLU", t.shape, 2*t.bytes, func() { b.Unary(tensor.ReLU, tensor.Attr{}, t.y, t.x) })
	m.bytes("ReLU gradient", t.shape, 3*t.bytes, func() {
		b.Binary(tensor.ReLUMask, t.w, t.x,
			t.y)
	})
	m.bytes("add", t.shape, 3*t.bytes, func() { b.Binary(tensor.Add, t.w, t.x, t.y) })
	m.bytes("tanh", t.shape, 2*t.bytes, func() { b.Unary(tensor.Tanh, tensor.Attr{}, t.y, t.x) })
	m.bytes("bias gradient", t.shape, t.bytes, func() {
		sum := t.scope.New(tensor.F32, 1, 1, 1, t.x.Dim(-1))
		b.Reduce(tensor.Sum, sum, t.x, []int{0, 1, 2})
		sum.Free()
	})
}

func (m *meter) resampleRows(t *tensors) {
	b, n, h, c := m.b, t.x.Dim(0), t.x.Dim(1), t.x.Dim(3)
	half := t.scope.New(tensor.F32, n, h/2, h/2, c)
	idx := t.scope.New(tensor.I32, n, h/2, h/2, c)
	two := tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2}
	moved := t.bytes + t.bytes/4
	m.bytes("average pool 2×2", t.shape, moved, func() { b.AvgPool(half, t.x, two) })
	m.bytes("average pool gradient", t.shape, moved, func() { b.AvgPoolGrad(t.y, half, two) })
	m.bytes("max pool 2×2", t.shape, moved+t.bytes/4, func() { b.MaxPool(half, idx, t.x, two) })
	m.bytes("max pool gradient", t.shape, moved+t.bytes/4, func() { b.PoolScatter(t.y, half, idx) })
	m.bytes("upsample ×2", t.shape, moved, func() { b.Upsample(t.y, half, 2) })
	m.bytes("upsample gradient", t.shape, moved, func() { b.UpsampleGrad(half, t.y, 2) })
	half.Free()
	idx.Free()
}

// softmaxRows: attention's rows at 32 pixels, and the class scores of a large batch.
func (m *meter) softmaxRows() {
	for _, s := range [][2]int{{8192, 256}, {10000, 1000}} {
		shape := fmt.Sprintf("%d×%d", s[0], s[1])
		if !m.wants("softmax", shape) {
			continue
		}
		scope := tensor.NewScope(m.b)
		x := tensor.FromSlice(scope, random(s[0]*s[1], "x"), s[0], s[1])
		y := scope.Like(x)
		m.bytes("softmax", shape, 2*x.Bytes(), func() { m.b.Softmax(false, y, x) })
		scope.Close()
	}
}

// optimizerRows: one update of ResNet-18's 11.2 million parameters, in a single tensor.
func (m *meter) optimizerRows() {
	const n = 11_173_962
	shape := fmt.Sprintf("%.1f M parameters", n/1e6)
	if !m.wants("SGD", shape) && !m.wants("Adam", shape) && !m.wants("EMA", shape) {
		return
	}
	s := tensor.NewScope(m.b)
	defer s.Close()
	one := func(name string) []*tensor.Tensor {
		return []*tensor.Tensor{tensor.FromSlice(s,
			random(n, name), n)}
	}
	p, g, u, v := one("p"), one("g"), one("m"), one("v")
	lr, step := tensor.FromSlice(s, []float32{1e-3}, 1), tensor.FromSlice(s, []int32{3}, 1)
	decay := tensor.FromSlice(s, []float32{0.999}, 1)
	m.bytes("SGD", shape, 5*4*n, func() {
		m.b.SGD(tensor.SGDParams{Momentum: 0.9, WeightDecay: 5e-4}, p, g, u, lr)
	})
	m.bytes("Adam", shape, 7*4*n, func() {
		m.b.Adam(tensor.AdamParams{Beta1: 0.5, Beta2: 0.999, Eps: 1e-8}, p, g, u, v, lr, step)
	})
	m.bytes("EMA", shape, 3*4*n, func() { m.b.Lerp(u, p, decay) })
}
