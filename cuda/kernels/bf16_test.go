package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

const bf = tensor.BF16

// TestBF16Elementwise runs Unary, Binary, Select and Softmax on bfloat16.
func TestBF16Elementwise(t *testing.T) {
	l := newLab(t)
	for _, n := range []int{0, 1, 7, 8, 9, 1009} {
		x, rx := l.normal(bf, n)
		y, ry := l.normal(bf, n)
		for op := tensor.Neg; op <= tensor.InRange; op++ {
			p := tensor.Attr{A: 0.7, B: 1.5}
			d, r := l.out(bf, n), l.zeros(n)
			l.enc.Unary(op, p, d, x)
			l.ref.Unary(op, p, r, rx)
			l.near(fmt.Sprintf("unary %d, %d", op, n), d, r.Floats(), 0)
		}
		for op := tensor.Add; op <= tensor.ReLUMask; op++ {
			d, r := l.out(bf, n), l.zeros(n)
			l.enc.Binary(op, d, x, y)
			l.ref.Binary(op, r, rx, ry)
			l.near(fmt.Sprintf("binary %d, %d", op, n), d, r.Floats(), 0)
		}
		d, r := l.out(bf, n), l.zeros(n)
		l.enc.Select(d, x, y, x)
		l.ref.Select(r, rx, ry, rx)
		l.near("select", d, r.Floats(), 0)
	}
	x, rx := l.normal(bf, 33, 100)
	for _, log := range []bool{false, true} {
		d, r := l.out(bf, 33, 100), l.zeros(33, 100)
		l.enc.Softmax(log, d, x)
		l.ref.Softmax(log, r, rx)
		l.near("softmax", d, r.Floats(), 0)
	}
}

// TestBF16Reduce reduces bfloat16 to itself and to F32.
func TestBF16Reduce(t *testing.T) {
	l := newLab(t)
	for _, axes := range [][]int{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}} {
		x, rx := l.normal(bf, 5, 67, 40)
		shape := rx.Shape().Reduced(axes)
		for op := tensor.Sum; op <= tensor.MinOf; op++ {
			for _, dt := range []tensor.DType{bf, tensor.F32} {
				d, r := l.out(dt, shape...), l.zeros(shape...)
				l.enc.Reduce(op, d, x, axes)
				l.ref.Reduce(op, r, rx, axes)
				l.near(fmt.Sprintf("reduce %d %v to %v", op, axes, dt), d, r.Floats(), 1)
			}
		}
	}
	for _, dt := range []tensor.DType{bf, tensor.F32} {
		for axis, shape := range [][]int{{20011, 3}, {3, 20011}} { // sums in chunks
			x, rx := l.normal(bf, shape...)
			d, r := l.out(dt, rx.Shape().Reduced([]int{axis})...),
				l.zeros(rx.Shape().Reduced([]int{axis})...)
			l.enc.Reduce(tensor.Sum, d, x, []int{axis})
			l.ref.Reduce(tensor.Sum, r, rx, []int{axis})
			l.near(fmt.Sprintf("long sums over %d to %v", axis, dt), d, r.Floats(), 10)
		}
	}
	for _, shape := range [][]int{{5, 1}, {0, 5}} { // one element each, none
		x, rx := l.normal(bf, shape...)
		for axis := range shape {
			small := rx.Shape().Reduced([]int{axis})
			d, r := l.out(tensor.F32, small...), l.zeros(small...)
			l.enc.Reduce(tensor.Sum, d, x, []int{axis})
			l.ref.Reduce(tensor.Sum, r, rx, []int{axis})
			l.near(fmt.Sprintf("%v over %d", shape, axis), d, r.Floats(), 0)
		}
	}
}

// matmulSizes are m, n, k: around the tiles of 64 and 128, below them, and odd.
var matmulSizes = [][3]int{{1, 1, 1}, {17, 5, 9}, {64, 64, 32}, {65, 130, 40}, {130, 72, 33},
	{7, 200, 0}}

// products are the dtypes of operands and results that products have wide tiles for.
var products = [][2]tensor.DType{{bf, bf}, {bf, tensor.F32}, {tensor.F32, tensor.F32}}

// TestMatMulTiles multiplies in every dtype, with narrow and wide tiles and every transposition.
func TestMatMulTiles(t *testing.T) {
	l := newLab(t)
	for _, dt := range products {
		for _, wide := range []bool{false, true} {
			kernels.SetWide(&l.enc, wide)
			for i, s := range matmulSizes {
				for trans := range 4 {
					matmulCase(l, dt, s, trans&1 != 0, trans&2 != 0, 1+i%2)
				}
			}
		}
	}
}

