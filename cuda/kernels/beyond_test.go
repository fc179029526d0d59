package kernels_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// TestConvEpilogue compares the fused epilogue with its parts.
func TestConvEpilogue(t *testing.T) {
	l := newLab(t)
	p := tensor.ConvParams{StrideH: 1, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		DilH: 1, DilW: 1, Groups: 2}
	for _, dt := range []tensor.DType{bf, tensor.F32} {
		for which := range 8 {
			x, rx := l.normal(dt, 2, 7, 9, 8)
			w, rw := l.normal(dt, 10, 3, 3, 4)
			res, rres := l.normal(dt, 2, 7, 5, 10)
			bias, rbias := l.normal(tensor.F32, 10)
			y, ry := l.out(dt, 2, 7, 5, 10), l.zeros(2, 7, 5, 10)
			l.ref.Conv2D(ry, rx, rw, p)
			if which&1 == 0 {
				bias = kernels.Array{}
			} else {
				l.ref.Binary(tensor.Add, ry, ry, rbias)
			}
			if which&2 == 0 {
				res = kernels.Array{}
			} else {
				l.ref.Binary(tensor.Add, ry, ry, rres)
			}
			if which&4 != 0 {
				l.ref.Unary(tensor.ReLU, tensor.Attr{}, ry, ry)
			}
			l.enc.Conv2DBiasAct(y, x, w, bias, res, which&4 != 0, p)
			l.near(fmt.Sprintf("%v %03b", dt, which), y, ry.Floats(), 6)
		}
	}
}

// TestAugment compares with the definition: crops, mirrors, places beyond every edge.
func TestAugment(t *testing.T) {
	l := newLab(t)
	const n, sh, sw, h, w, c = 6, 7, 9, 8, 6, 3
	src, _ := l.in(tensor.U8, func(int) float64 { return float64(l.rng.IntN(256)) }, n, sh, sw, c)
	place, rp := l.in(tensor.I32, func(i int) float64 {
		if i%3 == 2 {
			return float64(l.rng.IntN(2))
		}
		return float64(l.rng.IntN(20) - 10)
	}, n, 3)
	scale, rs := l.normal(tensor.F32, c)
	shift, rh := l.normal(tensor.F32, c)
	pix, pv, sv, hv := l.floats(src), rp.Floats(), rs.Floats(), rh.Floats()
	want := make([]float64, n*h*w*c)
	for e := range want {
		ch, j, i, s := e%c, e/c%w, e/c/w%h, e/c/w/h
		if pv[3*s+2] != 0 {
			j = w - 1 - j
		}
		r, q, v := i+int(pv[3*s]), j+int(pv[3*s+1]), 0.0
		if r >= 0 && r < sh && q >= 0 && q < sw {
			v = pix[((s*sh+r)*sw+q)*c+ch]
		}
		want[e] = v*sv[ch] + hv[ch]
	}
	for _, dt := range []tensor.DType{bf, tensor.F32} {
		d := l.out(dt, n, h, w, c)
		l.enc.Augment(d, src, place, scale, shift)
		l.near(dt.String(), d, want, 1)
	}
}

