package nn_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A split is a block applied to a batch in parts of at most n samples.
type split struct {
	y, dx, dw, db []float32
	peak          int // memory of the pass
}

// runParts is the pass and its gradient on a backend of its own: conv, ReLU, conv, in two layers.
func runParts(n int, recompute bool) split {
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	wide := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 64, Kernel: 3, Pad: 1, Spectral: true})
	back := nn.NewConv2D(nn.ConvConfig{In: 64, Out: 4, Kernel: 3, Pad: 1, Stride: 2})
	nn.Init(s, nn.Join(nn.Prefixed("wide", wide), nn.Prefixed("back", back)), 1)
	data := make([]float32, 7*16*16*3)
	for i := range data {
		data[i] = float32(i%11)/5 - 1
	}
	g := autodiff.NewGraph(b)
	defer g.Close()
	c := nn.NewCtx(g, nn.Train, nn.List(wide), nn.List(back))
	c.Recompute = recompute
	x := g.Leaf(tensor.FromSlice(s, data, 7, 16, 16, 3))
	y := c.Parts(x, n, func(x *autodiff.Value) *autodiff.Value {
		h := wide.ForwardReLU(c, x, nil)
		defer h.Done()
		return back.Forward(c, h)
	})
	out := split{y: tensor.ToHost[float32](y.Tensor())}
	d := autodiff.Grad(autodiff.Mean(autodiff.Square(y)),
		[]*autodiff.Value{x, c.Value(wide.Weight), c.Value(back.Bias)})
	out.dx, out.dw = tensor.ToHost[float32](d[0].Tensor()), tensor.ToHost[float32](d[1].Tensor())
	out.db, out.peak = tensor.ToHost[float32](d[2].Tensor()), b.Memory().Peak
	return out
}

// partsBound is the largest difference between gradients summed over parts and at once, relative to
// the largest gradient: sums of some 10³ products, in another order.
const partsBound = 1e-5

// TestParts: a block in parts gives the whole's values, its gradients up to rounding, the same bits
// recomputed, and takes less memory.
func TestParts(t *testing.T) {
	whole := runParts(7, false)
	for _, n := range []int{1, 2, 3, 6} {
		kept, again := runParts(n, false), runParts(n, true)
		for what, v := range map[string][3][]float32{"y": {whole.y, kept.y, again.y},
			"dx": {whole.dx, kept.dx, again.dx}, "dw": {whole.dw, kept.dw, again.dw},
			"db": {whole.db, kept.db, again.db}} {
			if !slices.Equal(v[1], v[2]) {
				t.Errorf("parts of %d: recomputed, %s has other bits", n, what)
			}
			most, off := 0.0, 0.0
			for i, w := range v[0] {
				most = max(most, math.Abs(float64(w)))
				off = max(off, math.Abs(float64(w-v[1][i])))
			}
			if !(off <= partsBound*most) || most == 0 {
				t.Errorf("parts of %d: %s is off by %g of %g", n, what, off, most)
			}
		}
		if n == 1 && (kept.peak >= whole.peak || again.peak >= kept.peak*3/4) {
			t.Errorf("parts of %d: peak %d bytes, recomputed %d, whole %d", n, kept.peak, again.peak,
				whole.peak)
		}
	}
}

// TestPartsAreNoBatch: batch statistics of a part would be no batch's.
func TestPartsAreNoBatch(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	l := nn.NewBatchNorm2D(3)
	nn.Init(s, l, 1)
	g := autodiff.NewGraph(b)
	defer g.Close()
	err := tensor.Try(func() {
		c := nn.NewCtx(g, nn.Train)
		c.Parts(g.Zeros(tensor.F32, 4, 2, 2, 3), 2, func(x *autodiff.Value) *autodiff.Value {
			return l.Forward(c, x)
		})
	})
	var e *tensor.Error
	if !errors.As(err, &e) || e.Op != "Ctx.Parts" {
		t.Errorf("batch norm in parts: %v", err)
	}
}

// TestPartsOfNothing: parts without a sample are an error of the caller's.
func TestPartsOfNothing(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	g := autodiff.NewGraph(b)
	defer g.Close()
	err := tensor.Try(func() {
		nn.NewCtx(g, nn.Eval).Parts(g.Zeros(tensor.F32, 2, 3), 0, autodiff.ReLU)
	})
	var e *tensor.Error
	if !errors.As(err, &e) || e.Op != "Ctx.Parts" {
		t.Errorf("parts of 0 samples: %v", err)
	}
}
