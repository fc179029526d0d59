package autodiff_test

import (
	"math"
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A bf16Net is a function of an image x [2 6 6 4] and F32 parameters, which computes in x's dtype.
// Casts of its parameters to that dtype are its own.
type bf16Net struct {
	name   string
	shapes [][]int // of the parameters
	f      func(x value, p vals) value
}

// like casts a parameter to x's dtype.
func like(p, x value) value { return ad.Cast(p, x.DType()) }

// bf16Nets use every op that is more to BF16 than its kernel: those with F32 operands beside it,
// and those whose VJP is composed.
func bf16Nets() []bf16Net {
	same := tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		DilH: 1, DilW: 1, Groups: 1}
	two := tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2}
	return []bf16Net{
		{"convolution with bias, residual and ReLU", [][]int{{4, 3, 3, 4}, {4}},
			func(x value, p vals) value {
				return ad.Conv2DBiasAct(x, like(p[0], x), p[1], x, true, same)
			}},
		{"batch norm", [][]int{{4}, {4}}, func(x value, p vals) value {
			y, _ := ad.BatchNorm(x, p[0], p[1], 1e-5)
			return y
		}},
		{"batch norm with residual and ReLU", [][]int{{2, 4}, {2, 4}}, func(x value, p vals) value {
			y, _ := ad.BatchNormReLU(x, p[0], p[1], x, 1e-5)
			return y
		}},
		{"batch norm, enlarged", [][]int{{2, 4}, {2, 4}}, func(x value, p vals) value {
			y, _ := ad.BatchNormReLUUpsample(x, p[0], p[1], 1e-5, 2)
			return y
		}},
		{"layer norm", [][]int{{4}, {4}}, func(x value, p vals) value {
			return ad.LayerNorm(x, p[0], p[1], 1e-2)
		}},
		{"scale and shift", [][]int{{2, 4}, {2, 4}}, func(x value, p vals) value {
			return ad.ScaleShift(x, p[0], p[1], x, true)
		}},
		{"pooling", nil, func(x value, _ vals) value {
			return ad.Concat(3, ad.AvgPool(x, two), ad.MaxPool(x, two))
		}},
		{"attention", [][]int{{4, 1, 1, 4}, {1}}, func(x value, p vals) value {
			q := ad.Reshape(ad.Conv2D(x, like(p[0], x), tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1,
				DilW: 1, Groups: 1}), 2, 36, 4)
			k := ad.Reshape(x, 2, 36, 4)
			a := ad.Softmax(ad.MatMul(q, k, false, true))
			return ad.Add(k, ad.Mul(like(p[1], x), ad.MatMul(a, k, false, false)))
		}},
		{"leaky slice", nil, func(x value, _ vals) value {
			y := ad.LeakyReLU(ad.Slice(x, []int{0, 0, 0, 0}, []int{2, 6, 6, 4}, []int{1, 2, 2, 1}), 0.2)
			return ad.Pad(y, []int{0, 0, 0, 1}, []int{0, 0, 0, 1})
		}},
	}
}

// bf16Gradient is how far a gradient through two or three ops in BF16 may be from that in F64, as
// the norm of the difference over the norm: each number on the way is off by up to 2⁻⁸, in random
// directions, and some decisions of a ReLU or a maximum fall otherwise.
const bf16Gradient = 5e-2

// gradients returns the gradients of ⟨net(x), weights⟩ for x and the parameters, after a cast of x
// to dt, and, with second, those of the sum of their squares.
func (n bf16Net) gradients(t *testing.T, dt tensor.DType, second bool) [][]float64 {
	t.Helper()
	wide := dt
	if dt == tensor.BF16 {
		wide = tensor.F32
	}
	g := ad.NewGraph(ref.New(ref.WithPoison()))
	defer g.Close()
	leaf := func(seed uint32, shape ...int) value {
		in := gradcheck.Normal(seed, shape...)
		v := g.Scope().New(wide, shape...)
		v.SetFloats(in.Data)
		return g.Leaf(v)
	}
	xs := vals{leaf(1, 2, 6, 6, 4)}
	for i, s := range n.shapes {
		xs = append(xs, leaf(uint32(i+2), s...))
	}
	y := ad.Cast(n.f(ad.Cast(xs[0], dt), xs[1:]), wide)
	loss := ad.Sum(ad.Mul(y, leaf(99, y.Shape()...)))
	var grads vals
	if second {
		penalty := g.Scalar(wide, 0)
		for _, d := range ad.Grad(loss, xs, ad.CreateGraph()) {
			penalty = ad.Add(penalty, ad.Sum(ad.Square(d)))
		}
		loss = penalty
	}
	grads = ad.Grad(loss, xs)
	out := make([][]float64, len(grads))
	for i, d := range grads {
		if d.DType() != wide {
			t.Errorf("%s: gradient %d is %v, expected %v", n.name, i, d.DType(), wide)
		}
		out[i] = d.Tensor().Floats()
	}
	return out
}

