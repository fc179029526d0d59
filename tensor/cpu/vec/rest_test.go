package vec

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// tolSoftmax: the exponential's 2 ulp, the rounding of x-m (which the exponential multiplies by
// |x-m|, up to 30 here), the sum's and the division's.
const tolSoftmax = 48.0

func TestSoftmax(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(15, 16))
		for _, k := range []int{1, 2, 10, 15, 16, 17, 33, 100, 1000, 1003} {
			const rows = 5
			x := randoms(r, rows*k)
			for i := range x {
				x[i] *= 5
			}
			soft, check1 := guarded(t, rows*k, 3)
			logs, check2 := guarded(t, rows*k, 5)
			v.softmax(soft, x, k)
			v.logSoftmax(logs, x, k)
			check1("Softmax")
			check2("LogSoftmax")
			for i := 0; i < rows*k; i += k {
				checkSoftmaxRow(t, v.name, x[i:i+k], soft[i:i+k], logs[i:i+k])
			}
			in := append([]float32(nil), x...)
			v.softmax(in, in, k)
			for i := range in {
				if in[i] != soft[i] {
					t.Fatalf("%s Softmax in place differs at %d", v.name, i)
				}
			}
		}
	}
}

func checkSoftmaxRow(t *testing.T, name string, x, soft, logs []float32) {
	t.Helper()
	m, s := math.Inf(-1), 0.0
	for _, a := range x {
		m = max(m, float64(a))
	}
	for _, a := range x {
		s += math.Exp(float64(a) - m)
	}
	for i, a := range x {
		p := math.Exp(float64(a)-m) / s
		l := float64(a) - m - math.Log(s)
		if !close32(soft[i], p, p, tolSoftmax) {
			t.Fatalf("%s Softmax K %d: got %v, want %v", name, len(x), soft[i], p)
		}
		if !close32(logs[i], l, math.Abs(float64(a)-m)+math.Log(s)+1, tolFew+tolLog) {
			t.Fatalf("%s LogSoftmax K %d: got %v, want %v", name, len(x), logs[i], l)
		}
	}
}

// tolNorm: the mean's rounding and the difference's, which rstd multiplies, and some operations.
const tolNorm = 8.0

func TestLayerNorm(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(25, 26))
		for _, k := range []int{1, 2, 7, 8, 15, 16, 17, 33, 96, 255, 256, 300, 768, 1003} {
			const rows, eps, off = 5, 1e-3, 3
			x, gamma, beta := randoms(r, rows*k), randoms(r, k), randoms(r, k)
			for i := range x {
				x[i] += off
			}
			y, check := guarded(t, rows*k, 3)
			stats, checkStats := guarded(t, 2*rows, 1)
			v.layerNorm(y, stats[:rows], stats[rows:], x, gamma, beta, eps)
			check("LayerNorm")
			checkStats("LayerNorm")
			for i := range rows {
				row := x[i*k : (i+1)*k]
				mean, rstd := rowMoments(row, eps)
				if !close32(stats[i], mean, math.Abs(mean)+1, tolFew) ||
					!close32(stats[rows+i], rstd, rstd*(1+rstd*rstd*off), tolNorm) {
					t.Fatalf("%s K %d: mean %v, rstd %v, want %v, %v", v.name, k, stats[i], stats[rows+i],
						mean, rstd)
				}
				for c, a := range row {
					unit, s := (float64(a)-mean)*rstd, float64(gamma[c])
					want := unit*s + float64(beta[c])
					size := (math.Abs(unit)+1+2*off*rstd)*(1+rstd*rstd*off)*math.Abs(s) + math.Abs(want)
					if !close32(y[i*k+c], want, size, tolNorm) {
						t.Fatalf("%s K %d: y[%d, %d] = %v, want %v", v.name, k, i, c, y[i*k+c], want)
					}
				}
			}
		}
	}
}

