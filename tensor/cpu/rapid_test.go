package cpu

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Properties of the fast kernels for drawn shapes and attributes, beside backendtest's chosen ones.

// errorTol bounds an element of a sum of n products in single precision, relative to the sum of
// their magnitudes: n + 4 roundings of 2⁻²⁴, of which both operands' conversion are two.
func errorTol(n int) float64 { return float64(n+4) * 0x1p-24 }

// A pair holds one operand on the oracle in double and on the backend in single precision.
type pair struct{ slow, fast *tensor.Tensor }

// drawPair draws normal numbers, which single precision holds exactly.
func drawPair(t *rapid.T, slow, fast *tensor.Scope, label string, shape ...int) pair {
	x, y := slow.New(tensor.F64, shape...), fast.New(tensor.F32, shape...)
	rng := tensor.NewRNG(tensor.NewKey(rapid.Uint64().Draw(t, label), "rapid"), 0)
	v := make([]float64, x.Shape().Size())
	for i := range v {
		v[i] = float64(float32(rng.Normal()))
	}
	x.SetFloats(v)
	y.SetFloats(v)
	return pair{x, y}
}

// magnitude returns |x|, on the oracle.
func magnitude(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	out := s.New(tensor.F64, x.Shape()...)
	s.Backend().Unary(tensor.Abs, tensor.Attr{}, out, x)
	return out
}

// checkSum compares a bilinear kernel f of a and b, whose elements are sums of at most terms
// products, with the oracle, element by element.
func checkSum(t *rapid.T, what string, slow, fast *tensor.Scope, a, b pair, terms int,
	shape []int, f func(be tensor.Backend, out, a, b *tensor.Tensor)) {
	t.Helper()
	want, got := slow.New(tensor.F64, shape...), fast.New(tensor.F32, shape...)
	bound := slow.New(tensor.F64, shape...)
	f(slow.Backend(), want, a.slow, b.slow)
	f(slow.Backend(), bound, magnitude(slow, a.slow), magnitude(slow, b.slow))
	f(fast.Backend(), got, a.fast, b.fast)
	w, g, m := want.Floats(), got.Floats(), bound.Floats()
	for i := range w {
		if !(math.Abs(w[i]-g[i]) <= errorTol(terms)*m[i]) {
			t.Fatalf("%s: element %d of %v is %g, want %g ± %g", what, i, shape, g[i], w[i],
				errorTol(terms)*m[i])
		}
	}
}

// scopes opens one scope on either backend.
func scopes(b *Backend) (slow, fast *tensor.Scope, done func()) {
	slow, fast = tensor.NewScope(ref.New()), tensor.NewScope(b)
	return slow, fast, func() { slow.Close(); fast.Close() }
}

// TestConvProperties draws convolutions of every stride, padding, dilation and grouping.
func TestConvProperties(t *testing.T) {
	b := Open(2)
	defer b.Close()
	b.SetWinograd(false) // its error has a bound of its own
	rapid.Check(t, func(t *rapid.T) {
		slow, fast, done := scopes(b)
		defer done()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		n, h, w, kh, kw := at("n", 1, 3), at("h", 1, 12), at("w", 1, 12), at("kh", 1, 4), at("kw", 1, 4)
		p := tensor.ConvParams{StrideH: at("sh", 1, 3), StrideW: at("sw", 1, 3), PadTop: at("top", 0, 3),
			PadLeft: at("left", 0, 3), PadBottom: at("bottom", 0, 3), PadRight: at("right", 0, 3),
			DilH: at("dh", 1, 2), DilW: at("dw", 1, 2), Groups: rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(t,
				"groups")}
		oh, ow := p.Out(h, w, kh, kw)
		if oh < 1 || ow < 1 {
			t.Skip("no output")
		}
		width := []int{1, 2, 3, 5, 8, 15, 16, 17, 33} // about the tiles' edges
		c := p.Groups * rapid.SampledFrom(width).Draw(t, "c")
		o := p.Groups * rapid.SampledFrom(width).Draw(t, "o")
		x := drawPair(t, slow, fast, "x", n, h, w, c)
		k := drawPair(t, slow, fast, "k", o, kh, kw, c/p.Groups)
		dy := drawPair(t, slow, fast, "dy", n, oh, ow, o)
		checkSum(t, "forward", slow, fast, x, k, kh*kw*c, dy.slow.Shape(),
			func(be tensor.Backend, y, x, k *tensor.Tensor) { be.Conv2D(y, x, k, p) })
		checkSum(t, "input gradient", slow, fast, dy, k, kh*kw*o, x.slow.Shape(),
			func(be tensor.Backend, dx, dy, k *tensor.Tensor) { be.Conv2DInputGrad(dx, dy, k, p) })
		checkSum(t, "weight gradient", slow, fast, x, dy, n*oh*ow, k.slow.Shape(),
			func(be tensor.Backend, dk, x, dy *tensor.Tensor) { be.Conv2DWeightGrad(dk, x, dy, p) })
	})
}