// TestBF16WeightGradients takes the gradient of a weight that was rounded, by either way, and that
// two products read, and wants it as exact as sums in F32 are: not on bfloat16's grid.
func TestBF16WeightGradients(t *testing.T) {
	const exact = 1e-6 // some roundings of 6e-8
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	for name, n := range map[string]struct {
		x, w []int
		f    func(x, w value) value
	}{
		"product": {[]int{32, 9}, []int{4, 9}, func(x, w value) value {
			return ad.MatMul(x, w, false, true)
		}},
		"product from the left": {[]int{2, 9, 32}, []int{2, 9, 4}, func(x, w value) value {
			return ad.MatMul(w, x, true, false)
		}},
		"convolution": {[]int{2, 6, 6, 3}, []int{4, 3, 3, 3}, func(x, w value) value {
			return ad.Conv2DBiasAct(x, w, nil, nil, false, p)
		}},
		"transposed convolution": {[]int{2, 4, 4, 4}, []int{4, 3, 3, 3}, func(x, w value) value {
			return ad.Conv2DInputGrad(x, w, 6, 6, p)
		}},
		"addition to every pixel": {[]int{2, 6, 6, 4}, []int{4}, func(x, w value) value {
			return ad.Add(x, w)
		}},
	} {
		gradient := func(dt, wide tensor.DType, spectral bool) []float64 {
			g := ad.NewGraph(ref.New(ref.WithPoison()))
			defer g.Close()
			onGrid := func(seed uint32, shape ...int) value {
				v, half := g.Scope().New(wide, shape...), g.Scope().New(tensor.BF16, shape...)
				half.SetFloats(gradcheck.Normal(seed, shape...).Data)
				v.SetFloats(half.Floats())
				return g.Leaf(v)
			}
			x, w := onGrid(1, n.x...), onGrid(2, n.w...)
			x16, w16 := ad.Cast(x, dt), ad.Cast(w, dt)
			if spectral {
				w16 = quotient(w, onGrid(4, 1, n.w[0]).Detach(),
					onGrid(5, 1, tensor.Shape(n.w[1:]).Size()).Detach(), dt)
			}
			y := ad.Add(n.f(x16, w16), n.f(ad.Scale(x16, 0.5), w16))
			y = ad.Mul(ad.Cast(y, wide), onGrid(3, y.Shape()...))
			return ad.Grad(ad.Sum(y), vals{w})[0].Tensor().Floats()
		}
		for _, spectral := range []bool{false, true} {
			want := gradient(tensor.F64, tensor.F64, spectral)
			d, norm := 0.0, 0.0
			for i, v := range gradient(tensor.BF16, tensor.F32, spectral) {
				d, norm = d+(v-want[i])*(v-want[i]), norm+want[i]*want[i]
			}
			if off := math.Sqrt(d / norm); !(off <= exact) {
				t.Errorf("%s, spectral %v: the gradient is off by %.2g of its norm", name, spectral, off)
			}
		}
	}
}

// TestBF16Bias wants the gradient of a convolution's bias to be the sum of the cotangent in F32.
func TestBF16Bias(t *testing.T) {
	g := ad.NewGraph(ref.New(ref.WithPoison()))
	defer g.Close()
	of := func(seed uint32, shape ...int) value {
		x := g.Scope().New(tensor.F32, shape...)
		x.SetFloats(gradcheck.Normal(seed, shape...).Data)
		return g.Leaf(x)
	}
	x, w, bias, dy := of(1, 2, 5, 5, 3), of(2, 4, 1, 1, 3), of(3, 4), of(4, 2, 5, 5, 4)
	half := func(v value) value { return ad.Cast(v, tensor.BF16) }
	dy = half(dy).Keep()
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	y := ad.Conv2DBiasAct(half(x), half(w), bias, nil, false, p)
	got := ad.Grad(y, vals{bias}, ad.WithCotangent(dy))[0].Tensor().Floats()
	want := make([]float64, 4)
	for i, v := range dy.Tensor().Floats() {
		want[i%4] += v
	}
	for i := range want {
		if d := math.Abs(got[i] - want[i]); d > 1e-5 { // 50 terms in F32
			t.Errorf("element %d is %g, want %g", i, got[i], want[i])
		}
	}
}