func rowMoments(x []float32, eps float64) (mean, rstd float64) {
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	variance := 0.0
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	return mean, 1 / math.Sqrt(variance+eps)
}

func TestSoftmaxSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, v := range variants() {
		for _, k := range []int{3, 10, 20, 40} {
			for _, bad := range []float32{nan, inf} {
				x, y, z := make([]float32, 3*k), make([]float32, 3*k), make([]float32, 3*k)
				x[k+k/2] = bad
				x[0] = -inf
				v.softmax(y, x, k)
				v.logSoftmax(z, x, k)
				for i := range y {
					poisoned := i/k == 1
					if (y[i] != y[i]) != poisoned || (z[i] != z[i]) != poisoned {
						t.Fatalf("%s K %d, %v: row %d gives %v and %v", v.name, k, bad,
							i/k, y[i], z[i])
					}
				}
				if y[0] != 0 || z[0] != -inf {
					t.Fatalf("%s: softmax of -Inf is %v, log %v", v.name, y[0], z[0])
				}
			}
		}
	}
}

func TestOptimizers(t *testing.T) {
	sgd := SGDParams{LR: 0.125, Momentum: 0.875, WeightDecay: 0.0625}
	nag := sgd
	nag.Nesterov = true
	adam := AdamParams{LR: 0.0625, Beta1: 0.875, Beta2: 0.96875, Eps: 0x1p-20, WeightDecay: 0.25,
		DecoupledDecay: 0.5, Correction1: 0.125, Correction2: 0.03125}
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(17, 18))
		for _, n := range sizes {
			for _, o := range []SGDParams{sgd, nag} {
				checkSGD(t, v, o, randoms(r, n), randoms(r, n), randoms(r, n))
			}
			checkAdam(t, v, adam, r, n)
		}
	}
}

func checkSGD(t *testing.T, v table, o SGDParams, p0, b0, g []float32) {
	t.Helper()
	p, check1 := guarded(t, len(g), 1)
	buf, check2 := guarded(t, len(g), 2)
	copy(p, p0)
	copy(buf, b0)
	v.sgd(p, buf, g, o)
	check1("SGD p")
	check2("SGD buf")
	mu, wd, lr := float64(o.Momentum), float64(o.WeightDecay), float64(o.LR)
	for i := range p {
		w, b, d := float64(p0[i]), float64(b0[i]), float64(g[i])
		mag := math.Abs(w) + math.Abs(b) + math.Abs(d)
		d += wd * w
		b = mu*b + d
		step := b
		if o.Nesterov {
			step = d + mu*b
		}
		w -= lr * step
		if !close32(buf[i], b, mag, tolFew) || !close32(p[i], w, mag, tolFew) {
			t.Fatalf("%s SGD %+v at %d: p %v want %v, buf %v want %v", v.name, o, i, p[i], w,
				buf[i], b)
		}
	}
}

func checkAdam(t *testing.T, v table, o AdamParams, r *rand.Rand, n int) {
	t.Helper()
	p0, m0, v0, g := randoms(r, n), randoms(r, n), randoms(r, n), randoms(r, n)
	absGo(v0, v0)
	p, check := guarded(t, n, 3)
	m, sq := append([]float32(nil), m0...), append([]float32(nil), v0...)
	copy(p, p0)
	v.adam(p, m, sq, g, o)
	check("Adam p")
	b1, b2, lr := float64(o.Beta1), float64(o.Beta2), float64(o.LR)
	for i := range p {
		w := float64(p0[i]) * (1 - lr*float64(o.DecoupledDecay))
		d := float64(g[i]) + float64(o.WeightDecay)*w
		a := b1*float64(m0[i]) + (1-b1)*d
		b := b2*float64(v0[i]) + (1-b2)*d*d
		root := math.Sqrt(b)/math.Sqrt(float64(o.Correction2)) + float64(o.Eps)
		step := lr / float64(o.Correction1) * a / root
		magA := math.Abs(float64(m0[i])) + math.Abs(float64(g[i])) + math.Abs(w)
		magP := math.Abs(w) + lr/float64(o.Correction1)*magA/root
		magB := float64(v0[i]) + magA*magA
		// The step's error has the root's in it, relative to its own error in b.
		magP *= 1 + magB/b
		if !close32(m[i], a, magA, tolFew) || !close32(sq[i], b, magB, tolFew) ||
			!close32(p[i], w-step, magP, tolChain) {
			t.Fatalf("%s Adam at %d: p %v want %v, m %v want %v, v %v want %v",
				v.name, i, p[i], w-step, m[i], a, sq[i], b)
		}
	}
}