// TestPowerIteration runs 75 layers, more than one table holds, among them a zero matrix.
func TestPowerIteration(t *testing.T) {
	l := newLab(t)
	const eps = 1e-6
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64} {
		var w, u, v, uOut, sigma, bar []kernels.Array
		var wv, uv [][]float64
		for i := range 75 {
			rows, cols := 1+i*7%40, 1+i*13%90
			a, ra := l.in(dt, func(int) float64 {
				if i == 3 {
					return 0
				}
				return l.rng.Normal()
			}, rows, cols)
			b, rb := l.normal(dt, rows)
			w, u, wv, uv = append(w, a), append(u, b), append(wv, ra.Floats()), append(uv, rb.Floats())
			v, uOut = append(v, l.out(dt, cols)), append(uOut, l.out(dt, rows))
			sigma, bar = append(sigma, l.out(dt, 1)), append(bar, l.out(dt, rows, cols))
		}
		uOut[5] = u[5] // in place
		l.enc.PowerIteration(w, u, v, uOut, sigma, eps)
		l.enc.SpectralQuotients(bar, w, sigma)
		for i := range w {
			rows, cols := w[i].Shape[0], w[i].Shape[1]
			wantV, wantU := make([]float64, cols), make([]float64, rows)
			for k, x := range wv[i] {
				wantV[k%cols] += x * uv[i][k/cols]
			}
			normalise(wantV, eps)
			for k, x := range wv[i] {
				wantU[k/cols] += x * wantV[k%cols]
			}
			s := normalise(append([]float64(nil), wantU...), eps)
			s2 := 0.0
			for _, x := range wantU {
				s2 += x * x / s
			}
			normalise(wantU, eps)
			wantBar := make([]float64, len(wv[i]))
			for k, x := range wv[i] {
				wantBar[k] = x / s2
			}
			name := fmt.Sprintf("%v layer %d [%d %d]", dt, i, rows, cols)
			l.near(name+" v", v[i], wantV, 1)
			l.near(name+" u", uOut[i], wantU, 1)
			l.near(name+" sigma", sigma[i], []float64{s2}, 1)
			l.near(name+" W/sigma", bar[i], wantBar, 1)
		}
	}
}

// normalise divides x by max(‖x‖, eps), which it returns.
func normalise(x []float64, eps float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	norm := max(math.Sqrt(sum), eps)
	for i := range x {
		x[i] /= norm
	}
	return norm
}

// TestAttention compares forward and backward with the composite of MatMul and Softmax. The last
// shapes are so wide that the gradients' kernels have room for one tile at a time.
func TestAttention(t *testing.T) {
	l := newLab(t)
	shapes := [][5]int{{1, 1, 1, 1, 1}, {2, 20, 37, 5, 9}, {1, 33, 70, 64, 130}, {1, 16, 32, 16, 140},
		{2, 70, 67, 24, 96}, {1, 65, 33, 16, 64}, {1, 66, 130, 24, 96}}
	wide := map[tensor.DType][5]int{bf: {1, 66, 130, 64, 256}, tensor.F32: {1, 40, 70, 64, 160}}
	for _, dt := range []tensor.DType{bf, tensor.F32} {
		for _, s := range append(shapes, wide[dt]) {
			attentionCase(l, dt, s[0], s[1], s[2], s[3], s[4])
		}
	}
	if err := tensor.Try(func() {
		q, _ := l.normal(tensor.F32, 1, 2, 65)
		l.enc.Attention(q, q, q, q, q, 1)
	}); err == nil {
		t.Error("keys 65 wide: expected an error")
	}
}