// TestBF16RoundedValue asks for the gradient of a rounded value, and starts from one, and wants its
// dtype, though on the way the cotangent is F32.
func TestBF16RoundedValue(t *testing.T) {
	g := ad.NewGraph(ref.New(ref.WithPoison()))
	defer g.Close()
	x := g.Leaf(tensor.FromSlice(g.Scope(), []float32{1, 2, 3, 4}, 2, 2))
	half := ad.Cast(x, tensor.BF16)
	dy := ad.Cast(g.Const(tensor.FromSlice(g.Scope(), []float32{5, 6, 7, 8}, 2, 2)), tensor.BF16)
	for _, higher := range [][]ad.GradOption{nil, {ad.CreateGraph()}} {
		options := append(higher, ad.Retain())
		y := ad.MatMul(half, half, false, false)
		d := ad.Grad(y, vals{half, x}, append(options, ad.WithCotangent(dy))...)
		if d[0].DType() != tensor.BF16 || d[1].DType() != tensor.F32 {
			t.Errorf("gradients are %v and %v", d[0].DType(), d[1].DType())
		}
		if got := d[1].Tensor().Floats(); !slices.Equal(got, []float64{43, 69, 61, 97}) {
			t.Errorf("through the product: %v", got)
		}
		d = ad.Grad(half, vals{x}, append(options, ad.WithCotangent(dy))...)
		if !slices.Equal(d[0].Tensor().Floats(), dy.Tensor().Floats()) {
			t.Errorf("through the rounding alone: %v", d[0].Tensor().Floats())
		}
	}
}

// TestBF16Gradients compares gradients of both orders in BF16 with those in F64, which the table's
// checks hold to finite differences.
func TestBF16Gradients(t *testing.T) {
	for _, n := range bf16Nets() {
		for _, second := range []bool{false, true} {
			want, got := n.gradients(t, tensor.F64, second), n.gradients(t, tensor.BF16, second)
			same := true
			for i := range want {
				d, norm := 0.0, 0.0
				for k, w := range want[i] {
					d, norm = d+(got[i][k]-w)*(got[i][k]-w), norm+w*w
				}
				off := math.Sqrt(d / norm)
				if norm > 0 && !(off <= bf16Gradient) {
					t.Errorf("%s, second order %v: gradient %d is off by %.2g of its norm", n.name, second, i,
						off)
				}
				same = same && d < 1e-12*norm
			}
			if same {
				t.Errorf("%s, second order %v: nothing was rounded", n.name, second)
			}
		}
	}
}

// TestSpectralQuotientHalf wants a quotient in BF16 and its gradients behind a convolution, by the
// kernel and through the definition, to be those of the F32 quotient and Cast, to the bit.
func TestSpectralQuotientHalf(t *testing.T) {
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	compute := func(direct, create bool) (y, dw []float64) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		var in vals
		for i, shape := range [][]int{{4, 3, 3, 2}, {1, 4}, {1, 18}, {2, 5, 5, 2}, {2, 3, 3, 4}} {
			x := g.Scope().New(tensor.F32, shape...)
			x.SetFloats(normal(uint32(i+1), shape...).Data)
			in = append(in, g.Leaf(x))
		}
		var w value
		if direct {
			w = quotient(in[0], in[1], in[2], tensor.BF16)
		} else {
			w = ad.Cast(quotient(in[0], in[1], in[2], tensor.F32), tensor.BF16)
		}
		half := func(x value) value { return ad.Cast(x, tensor.BF16) }
		o := []ad.GradOption{ad.WithCotangent(half(in[4]))}
		if create {
			o = append(o, ad.CreateGraph())
		}
		out := ad.Conv2D(half(in[3]), w, p).Keep()
		return out.Tensor().Floats(), ad.Grad(out, in[:1], o...)[0].Tensor().Floats()
	}
	for _, create := range []bool{false, true} {
		y, dw := compute(true, create)
		wantY, wantDw := compute(false, create)
		if !slices.Equal(y, wantY) || !slices.Equal(dw, wantDw) {
			t.Errorf("create %v: %v, gradient %v; want %v, %v", create, y, dw, wantY, wantDw)
		}
	}
}
