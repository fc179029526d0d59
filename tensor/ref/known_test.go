package ref_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// The conformance suite compares ref with itself, so a mistake in a formula would pass there. The
// tests here compare with the contract's formula written out another way, with numerical
// derivatives, or with values taken from PyTorch's documentation.

// exact bounds comparisons of float64 results that differ in the order of a few additions.
const exact = 1e-12

// numeric bounds central differences with step h = 1e-5: h² truncation and ε/h rounding.
const numeric = 1e-8

func open() (*ref.Backend, *tensor.Scope) {
	b := ref.New(ref.WithPoison())
	return b, tensor.NewScope(b)
}

func draw(s *tensor.Scope, name string, shape ...int) *tensor.Tensor {
	r := tensor.NewRNG(tensor.NewKey(1, name), 0)
	t := s.New(tensor.F64, shape...)
	v := make([]float64, t.Size())
	for i := range v {
		v[i] = r.Normal()
	}
	t.SetFloats(v)
	return t
}

func closeTo(t *testing.T, name string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tol*max(1, math.Abs(want[i]))) {
			t.Fatalf("%s: element %d: got %v, want %v", name, i, got[i], want[i])
		}
	}
}

// at returns element idx of t, 0 outside.
func at(t *tensor.Tensor, v []float64, idx ...int) float64 {
	k := 0
	for i, d := range t.Shape() {
		if idx[i] < 0 || idx[i] >= d {
			return 0
		}
		k = k*d + idx[i]
	}
	return v[k]
}

// TestConvFormula evaluates the contract's sum for every output element by itself.
func TestConvFormula(t *testing.T) {
	b, s := open()
	p := tensor.ConvParams{StrideH: 2, StrideW: 1, PadTop: 2, PadLeft: 1, PadBottom: 0, PadRight: 3,
		DilH: 1, DilW: 2, Groups: 2}
	x, w := draw(s, "x", 2, 6, 7, 4), draw(s, "w", 6, 3, 2, 2)
	oh, ow := p.Out(6, 7, 3, 2)
	y := s.New(tensor.F64, 2, oh, ow, 6)
	b.Conv2D(y, x, w, p)
	xv, wv := x.Floats(), w.Floats()
	var want []float64
	for n := range 2 {
		for i := range oh {
			for j := range ow {
				for o := range 6 {
					sum := 0.0
					for u := range 3 {
						for v := range 2 {
							for c := range 2 {
								pixel := at(x, xv, n, i*2-2+u, j-1+v*2, o/3*2+c)
								sum += pixel * at(w, wv, o, u, v, c)
							}
						}
					}
					want = append(want, sum)
				}
			}
		}
	}
	closeTo(t, "Conv2D", y.Floats(), want, exact)
}

// difference returns the numerical gradient of f in the elements of x.
func difference(x *tensor.Tensor, f func() float64) []float64 {
	const h = 1e-5
	v := x.Floats()
	g := make([]float64, len(v))
	for i, keep := range v {
		v[i] = keep + h
		x.SetFloats(v)
		up := f()
		v[i] = keep - h
		x.SetFloats(v)
		g[i] = (up - f()) / (2 * h)
		v[i] = keep
	}
	x.SetFloats(v)
	return g
}

func dot(a, b *tensor.Tensor) (sum float64) {
	bv := b.Floats()
	for i, v := range a.Floats() {
		sum += v * bv[i]
	}
	return sum
}

// TestNormBackwardIsTheGradient differentiates NormStats and NormApply numerically, statistics
// included, for gamma shared and per sample, with a residual and the ReLU.
func TestNormBackwardIsTheGradient(t *testing.T) {
	for _, pc := range [][]int{{3}, {2, 3}} {
		b, s := open()
		const eps = 1e-3
		x, res := draw(s, "x", 2, 2, 2, 3), draw(s, "res", 2, 2, 2, 3)
		dy := draw(s, "dy", 2, 2, 2, 3)
		gamma, beta := draw(s, "gamma", pc...), draw(s, "beta", pc...)
		mean, variance, rstd := s.New(tensor.F64, 3), s.New(tensor.F64, 3), s.New(tensor.F64, 3)
		xhat, y := s.Like(x), s.Like(x)
		forward := func() float64 {
			b.NormStats(mean, variance, rstd, nil, nil, x, nil, nil, eps)
			b.Binary(tensor.Sub, xhat, x, mean)
			b.Binary(tensor.Mul, xhat, xhat, rstd)
			b.NormApply(y, xhat, gamma, beta, res, true)
			return dot(y, dy)
		}
		forward()
		dx, dres, dg, db := s.Like(x), s.Like(x), s.Like(gamma), s.Like(beta)
		b.NormBackward(dx, dg, db, dres, dy, x, y, nil, mean, rstd, gamma)
		for name, c := range map[string][2]*tensor.Tensor{
			"dx": {dx, x}, "dgamma": {dg, gamma}, "dbeta": {db, beta}, "dres": {dres, res},
		} {
			closeTo(t, name, c[0].Floats(), difference(c[1], forward), numeric)
		}
	}
}