func matmulCase(l *lab, dt [2]tensor.DType, s [3]int, ta, tb bool, batch int) {
	m, n, k := s[0], s[1], s[2]
	as, bs := []int{batch, m, k}, []int{batch, k, n}
	if ta {
		as = []int{batch, k, m}
	}
	if tb {
		bs = []int{batch, n, k}
	}
	a, ra := l.normal(dt[0], as...)
	b, rb := l.normal(dt[0], bs...)
	d, r := l.out(dt[1], batch, m, n), l.zeros(batch, m, n)
	p := tensor.MatMulParams{TransA: ta, TransB: tb}
	l.enc.MatMul(d, a, b, p)
	l.ref.MatMul(r, ra, rb, p)
	l.near(fmt.Sprintf("%v %v ta=%v tb=%v", dt, s, ta, tb), d, r.Floats(), math.Sqrt(float64(k)))
}

// TestConvTiles runs the convolution triple in bfloat16 and with wide tiles.
func TestConvTiles(t *testing.T) {
	if testing.Short() {
		t.Skip("short: emulated tensor cores take their time")
	}
	l := newLab(t)
	one := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	same, strided, grouped := one, one, one
	same.PadTop, same.PadLeft, same.PadBottom, same.PadRight = 1, 1, 1, 1
	strided.StrideH, strided.StrideW, strided.PadTop, strided.PadRight = 2, 3, 1, 2
	grouped.Groups, grouped.DilH, grouped.PadBottom = 2, 2, 3
	for _, dt := range products {
		for _, wide := range []bool{false, true} {
			kernels.SetWide(&l.enc, wide)
			convCase(l, dt, [3]int{2, 9, 9}, 16, 24, 3, same)
			convCase(l, dt, [3]int{1, 11, 10}, 3, 5, 3, strided)
			convCase(l, dt, [3]int{2, 8, 7}, 32, 16, 3, grouped)
			convCase(l, dt, [3]int{5, 12, 12}, 16, 8, 1, one)
		}
	}
}

func convCase(l *lab, dt [2]tensor.DType, nhw [3]int, c, o, k int, p tensor.ConvParams) {
	oh, ow := p.Out(nhw[1], nhw[2], k, k)
	x, rx := l.normal(dt[0], nhw[0], nhw[1], nhw[2], c)
	w, rw := l.normal(dt[0], o, k, k, c/p.Groups)
	dy, rdy := l.normal(dt[0], nhw[0], oh, ow, o)
	y, dx, dw := l.out(dt[1], dy.Shape...), l.out(dt[1], x.Shape...), l.out(dt[1], w.Shape...)
	ry, rdx, rdw := l.zeros(dy.Shape...), l.zeros(x.Shape...), l.zeros(w.Shape...)
	l.enc.Conv2D(y, x, w, p)
	l.ref.Conv2D(ry, rx, rw, p)
	l.enc.Conv2DInputGrad(dx, dy, w, p)
	l.ref.Conv2DInputGrad(rdx, rdy, rw, p)
	l.enc.Conv2DWeightGrad(dw, x, dy, p)
	l.ref.Conv2DWeightGrad(rdw, rx, rdy, p)
	name := fmt.Sprintf("%v %v %d→%d %+v", dt, nhw, c, o, p)
	l.near(name+" y", y, ry.Floats(), math.Sqrt(float64(k*k*c)))
	l.near(name+" dx", dx, rdx.Floats(), math.Sqrt(float64(k*k*o)))
	l.near(name+" dw", dw, rdw.Floats(), math.Sqrt(float64(nhw[0]*oh*ow)))
}

// TestNormHalf runs normalisation in bfloat16 and F32, forward and backward, with a ReLU behind a
// residual's sum.
func TestNormHalf(t *testing.T) {
	l := newLab(t)
	for _, dt := range []tensor.DType{bf, tensor.F32} {
		for _, s := range [][]int{{3, 4, 5, 16}, {2, 3, 3, 7}, {1, 1, 1, 1}, {4, 16, 16, 24},
			{2, 5, 7, 40}} {
			for _, bySample := range []bool{false, true} {
				normCase(l, dt, s, bySample)
			}
		}
	}
}

