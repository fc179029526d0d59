package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// rounded returns x on bfloat16's grid, on which products are exact in float32: what is computed
// from it in bfloat16 has the direct form's tolerance.
func rounded(x []float32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = micro.RoundBF16(v)
	}
	return y
}

// plainGo is the work above which a shape is left to the assembly: in plain Go, which goes number
// by number, it would take seconds and show nothing that smaller ones do not.
const plainGo = 2e6

// checkBF16 compares the directions that have a form in bfloat16 with the definition, for each
// variant and 1 to 3 threads, from rounded operands and from operands that the function has to
// round.
func checkBF16(t *testing.T, rng *rand.Rand, ps []*par.Pool, s Shape) {
	t.Helper()
	x, w, dy, bias := operands(rng, s)
	gx, gw, gy := rounded(x), rounded(w), rounded(dy)
	ry, rx, rw := define(s, gx, gw, gy, bias)
	want, size := [3]*reference{ry, rx, rw}, [3]int{len(dy), len(x), len(w)}
	for _, v := range micro.VariantsBF16() {
		if v == micro.GenericBF16 && s.FLOPs() > plainGo {
			continue
		}
		for d, f := range [3]func(p *par.Pool, out, x, w, dy []float32){
			func(p *par.Pool, y, x, w, _ []float32) { s.forwardBF16(v, p, y, x, w, Epilogue{Bias: bias}) },
			func(p *par.Pool, dx, _, w, dy []float32) { s.inputGradBF16(v, p, dx, dy, w, nil) },
			func(p *par.Pool, dw, x, _, dy []float32) { s.weightGradBF16(v, p, dw, x, dy) },
		} {
			if !s.bf16Applies(Direction(d)) {
				continue
			}
			var first []float32
			for _, p := range ps {
				what := fmt.Sprintf("direction %d, %v, %d threads, %+v", d, v, p.Threads(), s)
				got := guarded(t, what, size[d], func(out []float32) { f(p, out, gx, gw, gy) })
				if first == nil {
					first = got
					want[d].check(t, what, got)
				}
				raw := guarded(t, what, size[d], func(out []float32) { f(p, out, x, w, dy) })
				if !slices.Equal(got, first) || !slices.Equal(raw, first) {
					t.Fatalf("%s: other bits than on 1 thread, or of operands not rounded before", what)
				}
			}
			if d == int(DirForward) {
				checkEpilogue(t, fmt.Sprintf("%v %+v", v, s), bias, first, dy, func(y []float32, e Epilogue) {
					s.forwardBF16(v, ps[1], y, gx, gw, e)
				})
			}
		}
	}
}