// TestNormStatsKnown checks biased variance and eps inside the root.
func TestNormStatsKnown(t *testing.T) {
	b, s := open()
	x := tensor.FromSlice(s, []float64{1, 10, 2, 10, 3, 10, 6, 10}, 4, 2)
	mean, variance, rstd := s.New(tensor.F64, 2), s.New(tensor.F64, 2), s.New(tensor.F64, 2)
	b.NormStats(mean, variance, rstd, nil, nil, x, nil, nil, 0.25)
	closeTo(t, "mean", mean.Floats(), []float64{3, 10}, 0)
	closeTo(t, "variance", variance.Floats(), []float64{3.5, 0}, 0)
	closeTo(t, "rstd", rstd.Floats(), []float64{1 / math.Sqrt(3.75), 2}, exact)
}

// TestPoolKnown holds a 3×3 image, window 2, stride 2, by hand: floor, ceil, and padding counted or
// not.
func TestPoolKnown(t *testing.T) {
	b, s := open()
	x := tensor.FromSlice(s, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, 3, 3, 1)
	p := tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2}
	avg := func(p tensor.PoolParams) []float64 {
		oh, ow := p.Out(3, 3)
		y := s.New(tensor.F64, 1, oh, ow, 1)
		b.AvgPool(y, x, p)
		return y.Floats()
	}
	closeTo(t, "floor", avg(p), []float64{3}, 0)
	p.CeilMode, p.CountPad = true, true // overhang beyond the padding never counts
	closeTo(t, "ceil", avg(p), []float64{3, 4.5, 7.5, 9}, 0)
	p.PadTop, p.PadLeft, p.PadBottom, p.PadRight = 1, 1, 1, 1
	closeTo(t, "padded, counted", avg(p), []float64{1.0 / 4, 5.0 / 4, 11.0 / 4, 28.0 / 4}, exact)
	p.CountPad = false
	closeTo(t, "padded, not counted", avg(p), []float64{1, 2.5, 5.5, 7}, exact)

	y, idx := s.New(tensor.F64, 1, 2, 2, 1), s.New(tensor.I32, 1, 2, 2, 1)
	neg := s.Like(x)
	b.Unary(tensor.Neg, tensor.Attr{}, neg, x)
	b.MaxPool(y, idx, neg, p)
	closeTo(t, "max of negatives", y.Floats(), []float64{-1, -2, -4, -5}, 0)
	closeTo(t, "positions", idx.Floats(), []float64{0, 1, 3, 4}, 0)
}

func TestMaxPoolNaN(t *testing.T) {
	b, s := open()
	nan := math.NaN()
	x := tensor.FromSlice(s, []float64{5, nan, nan, 7}, 1, 2, 2, 1)
	y, idx := s.New(tensor.F64, 1, 1, 1, 1), s.New(tensor.I32, 1, 1, 1, 1)
	b.MaxPool(y, idx, x, tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2})
	if !math.IsNaN(y.Item()) || idx.Item() != 1 {
		t.Errorf("got %v at %v, want the first NaN, at 1", y.Item(), idx.Item())
	}
	k := s.New(tensor.I32, 2)
	b.ArgMax(k, tensor.FromSlice(s, []float64{1, nan, 9, nan, 3, 4, 4, 1}, 2, 4))
	if got := k.Floats(); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("ArgMax = %v, want [1 1]", got)
	}
}

// TestMatMulTransposes multiplies by hand.
func TestMatMulTransposes(t *testing.T) {
	b, s := open()
	a, at := []float64{1, 2, 3, 4, 5, 6}, []float64{1, 4, 2, 5, 3, 6}       // [2 3], [3 2]
	m, mt := []float64{7, 8, 9, 10, 11, 12}, []float64{7, 9, 11, 8, 10, 12} // [3 2], [2 3]
	want := []float64{58, 64, 139, 154}
	for _, p := range []tensor.MatMulParams{{}, {TransA: true}, {TransB: true},
		{TransA: true, TransB: true}} {
		x, y := tensor.FromSlice(s, a, 2, 3), tensor.FromSlice(s, m, 3, 2)
		if p.TransA {
			x = tensor.FromSlice(s, at, 3, 2)
		}
		if p.TransB {
			y = tensor.FromSlice(s, mt, 2, 3)
		}
		d := s.New(tensor.F64, 2, 2)
		b.MatMul(d, x, y, p)
		closeTo(t, "MatMul", d.Floats(), want, 0)
	}
}