func normCase(l *lab, dt tensor.DType, s []int, bySample bool) {
	c, pc := s[3], []int{s[3]}
	if bySample {
		pc = []int{s[0], c}
	}
	n := tensor.Shape(s).Size()
	name := fmt.Sprintf("%v %v bySample=%v", dt, s, bySample)
	x, rx := l.normal(dt, s...)
	dy, rdy := l.normal(dt, s...)
	res, rres := l.normal(dt, s...)
	gamma, rgamma := l.normal(tensor.F32, pc...)
	beta, rbeta := l.normal(tensor.F32, pc...)
	mean, variance, rstd := l.out(tensor.F32, c), l.out(tensor.F32, c), l.out(tensor.F32, c)
	mul, add := l.out(tensor.F32, pc...), l.out(tensor.F32, pc...)
	rmean, rvar, rrstd := l.zeros(c), l.zeros(c), l.zeros(c)
	rmul, radd := l.zeros(pc...), l.zeros(pc...)
	l.enc.NormStats(mean, variance, rstd, mul, add, x, gamma, beta, 1e-5)
	l.ref.NormStats(rmean, rvar, rrstd, rmul, radd, rx, rgamma, rbeta, 1e-5)
	l.near(name+" mean", mean, rmean.Floats(), 1)
	l.near(name+" variance", variance, rvar.Floats(), 1)
	l.near(name+" scale", mul, rmul.Floats(), 1)
	l.near(name+" shift", add, radd.Floats(), 1)

	y, ry := l.out(dt, s...), l.zeros(s...)
	l.enc.NormApply(y, x, gamma, beta, res, true)
	l.ref.NormApply(ry, rx, rgamma, rbeta, rres, true)
	l.near(name+" y", y, ry.Floats(), 1)
	got := [4]kernels.Array{l.out(dt, s...), l.out(tensor.F32, pc...), l.out(tensor.F32, pc...),
		l.out(dt, s...)}
	l.enc.NormBackward(got[0], got[1], got[2], got[3], dy, x, y, kernels.Array{}, mean, rstd, gamma)
	want := [4]*tensor.Tensor{l.zeros(s...), l.zeros(pc...), l.zeros(pc...), l.zeros(s...)}
	l.ref.NormBackward(want[0], want[1], want[2], want[3], rdy, rx, ry,
		nil, l.float64s(mean), l.float64s(rstd), rgamma)
	scale := [4]float64{4, math.Sqrt(float64(n / c)), math.Sqrt(float64(n / c)), 0}
	for i := range got {
		l.near(fmt.Sprintf("%s gradient %d", name, i), got[i], want[i].Floats(), 4*scale[i])
	}
}

// TestNormUpsample wants the fused pass to give what NormApply and Upsample give one after the
// other, the very bits.
func TestNormUpsample(t *testing.T) {
	l := newLab(t)
	for _, dt := range []tensor.DType{bf, tensor.F32, tensor.F64} {
		pt := dt
		if dt == bf {
			pt = tensor.F32
		}
		for _, s := range [][]int{{2, 3, 5, 16}, {3, 2, 2, 7}, {1, 1, 1, 1}, {2, 0, 3, 8}} {
			for i, k := range []int{2, 1, 3} {
				pc := []int{s[0], s[3]}
				if i == 1 {
					pc = pc[1:]
				}
				x, _ := l.normal(dt, s...)
				scale, _ := l.normal(pt, pc...)
				shift, _ := l.normal(pt, pc...)
				small, y := l.out(dt, s...), l.out(dt, s[0], k*s[1], k*s[2], s[3])
				want := l.out(dt, y.Shape...)
				relu := k != 3
				l.enc.NormApply(small, x, scale, shift, kernels.Array{}, relu)
				l.enc.Upsample(want, small, k)
				l.enc.NormUpsample(y, x, scale, shift, relu, k)
				if fmt.Sprint(l.floats(y)) != fmt.Sprint(l.floats(want)) {
					t.Errorf("%v %v, factor %d: differs from NormApply and Upsample", dt, s, k)
				}
			}
		}
	}
}

// float64s gives the reference the numbers of an array.
func (l *lab) float64s(a kernels.Array) *tensor.Tensor {
	return tensor.FromSlice(l.scope, l.floats(a), a.Shape...)
}

// TestBF16Images runs pooling, resampling and copies on bfloat16.
func TestBF16Images(t *testing.T) {
	l := newLab(t)
	p := tensor.PoolParams{KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1,
		PadRight: 1}
	x, rx := l.normal(bf, 2, 9, 8, 6)
	oh, ow := p.Out(9, 8)
	small := []int{2, oh, ow, 6}
	y, idx, ry, ridx := l.out(bf, small...), l.out(tensor.I32, small...), l.zeros(small...),
		l.scope.New(tensor.I32, small...)
	l.enc.MaxPool(y, idx, x, p)
	l.ref.MaxPool(ry, ridx, rx, p)
	l.near("max pool", y, ry.Floats(), 0)
	dx, rdx := l.out(bf, 2, 9, 8, 6), l.zeros(2, 9, 8, 6)
	l.enc.PoolScatter(dx, y, idx)
	l.ref.PoolScatter(rdx, ry, ridx)
	l.near("pool scatter", dx, rdx.Floats(), 0)
	l.enc.AvgPool(y, x, p)
	l.ref.AvgPool(ry, rx, p)
	l.near("average pool", y, ry.Floats(), 1)
	big, rbig := l.out(bf, 2, 18, 16, 6), l.zeros(2, 18, 16, 6)
	l.enc.Upsample(big, x, 2)
	l.ref.Upsample(rbig, rx, 2)
	l.near("upsample", big, rbig.Floats(), 0)
	l.enc.UpsampleGrad(dx, big, 2)
	l.ref.UpsampleGrad(rdx, rbig, 2)
	l.near("upsample gradient", dx, rdx.Floats(), 0)
	turned, rturned := l.out(bf, 6, 2, 9, 8), l.zeros(6, 2, 9, 8)
	l.enc.Permute(turned, x, []int{3, 0, 1, 2})
	l.ref.Permute(rturned, rx, []int{3, 0, 1, 2})
	l.near("permute", turned, rturned.Floats(), 0)
}