// TestBF16 covers the layers that take this form and every edge that pairs can have.
func TestBF16(t *testing.T) {
	if testing.Short() {
		t.Skip("short: two seconds of shapes; tensor/cpu has the conformance suite")
	}
	rng := rand.New(rand.NewPCG(41, 41))
	ps := pools(t)
	for _, s := range []Shape{
		Square(2, 8, 8, 16, 16, 3, 1, 1), Square(1, 16, 16, 32, 32, 3, 1, 1),
		Square(3, 4, 4, 34, 48, 3, 1, 1), Square(2, 9, 9, 16, 32, 3, 2, 1),
		Square(5, 8, 8, 32, 64, 3, 2, 1), Square(1, 20, 20, 4, 18, 7, 2, 3),
		Square(2, 7, 7, 18, 6, 1, 1, 0), Square(3, 8, 8, 16, 32, 1, 2, 0),
		Square(2, 7, 7, 17, 6, 1, 1, 0), Square(2, 7, 7, 18, 5, 3, 1, 1), // one side odd
		Square(1, 1, 1, 2, 34, 3, 1, 1), Square(2, 2, 2, 16, 16, 3, 1, 1),
		Square(2, 3, 3, 1, 1, 3, 1, 1), Square(1, 30, 30, 4, 2, 4, 2, 1),
		Square(16, 4, 4, 18, 34, 3, 1, 1), Square(17, 8, 8, 4, 6, 3, 2, 1), // tiles of images
		Square(1, 6, 6, 2, 4, 6, 1, 0), Square(1, 2, 2, 4, 4, 3, 1, 0), // no output
		Square(0, 4, 4, 4, 4, 3, 1, 1), // no images
		Square(1, 5, 5, 2, 4, 3, 4, 0), // pixels that nothing sees
		Square(41, 8, 8, 16, 16, 3, 1, 1), Square(7, 20, 20, 64, 96, 3, 1, 1),
		// Paired as a whole, one without a second; pixels left out; few channels beside many.
		Square(3, 3, 3, 160, 192, 3, 1, 1), Square(5, 9, 9, 48, 32, 1, 2, 0),
		Square(3, 7, 7, 20, 18, 1, 3, 0), Square(2, 5, 5, 160, 2, 3, 1, 1),
		{N: 3, H: 11, W: 13, C: 16, O: 8, KH: 3, KW: 5, StrideH: 2, StrideW: 3, PadTop: 2,
			PadLeft: 1, PadBottom: 0, PadRight: 3, DilH: 2, DilW: 1, Groups: 4},
		{N: 1, H: 12, W: 10, C: 6, O: 8, KH: 3, KW: 3, StrideH: 1, StrideW: 2, PadTop: 4,
			PadLeft: 4, PadBottom: 4, PadRight: 4, DilH: 4, DilW: 3, Groups: 1},
		{N: 1, H: 1, W: 2, C: 2, O: 4, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadTop: 3,
			PadLeft: 3, PadBottom: 3, PadRight: 3, DilH: 1, DilW: 1, Groups: 1},
	} {
		checkBF16(t, rng, ps, s)
	}
}

// TestBF16RandomShapes draws every attribute.
func TestBF16RandomShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(42, 42))
	ps := pools(t)
	channels := []int{1, 2, 4, 6, 14, 16, 18, 32, 34, 40}
	count := 100
	if testing.Short() {
		count = 20
	}
	for range count {
		s := Shape{N: 1 + rng.IntN(4), H: 1 + rng.IntN(18), W: 1 + rng.IntN(18),
			KH: 1 + rng.IntN(5), KW: 1 + rng.IntN(5), StrideH: 1 + rng.IntN(3),
			StrideW: 1 + rng.IntN(3), PadTop: rng.IntN(4), PadLeft: rng.IntN(4),
			PadBottom: rng.IntN(4), PadRight: rng.IntN(4), DilH: 1 + rng.IntN(2),
			DilW: 1 + rng.IntN(2), Groups: 1}
		s.C, s.O = channels[rng.IntN(len(channels))], channels[rng.IntN(len(channels))]
		if rng.IntN(4) == 0 {
			s.Groups = 1 + rng.IntN(3)
			s.C, s.O = s.Groups*(1+rng.IntN(9)), s.Groups*(1+rng.IntN(9))
		}
		checkBF16(t, rng, ps, s)
	}
}

// TestBF16Bound holds operands that are not on the grid to the bound that the functions state.
func TestBF16Bound(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 43))
	p := par.New(2)
	defer p.Close()
	s := Square(4, 9, 9, 32, 24, 3, 1, 1)
	x, w, y := random(rng, 4*81*32), random(rng, 24*9*32), make([]float32, 4*81*24)
	r := newReference(len(y))
	visit(s, func(iy, ix, iw int) { r.add(iy, float64(x[ix])*float64(w[iw])) })
	for _, v := range micro.VariantsBF16() {
		s.forwardBF16(v, p, y, x, w, Epilogue{})
		worst := 0.0
		for i, got := range y {
			relative := math.Abs(float64(got)-r.sum[i]) / r.mag[i]
			if bound := 0x1p-7 + 0x1p-16 + r.terms[i]*0x1p-24; relative > bound {
				t.Fatalf("%v: element %d is %g, want %g: %g of the magnitudes", v, i, got, r.sum[i],
					relative)
			}
			worst = max(worst, relative)
		}
		if worst < 0x1p-24*4*288 { // float32's bound: then nothing was rounded
			t.Errorf("%v: the largest error is %g of the magnitudes: is that bfloat16?", v, worst)
		}
	}
}