// TestAdamFirstStep: from zero moments the first step is lr·g/(|g|+eps) whatever the betas, and
// decay acts on the old parameter.
func TestAdamFirstStep(t *testing.T) {
	b, s := open()
	one := func(v float64) []*tensor.Tensor { return []*tensor.Tensor{s.Full(tensor.F64, v, 1)} }
	w, m, v := one(2), one(0), one(0)
	lr := s.Full(tensor.F32, 0.125, 1)
	p := tensor.AdamParams{Beta1: 0.9, Beta2: 0.999, Eps: 0.5, WeightDecay: 0.5}
	b.Adam(p, w, one(-1.5), m, v, lr, s.Full(tensor.I32, 1, 1))
	closeTo(t, "p", w[0].Floats(), []float64{2*(1-0.125*0.5) + 0.125*1.5/2}, exact)
	closeTo(t, "m", m[0].Floats(), []float64{-0.15}, exact)
	closeTo(t, "v", v[0].Floats(), []float64{0.00225}, exact)
}

// TestSGDSteps follows two steps by hand: momentum ½, decay ¼, lr ⅛.
func TestSGDSteps(t *testing.T) {
	for _, c := range []struct {
		nesterov bool
		want     float64
	}{{false, 3.2890625}, {true, 3.064453125}} {
		b, s := open()
		one := func(v float64) []*tensor.Tensor {
			return []*tensor.Tensor{s.Full(tensor.F64, v, 1)}
		}
		w, buf, lr := one(4), one(0), s.Full(tensor.F32, 0.125, 1)
		p := tensor.SGDParams{Momentum: 0.5, WeightDecay: 0.25, Nesterov: c.nesterov}
		b.SGD(p, w, one(1), buf, lr) // g = 2, buf = 2; p = 4 − 2/8, nesterov 4 − (2 + 2/2)/8
		// Plain: g = 1.75 + 3.75/4, buf = 1 + g = 3.6875, p = 3.75 − buf/8.
		// Nesterov: g = 1.75 + 3.625/4, buf = 1 + g = 3.65625, p = 3.625 − (g + buf/2)/8.
		b.SGD(p, w, one(1.75), buf, lr)
		closeTo(t, "p", w[0].Floats(), []float64{c.want}, exact)
	}
}

func TestLerpKnown(t *testing.T) {
	b, s := open()
	d, x := s.Full(tensor.F64, 2, 3), s.Full(tensor.F64, 10, 3)
	b.Lerp([]*tensor.Tensor{d}, []*tensor.Tensor{x}, s.Full(tensor.F32, 0.75, 1))
	closeTo(t, "Lerp", d.Floats(), []float64{4, 4, 4}, 0)
}

// TestCopiesKnown checks axis order and box arithmetic on numbers one can follow.
func TestCopiesKnown(t *testing.T) {
	b, s := open()
	x := tensor.FromSlice(s, []int32{0, 1, 2, 3, 4, 5}, 1, 2, 3)
	y := s.New(tensor.I32, 3, 1, 2)
	b.Permute(y, x, []int{2, 0, 1})
	closeTo(t, "Permute", y.Floats(), []float64{0, 3, 1, 4, 2, 5}, 0)
	z := s.Full(tensor.I32, 9, 2, 4)
	b.CopyRegion(z, s.Reshape(x, 2, 3), tensor.Region{DstStart: []int{1, 3}, DstStep: []int{-1, -2},
		SrcStart: []int{0, 1}, SrcStep: []int{1, 1}, Size: []int{2, 2}})
	closeTo(t, "CopyRegion", z.Floats(), []float64{9, 5, 9, 4, 9, 2, 9, 1}, 0)
	u := s.New(tensor.F64, 1, 2, 4, 1)
	b.Upsample(u, tensor.FromSlice(s, []float64{1, 2}, 1, 1, 2, 1), 2)
	closeTo(t, "Upsample", u.Floats(), []float64{1, 1, 2, 2, 1, 1, 2, 2}, 0)
}

// TestCastKnown: truncation, saturation, and BF16's ties to even, by bit pattern.
func TestCastKnown(t *testing.T) {
	b, s := open()
	x := tensor.FromSlice(s, []float32{-1.9, 1.9, 300, -5, float32(math.NaN())}, 5)
	i, u := s.New(tensor.I32, 5), s.New(tensor.U8, 5)
	b.Cast(i, x)
	b.Cast(u, x)
	closeTo(t, "i32", i.Floats(), []float64{-1, 1, 300, -5, 0}, 0)
	closeTo(t, "u8", u.Floats(), []float64{0, 1, 255, 0, 0}, 0)
	ties := tensor.FromSlice(s, []float32{1 + 0x1p-8, 1 + 3*0x1p-8, -1 - 0x1p-8 - 0x1p-20}, 3)
	half, back := s.New(tensor.BF16, 3), s.New(tensor.F32, 3)
	b.Cast(half, ties)
	b.Cast(back, half)
	closeTo(t, "bf16", back.Floats(), []float64{1, 1 + 0x1p-6, -1 - 0x1p-7}, 0)
}
