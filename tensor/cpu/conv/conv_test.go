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
		if s.N*s.H*s.W*s.C > 60000 && testing.Short() {
			continue // three of them take half the time
		}
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
		Square(9, 12, 12, 20, 24, 3, 2, 1), Square(9, 14, 14, 16, 3, 3, 1, 1), // planar,
		Square(9, 14, 14, 40, 3, 3, 1, 1), // with its products turned round
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