// TestBF16NonFinite: a NaN or an infinity times zero spoils exactly the outputs that a product with
// it enters, and nothing through its pair.
func TestBF16NonFinite(t *testing.T) {
	p := par.New(2)
	defer p.Close()
	rng := rand.New(rand.NewPCG(44, 44))
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32} {
		for _, s := range []Shape{
			Square(3, 9, 9, 6, 20, 3, 1, 1), Square(2, 9, 9, 4, 20, 3, 2, 1),
			Square(2, 9, 9, 6, 20, 1, 1, 0),
		} {
			nx, nw := s.N*s.H*s.W*s.C, s.O*s.KH*s.KW*s.C
			ny := s.N * s.OutH() * s.OutW() * s.O
			x, dy := random(rng, nx), random(rng, ny)
			spot, spotY := rng.IntN(nx), rng.IntN(ny)
			x[spot], dy[spotY] = bad, bad
			hitY, hitX, hitW := make([]bool, ny), make([]bool, nx), make([]bool, nw)
			visit(s, func(iy, ix, iw int) {
				hitY[iy] = hitY[iy] || ix == spot
				hitX[ix] = hitX[ix] || iy == spotY
				hitW[iw] = hitW[iw] || ix == spot
			})
			for _, v := range micro.VariantsBF16() {
				y, dx, dw := make([]float32, ny), make([]float32, nx), make([]float32, nw)
				s.forwardBF16(v, p, y, x, make([]float32, nw), Epilogue{})
				s.inputGradBF16(v, p, dx, dy, make([]float32, nw), nil)
				s.weightGradBF16(v, p, dw, x, make([]float32, ny))
				for name, r := range map[string]struct {
					got []float32
					hit []bool
				}{"y": {y, hitY}, "dx": {dx, hitX}, "dw": {dw, hitW}} {
					for i, g := range r.got {
						if (g != g) != r.hit[i] {
							t.Fatalf("%v %g: %s[%d] = %g, touched: %v", v, bad, name, i, g, r.hit[i])
						}
					}
				}
			}
		}
	}
}

// TestBF16Adjoint checks <Forward(x), dy> = <x, InputGrad(dy)> = <w, WeightGrad(x, dy)> at a size
// where several parts and panels are in play. All three round the same operands the same way, so
// that with operands on the grid they are adjoint to float32's precision.
func TestBF16Adjoint(t *testing.T) {
	v, ok := micro.BestBF16()
	if !ok {
		t.Skip("no AVX512_BF16 here: plain Go would take minutes")
	}
	p := par.New(2)
	defer p.Close()
	rng := rand.New(rand.NewPCG(45, 45))
	for _, s := range []Shape{
		Square(6, 32, 32, 64, 96, 3, 1, 1), Square(5, 32, 32, 48, 80, 3, 2, 1),
		Square(5, 32, 32, 48, 80, 1, 1, 0),
	} {
		x, w := rounded(random(rng, s.N*s.H*s.W*s.C)), rounded(random(rng, s.O*s.KH*s.KW*s.C))
		dy := rounded(random(rng, s.N*s.OutH()*s.OutW()*s.O))
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		s.forwardBF16(v, p, y, x, w, Epilogue{})
		s.inputGradBF16(v, p, dx, dy, w, nil)
		s.weightGradBF16(v, p, dw, x, dy)
		want, mag := dot(y, dy)
		for name, pair := range map[string][2][]float32{"dx": {x, dx}, "dw": {w, dw}} {
			if got, _ := dot(pair[0], pair[1]); math.Abs(got-want) > 1e-6*mag {
				t.Errorf("%+v %s: %g, want %g (magnitude %g)", s, name, got, want, mag)
			}
		}
	}
}