func attentionCase(l *lab, dt tensor.DType, b, n, m, d, e int) {
	scale := 1 / math.Sqrt(float64(d))
	q, rq := l.normal(dt, b, n, d)
	k, rk := l.normal(dt, b, m, d)
	v, rv := l.normal(dt, b, m, e)
	dy, rdy := l.normal(dt, b, n, e)
	y, lse := l.out(dt, b, n, e), l.out(tensor.F32, b, n)
	dq, dk, dv := l.out(dt, b, n, d), l.out(dt, b, m, d), l.out(dt, b, m, e)
	l.enc.Attention(y, lse, q, k, v, scale)
	l.enc.AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v, scale)

	r := l.ref
	p, ry, ds, pds := l.zeros(b, n, m), l.zeros(b, n, e), l.zeros(b, n, m), l.zeros(b, n, m)
	rdq, rdk, rdv, sums := l.zeros(b, n, d), l.zeros(b, m, d), l.zeros(b, m, e), l.zeros(b, n, 1)
	r.MatMul(p, rq, rk, tensor.MatMulParams{TransB: true})
	r.Unary(tensor.Affine, tensor.Attr{A: scale}, p, p)
	r.Softmax(false, p, p)
	r.MatMul(ry, p, rv, tensor.MatMulParams{})
	r.MatMul(rdv, p, rdy, tensor.MatMulParams{TransA: true})
	r.MatMul(ds, rdy, rv, tensor.MatMulParams{TransB: true})
	r.Binary(tensor.Mul, pds, p, ds)
	r.Reduce(tensor.Sum, sums, pds, []int{2})
	r.Binary(tensor.Sub, ds, ds, sums)
	r.Binary(tensor.Mul, ds, ds, p)
	r.Unary(tensor.Affine, tensor.Attr{A: scale}, ds, ds)
	r.MatMul(rdq, ds, rk, tensor.MatMulParams{})
	r.MatMul(rdk, ds, rq, tensor.MatMulParams{TransA: true})
	name := fmt.Sprintf("%v %d %d %d %d %d", dt, b, n, m, d, e)
	l.near(name+" y", y, ry.Floats(), 1)
	l.near(name+" dq", dq, rdq.Floats(), 3) // delta is made of the stored, rounded y
	l.near(name+" dk", dk, rdk.Floats(), 3)
	l.near(name+" dv", dv, rdv.Floats(), 3)
}

// TestMixedOptimizers compares the masters with the plain optimizers, and shadows with what follows
// from the masters. 150 tensors do not fit one table.
func TestMixedOptimizers(t *testing.T) {
	l := newLab(t)
	lr, rlr := l.in(tensor.F32, func(int) float64 { return 0.1 }, 1)
	step, rstep := l.in(tensor.I32, func(int) float64 { return 3 }, 1)
	f32 := func(x *tensor.Tensor) *tensor.Tensor { // what the reference reads rates as
		y := l.scope.New(tensor.F32, 1)
		y.SetFloats(x.Floats())
		return y
	}
	for adam := range 2 {
		const n = 150
		var p, g, m, v, shadow []kernels.Array
		var rp, rg, rm, rv []*tensor.Tensor
		for i := range n {
			size, dt := []int{1 + i*i%97, 5000}[b2i(i == 70)], []tensor.DType{tensor.F32, bf}[i%2]
			a, ra := l.normal(tensor.F32, size)
			b, rb := l.normal(dt, size)
			c, rc := l.in(tensor.F32, func(int) float64 { return l.rng.Float64() }, size)
			d, rd := l.in(tensor.F32, func(int) float64 { return l.rng.Float64() }, size)
			p, g, m, v = append(p, a), append(g, b), append(m, c), append(v, d)
			rp, rg, rm, rv = append(rp, ra), append(rg, rb), append(rm, rc), append(rv, rd)
			shadow = append(shadow, l.out(bf, size))
		}
		if adam == 1 {
			ap := tensor.AdamParams{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.01}
			l.enc.AdamMixed(ap, p, g, m, v, shadow, lr, step)
			l.ref.Adam(ap, rp, rg, rm, rv, f32(rlr), rstep)
		} else {
			sp := tensor.SGDParams{Momentum: 0.9, WeightDecay: 0.01, Nesterov: true}
			l.enc.SGDMixed(sp, p, g, m, shadow, lr)
			l.ref.SGD(sp, rp, rg, rm, f32(rlr))
		}
		for i := range p {
			name := fmt.Sprintf("adam=%d tensor %d", adam, i)
			l.near(name+" p", p[i], rp[i].Floats(), 1)
			l.near(name+" m", m[i], rm[i].Floats(), 1)
			l.near(name+" v", v[i], rv[i].Floats(), 1)
			l.near(name+" shadow", shadow[i], l.floats(p[i]), 0)
		}
	}
}

