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

// checkShape compares all directions with the definition, for each variant and 1 to 3 threads.
func checkShape(t *testing.T, rng *rand.Rand, ps []*par.Pool, s Shape) {
	t.Helper()
	nx, ny := s.N*s.H*s.W*s.C, s.N*s.OutH()*s.OutW()*s.O
	nw := s.O * s.KH * s.KW * (s.C / s.Groups)
	x, w, dy, bias := random(rng, nx), random(rng, nw), random(rng, ny), random(rng, s.O)
	ry, rx, rw := newReference(ny), newReference(nx), newReference(nw)
	visit(s, func(iy, ix, iw int) {
		fx, fw, fy := float64(x[ix]), float64(w[iw]), float64(dy[iy])
		ry.add(iy, fx*fw)
		rx.add(ix, fy*fw)
		rw.add(iw, fy*fx)
	})
	for i := range ny {
		ry.add(i, float64(bias[i%s.O]))
	}
	for _, v := range micro.Variants() {
		var first [3][]float32
		for _, p := range ps {
			what := fmt.Sprintf("%v, %d threads, %+v", v, p.Threads(), s)
			got := [3][]float32{
				guarded(t, what, ny, func(y []float32) { s.forward(v, p, y, x, w, Epilogue{Bias: bias}) }),
				guarded(t, what, nx, func(dx []float32) { s.inputGrad(v, p, dx, dy, w, nil) }),
				guarded(t, what, nw, func(dw []float32) { s.weightGrad(v, p, dw, x, dy) }),
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

// TestListedShapes covers the layers this program is made of, at small sizes, and every edge that
// a tile can have.
func TestListedShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	ps := pools(t)
	shapes := []Shape{
		Square(2, 8, 8, 16, 16, 3, 1, 1), Square(1, 16, 16, 32, 32, 3, 1, 1),
		Square(3, 4, 4, 33, 48, 3, 1, 1), Square(2, 9, 9, 16, 32, 3, 2, 1),
		Square(2, 8, 8, 32, 64, 3, 2, 1), Square(2, 15, 15, 3, 16, 3, 1, 1),
		Square(1, 20, 20, 3, 17, 7, 2, 3), Square(2, 7, 7, 17, 5, 1, 1, 0),
		Square(2, 8, 8, 16, 32, 1, 2, 0), Square(1, 1, 1, 5, 33, 3, 1, 1),
		Square(2, 2, 2, 16, 16, 3, 1, 1), Square(2, 3, 3, 1, 1, 3, 1, 1),
		Square(1, 3, 3, 1, 16, 5, 1, 2), Square(1, 30, 30, 4, 3, 4, 2, 1),
		Square(1, 29, 43, 2, 2, 3, 1, 1), Square(1, 6, 6, 3, 3, 6, 1, 0),
		Square(1, 2, 2, 3, 3, 3, 1, 0), // no output
		Square(0, 4, 4, 3, 3, 3, 1, 1), // no images
		Square(1, 5, 5, 3, 4, 3, 4, 0), // pixels that nothing sees
		Square(40, 8, 8, 16, 16, 3, 1, 1),
		Square(16, 4, 4, 17, 33, 3, 1, 1), Square(29, 7, 7, 5, 34, 3, 2, 1), // tiles of images
		Square(30, 5, 5, 9, 40, 1, 2, 0),
		Square(2, 6, 5, 3, 270, 3, 1, 1), Square(13, 5, 5, 3, 270, 1, 1, 0), // from end to end
		Square(1, 6, 6, 45, 46, 7, 2, 3), // weights' gradient by rows of taps
		{N: 2, H: 11, W: 13, C: 12, O: 8, KH: 3, KW: 5, StrideH: 2, StrideW: 3, PadTop: 2,
			PadLeft: 1, PadBottom: 0, PadRight: 3, DilH: 2, DilW: 1, Groups: 4},
		{N: 2, H: 9, W: 9, C: 6, O: 6, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadTop: 1,
			PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 6},
		depthwise(Square(2, 30, 30, 70, 70, 3, 1, 1)), depthwise(Square(3, 7, 7, 100, 100, 7, 1, 3)),
		depthwise(Square(1, 33, 33, 24, 24, 5, 2, 2)), depthwise(Square(2, 1, 1, 8, 8, 3, 1, 1)),
		depthwise(Square(2, 8, 8, 20, 20, 1, 3, 0)), depthwise(Square(0, 4, 4, 3, 3, 3, 1, 1)),
		depthwise(Square(1, 9, 9, 290, 290, 3, 1, 1)), depthwise(Square(2, 44, 44, 130, 130, 3, 2, 1)),
		depthwise(Square(1, 13, 13, 9, 9, 9, 1, 4)),
		{N: 1, H: 12, W: 10, C: 5, O: 7, KH: 3, KW: 3, StrideH: 1, StrideW: 2, PadTop: 4,
			PadLeft: 4, PadBottom: 4, PadRight: 4, DilH: 4, DilW: 3, Groups: 1},
		{N: 1, H: 1, W: 2, C: 3, O: 4, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadTop: 3,
			PadLeft: 3, PadBottom: 3, PadRight: 3, DilH: 1, DilW: 1, Groups: 1},
		// The last output row lies in the padding, and is asked for ahead in two blocks of channels.
		{N: 1, H: 3, W: 246, C: 140, O: 130, KH: 1, KW: 1, StrideH: 2, StrideW: 2, PadBottom: 2,
			DilH: 1, DilW: 1, Groups: 1},
	}
	for _, s := range shapes {
		checkShape(t, rng, ps, s)
	}
}

// TestRandomShapes draws every attribute.
func TestRandomShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	ps := pools(t)
	channels := []int{1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 40}
	count := 150
	if testing.Short() {
		count = 30
	}
	for range count {
		s := Shape{N: 1 + rng.IntN(3), H: 1 + rng.IntN(18), W: 1 + rng.IntN(18),
			KH: 1 + rng.IntN(5), KW: 1 + rng.IntN(5), StrideH: 1 + rng.IntN(3),
			StrideW: 1 + rng.IntN(3), PadTop: rng.IntN(4), PadLeft: rng.IntN(4),
			PadBottom: rng.IntN(4), PadRight: rng.IntN(4), DilH: 1 + rng.IntN(2),
			DilW: 1 + rng.IntN(2), Groups: 1}
		s.C, s.O = channels[rng.IntN(len(channels))], channels[rng.IntN(len(channels))]
		if rng.IntN(4) == 0 {
			s.Groups = 1 + rng.IntN(3)
			s.C, s.O = s.Groups*(1+rng.IntN(9)), s.Groups*(1+rng.IntN(9))
		}
		if rng.IntN(5) == 0 {
			s = depthwise(s)
		}
		checkShape(t, rng, ps, s)
	}
}

// depthwise is s with a group for each input channel and as many output channels.
func depthwise(s Shape) Shape {
	s.Groups, s.O = s.C, s.C
	return s
}

// TestBatchIndependence: an image has the same bits alone and in a batch.
func TestBatchIndependence(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	p := par.New(2)
	defer p.Close()
	for _, s := range []Shape{
		Square(9, 12, 12, 20, 24, 3, 2, 1), Square(9, 14, 14, 16, 3, 3, 1, 1), // planar
		Square(9, 9, 9, 800, 20, 1, 1, 0), // a matrix product
		depthwise(Square(9, 12, 12, 40, 40, 3, 2, 1)),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C/s.Groups)
		y := make([]float32, s.N*s.OutH()*s.OutW()*s.O)
		s.Forward(p, y, x, w, Epilogue{})
		one := s
		one.N = 1
		y1 := make([]float32, len(y)/s.N)
		for n := range s.N {
			one.Forward(p, y1, x[n*len(x)/s.N:(n+1)*len(x)/s.N], w, Epilogue{})
			if !slices.Equal(y1, y[n*len(y1):(n+1)*len(y1)]) {
				t.Fatalf("%+v: image %d alone differs from the batch", s, n)
			}
		}
	}
}

// TestNonFinite: a NaN or an infinity times zero spoils exactly the outputs that a product with it
// enters.
func TestNonFinite(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	rng := rand.New(rand.NewPCG(4, 4))
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		for _, s := range []Shape{
			Square(2, 9, 9, 17, 20, 3, 1, 1), Square(2, 9, 9, 5, 20, 3, 2, 1),
			Square(2, 26, 26, 3, 20, 3, 2, 1), Square(2, 13, 13, 20, 3, 3, 1, 1), // few channels
		} {
			nx, nw := s.N*s.H*s.W*s.C, s.O*9*s.C
			ny := s.N * s.OutH() * s.OutW() * s.O
			spot := rng.IntN(nx)
			x, dy := random(rng, nx), random(rng, ny)
			x[spot] = bad
			spotY := rng.IntN(ny)
			dy[spotY] = bad
			hitY, hitX, hitW := make([]bool, ny), make([]bool, nx), make([]bool, nw)
			visit(s, func(iy, ix, iw int) {
				hitY[iy] = hitY[iy] || ix == spot
				hitX[ix] = hitX[ix] || iy == spotY
				hitW[iw] = hitW[iw] || ix == spot
			})
			for _, v := range micro.Variants() {
				y, dx, dw := make([]float32, ny), make([]float32, nx), make([]float32, nw)
				s.forward(v, p, y, x, make([]float32, nw), Epilogue{})
				s.inputGrad(v, p, dx, dy, make([]float32, nw), nil)
				s.weightGrad(v, p, dw, x, make([]float32, ny))
				for name, r := range map[string]struct {
					got []float32
					hit []bool
				}{"y": {y, hitY}, "dx": {dx, hitX}, "dw": {dw, hitW}} {
					for i, g := range r.got {
						if (g != g) != r.hit[i] {
							t.Fatalf("%v %g: %s[%d] = %g, touched: %v", v, bad, name, i, g,
								r.hit[i])
						}
					}
				}
			}
		}
	}
}

