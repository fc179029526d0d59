package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// guard surrounds results; it must survive.
const guard = 4321.5

// tolerance bounds |error| / (number of products + 4) / sum of their magnitudes: each multiply-add
// rounds at most twice, 2^-24 relative to a partial sum.
const tolerance = 2.0 / (1 << 24)

// visit calls f for every product of the convolution with the indices of y, x and w: the
// definition, in seven loops, from which all three directions are computed here.
func visit(s Shape, f func(y, x, w int)) {
	c, o := s.C/s.Groups, s.O/s.Groups
	for n := range s.N {
		for oh := range s.OutH() {
			for ow := range s.OutW() {
				for out := range s.O {
					for kh := range s.KH {
						for kw := range s.KW {
							h := oh*s.StrideH + kh*s.DilH - s.PadTop
							w := ow*s.StrideW + kw*s.DilW - s.PadLeft
							if h < 0 || h >= s.H || w < 0 || w >= s.W {
								continue
							}
							for i := range c {
								f(((n*s.OutH()+oh)*s.OutW()+ow)*s.O+out,
									((n*s.H+h)*s.W+w)*s.C+out/o*c+i,
									((out*s.KH+kh)*s.KW+kw)*c+i)
							}
						}
					}
				}
			}
		}
	}
}

// A reference is a result in float64 with what its rounding error is relative to.
type reference struct{ sum, mag, terms []float64 }

func newReference(n int) *reference {
	return &reference{make([]float64, n), make([]float64, n), make([]float64, n)}
}

func (r *reference) add(i int, p float64) {
	r.sum[i] += p
	r.mag[i] += math.Abs(p)
	r.terms[i]++
}