// TestMatMulProperties draws products of every extent about the tiles' edges.
func TestMatMulProperties(t *testing.T) {
	b := Open(2)
	defer b.Close()
	rapid.Check(t, func(t *rapid.T) {
		slow, fast, done := scopes(b)
		defer done()
		extent := func(label string) int {
			return rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{63, 64, 65, 127, 130})).
				Draw(t, label)
		}
		m, n, k := extent("m"), extent("n"), extent("k")
		p := tensor.MatMulParams{TransA: rapid.Bool().Draw(t, "ta"), TransB: rapid.Bool().Draw(t, "tb")}
		sa, sb := []int{m, k}, []int{k, n}
		if p.TransA {
			sa = []int{k, m}
		}
		if p.TransB {
			sb = []int{n, k}
		}
		x, y := drawPair(t, slow, fast, "a", sa...), drawPair(t, slow, fast, "b", sb...)
		checkSum(t, "product", slow, fast, x, y, k, []int{m, n},
			func(be tensor.Backend, out, a, b *tensor.Tensor) { be.MatMul(out, a, b, p) })
	})
}

// TestPoolProperties draws windows of every kind; maxima and winners are exact.
func TestPoolProperties(t *testing.T) {
	b := Open(2)
	defer b.Close()
	rapid.Check(t, func(t *rapid.T) {
		slow, fast, done := scopes(b)
		defer done()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		kh, kw := at("kh", 1, 4), at("kw", 1, 4)
		p := tensor.PoolParams{KH: kh, KW: kw, StrideH: at("sh", 1, 4), StrideW: at("sw", 1, 4),
			PadTop: at("top", 0, kh-1), PadLeft: at("left", 0, kw-1), PadBottom: at("bottom", 0, kh-1),
			PadRight: at("right", 0, kw-1), CeilMode: rapid.Bool().Draw(t, "ceil"),
			CountPad: rapid.Bool().Draw(t, "count")}
		n, h, w, c := at("n", 1, 2), at("h", 1, 9), at("w", 1, 9), at("c", 1, 18)
		oh, ow := p.Out(h, w)
		if oh < 1 || ow < 1 {
			t.Skip("no output")
		}
		x := drawPair(t, slow, fast, "x", n, h, w, c)
		out := func() pair {
			return pair{slow.New(tensor.F64, n, oh, ow, c), fast.New(tensor.F32, n, oh, ow, c)}
		}
		y, idx := out(), pair{slow.New(tensor.I32, n, oh, ow, c), fast.New(tensor.I32, n, oh, ow, c)}
		slow.Backend().MaxPool(y.slow, idx.slow, x.slow, p)
		fast.Backend().MaxPool(y.fast, idx.fast, x.fast, p)
		checkWithin(t, "maximum", y, 0)
		checkWithin(t, "winner", idx, 0)
		y = out()
		slow.Backend().AvgPool(y.slow, x.slow, p)
		fast.Backend().AvgPool(y.fast, x.fast, p)
		checkWithin(t, "average", y, errorTol(kh*kw)*8) // normal numbers stay below 8
		dx := pair{slow.New(tensor.F64, n, h, w, c), fast.New(tensor.F32, n, h, w, c)}
		dy := drawPair(t, slow, fast, "dy", n, oh, ow, c)
		slow.Backend().AvgPoolGrad(dx.slow, dy.slow, p)
		fast.Backend().AvgPoolGrad(dx.fast, dy.fast, p)
		checkWithin(t, "average's adjoint", dx, errorTol(kh*kw)*8*float64(kh*kw))
	})
}

func checkWithin(t *rapid.T, what string, p pair, tol float64) {
	t.Helper()
	want, got := p.slow.Floats(), p.fast.Floats()
	for i := range want {
		if !(math.Abs(want[i]-got[i]) <= tol) {
			t.Fatalf("%s: element %d of %v is %g, want %g", what, i, p.slow.Shape(), got[i], want[i])
		}
	}
}