// TestMixedBits wants an optimizer that writes shadows to move parameters as the plain one does, to
// the bit.
func TestMixedBits(t *testing.T) {
	l := newLab(t)
	lr, _ := l.in(tensor.F32, func(int) float64 { return 0.1 }, 1)
	step, _ := l.in(tensor.I32, func(int) float64 { return 3 }, 1)
	twice := func(f func(i int) float64, n int) (pair [2][]kernels.Array) {
		a, r := l.in(tensor.F32, f, n)
		b, _ := l.in(tensor.F32, func(i int) float64 { return r.Floats()[i] }, n)
		return [2][]kernels.Array{{a}, {b}}
	}
	const n = 5000
	normal, positive := func(int) float64 { return l.rng.Normal() }, func(int) float64 {
		return l.rng.Float64()
	}
	p, g, m, v := twice(normal, n), twice(normal, n), twice(positive, n), twice(positive, n)
	shadow := []kernels.Array{l.out(bf, n)}
	sp := tensor.SGDParams{Momentum: 0.9, WeightDecay: 0.01, Nesterov: true}
	ap := tensor.AdamParams{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.01}
	for range 2 {
		l.enc.SGD(sp, p[0], g[0], m[0], lr)
		l.enc.SGDMixed(sp, p[1], g[1], m[1], shadow, lr)
		l.enc.Adam(ap, p[0], g[0], m[0], v[0], lr, step)
		l.enc.AdamMixed(ap, p[1], g[1], m[1], v[1], shadow, lr, step)
	}
	for i, pair := range [][2][]kernels.Array{p, m, v} {
		if !slices.Equal(l.floats(pair[0][0]), l.floats(pair[1][0])) {
			t.Errorf("tensor %d of p, m, v: other bits", i)
		}
	}
}

func b2i(v bool) int {
	if v {
		return 1
	}
	return 0
}

// TestSpectralFuser holds tensor.SpectralFuser's three methods to the reference's.
func TestSpectralFuser(t *testing.T) {
	l := newLab(t)
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64} {
		eps := []float64{1e-6, 1e-6, 1e-3, 1e-6}
		shapes := [][]int{{5, 3, 3, 7}, {1, 40}, {33, 2}, {12, 1, 1, 300}}
		var w, u, v, next, sigma []kernels.Array
		var rw, ru, rv, rnext, rsigma []*tensor.Tensor
		for _, s := range shapes {
			cols := tensor.Shape(s[1:]).Size()
			a, ra := l.normal(dt, s...)
			b, rb := l.normal(dt, 1, s[0])
			w, rw, u, ru = append(w, a), append(rw, ra), append(u, b), append(ru, rb)
			v, rv = append(v, l.out(dt, 1, cols)), append(rv, l.zeros(1, cols))
			next, rnext = append(next, l.out(dt, 1, s[0])), append(rnext, l.zeros(1, s[0]))
			sigma, rsigma = append(sigma, l.out(dt, 1)), append(rsigma, l.zeros(1))
		}
		l.enc.PowerIterate(next, v, sigma, w, u, eps)
		l.ref.PowerIterate(rnext, rv, rsigma, rw, ru, eps)
		for i, s := range shapes {
			l.near("v", v[i], rv[i].Floats(), 1)
			l.near("next", next[i], rnext[i].Floats(), 1)
			y, dw := l.out(dt, s...), l.out(dt, s...)
			ry, rdw := l.zeros(s...), l.zeros(s...)
			dy, rdy := l.normal(dt, s...)
			l.enc.SpectralQuotient(y, w[i], sigma[i])
			l.ref.SpectralQuotient(ry, rw[i], rsigma[i])
			l.enc.SpectralQuotientGrad(dw, dy, w[i], next[i], v[i], sigma[i])
			l.ref.SpectralQuotientGrad(rdw, rdy, rw[i], rnext[i], rv[i], rsigma[i])
			l.near("sigma", sigma[i], rsigma[i].Floats(), 30)
			l.near("y", y, ry.Floats(), 3)
			l.near("dw", dw, rdw.Floats(), 10)
		}
	}
}