// TestAdjoint checks <Forward(x), dy> = <x, InputGrad(dy)> = <w, WeightGrad(x, dy)> at a size
// where several parts and panels are in play.
func TestAdjoint(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	rng := rand.New(rand.NewPCG(5, 5))
	for _, s := range []Shape{
		Square(6, 32, 32, 64, 96, 3, 1, 1), Square(5, 32, 32, 48, 80, 3, 2, 1),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*9*s.C)
		dy := random(rng, s.N*s.OutH()*s.OutW()*s.O)
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		s.Forward(p, y, x, w, Epilogue{})
		s.InputGrad(p, dx, dy, w, nil)
		s.WeightGrad(p, dw, x, dy)
		want, mag := dot(y, dy)
		for name, pair := range map[string][2][]float32{"dx": {x, dx}, "dw": {w, dw}} {
			// A sum of n numbers with independent errors of a few units in the last place of
			// sums of about a thousand products; mag is the sum of magnitudes.
			if got, _ := dot(pair[0], pair[1]); math.Abs(got-want) > 1e-6*mag {
				t.Errorf("%+v %s: %g, want %g (magnitude %g)", s, name, got, want, mag)
			}
		}
	}
}

func dot(a, b []float32) (sum, mag float64) {
	for i := range a {
		p := float64(a[i]) * float64(b[i])
		sum += p
		mag += math.Abs(p)
	}
	return sum, mag
}

func TestMisusePanics(t *testing.T) {
	p := par.New(1)
	s := Square(1, 4, 4, 2, 2, 3, 1, 1)
	y, x, w := make([]float32, 32), make([]float32, 32), make([]float32, 36)
	odd := s
	odd.Groups = 3
	for name, f := range map[string]func(){
		"short x":  func() { s.Forward(p, y, x[:31], w, Epilogue{}) },
		"bias":     func() { s.Forward(p, y, x, w, Epilogue{Bias: make([]float32, 3)}) },
		"residual": func() { s.Forward(p, y, x, w, Epilogue{Res: make([]float32, 31)}) },
		"groups":   func() { odd.InputGrad(p, x, y, w, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func ExampleShape_Forward() {
	p := par.New(2)
	defer p.Close()
	s := Square(1, 3, 3, 1, 1, 3, 1, 1) // a 3×3 box filter over a 3×3 image
	x := []float32{1, 0, 0, 0, 2, 0, 0, 0, 4}
	w := []float32{1, 1, 1, 1, 1, 1, 1, 1, 1}
	y := make([]float32, 9)
	s.Forward(p, y, x, w, Epilogue{})
	fmt.Println(y)
	// Output: [3 3 2 3 7 6 2 6 6]
}