func TestSGDWithoutMomentum(t *testing.T) {
	p, g := []float32{1, 2}, []float32{4, -8}
	SGD(p, nil, g, SGDParams{LR: 0.25, WeightDecay: 0.5})
	if p[0] != -0.125 || p[1] != 3.75 {
		t.Fatalf("got %v, want [-0.125 3.75]", p)
	}
}

func TestResample(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(19, 20))
		for _, c := range []int{1, 3, 16, 17, 33, 64, 65} {
			for _, w := range []int{0, 1, 5} {
				top, bottom := randoms(r, 2*w*c), randoms(r, 2*w*c)
				dst, check := guarded(t, w*c, 1)
				v.pool2x2(dst, top, bottom, c, 0.25)
				check("Pool2x2")
				up1, check1 := guarded(t, 2*w*c, 2)
				up2, check2 := guarded(t, 2*w*c, 3)
				v.upsample2x2(up1, up2, dst, c, 0.5)
				check1("Upsample2x2 top")
				check2("Upsample2x2 bottom")
				for i := range dst {
					j := i/c*2*c + i%c
					want := ((top[j] + top[j+c]) + (bottom[j] + bottom[j+c])) * 0.25
					if dst[i] != want {
						t.Fatalf("%s Pool2x2 C %d: %v, want %v", v.name, c, dst[i], want)
					}
					for _, u := range []float32{up1[j], up1[j+c], up2[j], up2[j+c]} {
						if u != want*0.5 {
							t.Fatalf("%s Upsample2x2 C %d: %v, want %v", v.name, c, u, want*0.5)
						}
					}
				}
			}
		}
	}
}

func TestMisusePanics(t *testing.T) {
	a, b := make([]float32, 6), make([]float32, 4)
	for name, f := range map[string]func(){
		"Add":        func() { Add(a, a, b) },
		"ReLU":       func() { ReLU(a, b) },
		"ScaleShift": func() { ScaleShift(a, a, b, b) },
		"Softmax":    func() { Softmax(a, a, 4) },
		"LayerNorm":  func() { LayerNorm(a, a[:2], a[:2], a, b[:2], b[:2], 0) },
		"ColSum":     func() { ColSum(nil, a) },
		"Pool2x2":    func() { Pool2x2(b, a, a, 2, 1) },
		"MaxWindows": func() {
			MaxWindows(b, make([]int32, 4), a, Windows{C: 2, Count: 2, KH: 2, KW: 2, Pitch: 2})
		},
		"ScatterAdd":       func() { ScatterAdd(a, b, []int32{0, 0, 3, 0}, 2) },
		"Dot":              func() { Dot(a, b) },
		"AXPBY":            func() { AXPBY(a, 1, a, 1, b) },
		"AddDoubles":       func() { AddDoubles(make([]float64, 2), nil) },
		"ColSumWeighted":   func() { ColSumWeighted(make([]float64, 2), a, b) },
		"CrossEntropyGrad": func() { CrossEntropyGrad(a, a, b, 1, 1) },
	} {
		func() {
			defer func() {
				if r, ok := recover().(string); !ok || !strings.HasPrefix(r, "vec: "+name+": ") {
					t.Errorf("%s: panic value %v", name, r)
				}
			}()
			f()
			t.Errorf("%s accepted operands that do not fit", name)
		}()
	}
}