func (r *reference) check(t *testing.T, what string, got []float32) {
	t.Helper()
	for i, g := range got {
		if math.Abs(float64(g)-r.sum[i]) > tolerance*(r.terms[i]+4)*r.mag[i] || g != g {
			t.Fatalf("%s: element %d is %g, want %g", what, i, g, r.sum[i])
		}
	}
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

// guarded calls f with a result of n elements, filled with NaN, inside guard zones.
func guarded(t *testing.T, what string, n int, f func(out []float32)) []float32 {
	t.Helper()
	const zone = 40
	buf := make([]float32, n+2*zone)
	for i := range buf {
		buf[i] = guard
	}
	out := buf[zone : zone+n : zone+n]
	for i := range out {
		out[i] = float32(math.NaN())
	}
	f(out)
	for i := range zone {
		if buf[i] != guard || buf[zone+n+i] != guard {
			t.Fatalf("%s: wrote outside the result", what)
		}
	}
	return out
}

// operands draws those of a convolution's three directions.
func operands(rng *rand.Rand, s Shape) (x, w, dy, bias []float32) {
	nx, ny := s.N*s.H*s.W*s.C, s.N*s.OutH()*s.OutW()*s.O
	nw := s.O * s.KH * s.KW * (s.C / s.Groups)
	return random(rng, nx), random(rng, nw), random(rng, ny), random(rng, s.O)
}

// define returns what the three directions are by definition: the output with its bias, the
// gradients of x and of w.
func define(s Shape, x, w, dy, bias []float32) (ry, rx, rw *reference) {
	ry, rx, rw = newReference(len(dy)), newReference(len(x)), newReference(len(w))
	visit(s, func(iy, ix, iw int) {
		fx, fw, fy := float64(x[ix]), float64(w[iw]), float64(dy[iy])
		ry.add(iy, fx*fw)
		rx.add(ix, fy*fw)
		rw.add(iw, fy*fx)
	})
	for i := range dy {
		ry.add(i, float64(bias[i%s.O]))
	}
	return ry, rx, rw
}

// checkShape compares all directions with the definition, for each variant and 1 to 3 threads.
func checkShape(t *testing.T, rng *rand.Rand, ps []*par.Pool, s Shape) {
	t.Helper()
	x, w, dy, bias := operands(rng, s)
	ry, rx, rw := define(s, x, w, dy, bias)
	for _, v := range micro.Variants() {
		var first [3][]float32
		for _, p := range ps {
			what := fmt.Sprintf("%v, %d threads, %+v", v, p.Threads(), s)
			got := [3][]float32{
				guarded(t, what, len(dy), func(y []float32) { s.forward(v, p, y, x, w, Epilogue{Bias: bias}) }),
				guarded(t, what, len(x), func(dx []float32) { s.inputGrad(v, p, dx, dy, w, nil) }),
				guarded(t, what, len(w), func(dw []float32) { s.weightGrad(v, p, dw, x, dy) }),
			}
			if first[0] == nil {
				first = got
				ry.check(t, "forward "+what, got[0])
				rx.check(t, "input gradient "+what, got[1])
				rw.check(t, "weight gradient "+what, got[2])
			}
			for d := range got {
				if !slices.Equal(got[d], first[d]) {
					t.Fatalf("direction %d: %s: bits differ from 1 thread", d, what)
				}
			}
			checkEpilogue(t, what, bias, got[0], dy, func(y []float32, e Epilogue) {
				s.forward(v, p, y, x, w, e)
			})
		}
		checkPlanar(t, v, ps, s, x, w, dy, bias, ry, rx)
		checkStacked(t, v, ps, s, x, w, dy, bias)
	}
}

// checkStacked holds tiles of images to tiles of a row, to the bit, wherever they can be used.
func checkStacked(t *testing.T, v micro.Variant, ps []*par.Pool, s Shape, x, w, dy,
	bias []float32) {
	t.Helper()
	for _, p := range ps {
		what := fmt.Sprintf("tiles of images: %v, %d threads, %+v", v, p.Threads(), s)
		for _, d := range []struct {
			size   int
			passes func(out []float32) []*pass
		}{
			{len(dy), func(y []float32) []*pass {
				return []*pass{s.forwardPass(v, p, y, x, w, Epilogue{Bias: bias, Res: dy, ReLU: true})}
			}},
			{len(x), func(dx []float32) []*pass { return s.inputGradPasses(v, p, dx, dy, w, nil) }},
		} {
			if !stackable(d.passes(make([]float32, d.size))) {
				continue
			}
			want := guarded(t, what, d.size, func(out []float32) { runBy(sweep, d.passes(out)) })
			got := guarded(t, what, d.size, func(out []float32) { runBy(sweepStacked, d.passes(out)) })
			if !slices.Equal(got, want) {
				t.Fatalf("%s: bits differ from tiles of a row", what)
			}
		}
	}
}

// checkEpilogue holds an epilogue to passes of its own over y, a result with the bias, to the bit.
func checkEpilogue(t *testing.T, what string, bias, y, res []float32,
	f func(y []float32, e Epilogue)) {
	t.Helper()
	twice := func(y []float32, n, count, step int) {
		for r := range count {
			for i := range n {
				y[r*step+i] *= 2
			}
		}
	}
	for _, e := range []Epilogue{{Bias: bias, ReLU: true}, {Bias: bias, Res: res},
		{Bias: bias, Res: res, ReLU: true}, {Bias: bias, Then: twice},
		{Bias: bias, Res: res, Then: twice}, {Bias: bias, Clamp: &[2]float32{-0.5, 1}},
		{Bias: bias, Res: res, Clamp: &[2]float32{-0.5, 1}}} {
		got := guarded(t, what, len(y), func(y []float32) { f(y, e) })
		for i, want := range y {
			if e.Res != nil {
				want += e.Res[i]
			}
			if e.ReLU {
				want = max(want, 0)
			}
			if e.Clamp != nil {
				want = min(max(want, e.Clamp[0]), e.Clamp[1])
			}
			if e.Then != nil {
				want *= 2
			}
			if got[i] != want {
				t.Fatalf("%s: residual %v, ReLU %v: element %d is %g, expected %g", what, e.Res != nil,
					e.ReLU, i, got[i], want)
			}
		}
	}
}

// checkPlanar forces the planar form wherever it can compute a direction.
func checkPlanar(t *testing.T, v micro.Variant, ps []*par.Pool, s Shape, x, w, dy, bias []float32,
	ry, rx *reference) {
	t.Helper()
	for _, d := range []Direction{DirForward, DirInputGrad} {
		if !s.planarApplies(d) {
			continue
		}
		var first []float32
		for _, p := range ps {
			what := fmt.Sprintf("planar direction %d: %v, %d threads, %+v", d, v, p.Threads(), s)
			size, want := len(dy), ry
			f := func(y []float32) { s.forwardPlanar(v, p, y, x, w, Epilogue{Bias: bias}) }
			if d == DirInputGrad {
				size, want = len(x), rx
				f = func(dx []float32) { s.inputGradPlanar(v, p, dx, dy, w) }
			}
			got := guarded(t, what, size, f)
			if first == nil {
				first = got
				want.check(t, what, got)
			}
			if d == DirForward {
				checkEpilogue(t, what, bias, got, dy, func(y []float32, e Epilogue) {
					s.forwardPlanar(v, p, y, x, w, e)
				})
			}
			if !slices.Equal(got, first) {
				t.Fatalf("%s: bits differ from 1 thread", what)
			}
		}
	}
}

func pools(t testing.TB) []*par.Pool {
	var ps []*par.Pool
	for threads := 1; threads <= 3; threads++ {
		p := par.New(threads)
		t.Cleanup(p.Close)
		ps = append(ps, p)
	}
	return ps
}