// TestBF16BatchIndependence: an image has the same bits alone and in a batch.
func TestBF16BatchIndependence(t *testing.T) {
	v, ok := micro.BestBF16()
	if !ok {
		v = micro.GenericBF16
	}
	rng := rand.New(rand.NewPCG(46, 46))
	p := par.New(2)
	defer p.Close()
	for _, s := range []Shape{Square(9, 12, 12, 20, 24, 3, 2, 1), Square(9, 9, 9, 80, 20, 1, 1, 0)} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C)
		y := make([]float32, s.N*s.OutH()*s.OutW()*s.O)
		s.forwardBF16(v, p, y, x, w, Epilogue{})
		one := s
		one.N = 1
		y1 := make([]float32, len(y)/s.N)
		for n := range s.N {
			one.forwardBF16(v, p, y1, x[n*len(x)/s.N:(n+1)*len(x)/s.N], w, Epilogue{})
			if !slices.Equal(y1, y[n*len(y1):(n+1)*len(y1)]) {
				t.Fatalf("%+v: image %d alone differs from the batch", s, n)
			}
		}
	}
}

// TestBF16Pays states which layers of the networks here take this form, and which of these
// Winograd's where that is on.
func TestBF16Pays(t *testing.T) {
	for _, c := range []struct {
		s        Shape
		bf16     [3]bool // forward, input gradient, weight gradient
		winograd [3]bool
	}{
		{Square(128, 32, 32, 16, 16, 3, 1, 1), [3]bool{true, true, true}, [3]bool{false, false, true}},
		{Square(64, 32, 32, 64, 64, 3, 1, 1), [3]bool{true, true, true}, [3]bool{true, true, false}},
		{Square(64, 16, 16, 256, 256, 3, 1, 1), [3]bool{true, true, true}, [3]bool{true, true, false}},
		{Square(64, 4, 4, 512, 512, 3, 1, 1), [3]bool{true, true, true}, [3]bool{}},
		{Square(8, 56, 56, 64, 256, 1, 1, 0), [3]bool{true, true, true}, [3]bool{}},
		{Square(8, 224, 224, 3, 64, 7, 2, 3), [3]bool{}, [3]bool{}},                // the first layer
		{Square(64, 32, 32, 64, 3, 3, 1, 1), [3]bool{}, [3]bool{}},                 // a last layer
		{Square(64, 8, 8, 17, 48, 3, 1, 1), [3]bool{false, true, true}, [3]bool{}}, // an odd sum
		{Square(1, 8, 8, 64, 32, 3, 2, 1), [3]bool{true, true, false}, [3]bool{}},  // one image
		{Shape{N: 8, H: 8, W: 8, C: 64, O: 64, KH: 3, KW: 3, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1,
			Groups: 2}, [3]bool{}, [3]bool{}},
	} {
		for d := DirForward; d <= DirWeightGrad; d++ {
			bf16 := c.s.BF16(d)
			winograd := bf16 && c.s.Winograd(d) && c.s.WinogradBeatsBF16(d)
			if bf16 != c.bf16[d] || winograd != c.winograd[d] {
				t.Errorf("direction %d of %+v: bf16 %v, Winograd over it %v", d, c.s, bf16, winograd)
			}
			if bf16 && !c.s.bf16Applies(d) {
				t.Errorf("direction %d of %+v pays and cannot be computed", d, c.s)
			}
		}
	}
}

// TestBF16Misuse: odd sums, and machines without the instruction.
func TestBF16Misuse(t *testing.T) {
	p := par.New(1)
	s := Square(1, 4, 4, 3, 3, 3, 1, 1)
	y, x, w := make([]float32, 48), make([]float32, 48), make([]float32, 81)
	even := Square(1, 4, 4, 4, 4, 3, 1, 1)
	calls := map[string]func(){
		"odd C": func() { s.forwardBF16(micro.GenericBF16, p, y, x, w, Epilogue{}) },
		"odd O": func() { s.inputGradBF16(micro.GenericBF16, p, x, y, w, nil) },
		"groups": func() {
			two := even
			two.Groups = 2
			two.weightGradBF16(micro.GenericBF16, p, make([]float32, 72), make([]float32, 64),
				make([]float32, 64))
		},
	}
	if !gemm.HasBF16() {
		z, u := make([]float32, 64), make([]float32, 144)
		calls["forward"] = func() { even.ForwardBF16(p, z, z, u, Epilogue{}) }
		calls["input gradient"] = func() { even.InputGradBF16(p, z, z, u, nil) }
		calls["weight gradient"] = func() { even.WeightGradBF16(p, u, z, z) }
	}
	for name, f := range calls {
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
