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

// winogradTolerance bounds |error| / the largest sum of magnitudes of the products in one output.
// (The largest, because errors spread over a tile.) With the points 0, ±1, ±2 the rows of Bᵀ, G
// and Aᵀ multiply magnitudes by up to 10, 2/3 and 18 in each dimension, most of which cancels; the
// largest error seen over the shapes below is half of this bound.
const winogradTolerance = 56.0 / (1 << 24)

// TestMapsAgree compares the assembly of the maps with their plain Go definition, and both with
// the guards around them.
func TestMapsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, m := range []lineMap{inputMap(), outputMap(), weightMap(), gradMap(), weightGradMap()} {
		for lanes := 1; lanes <= 16; lanes++ {
			const row, pix, rowDst, pixDst = 150, 20, 170, 23
			src := random(rng, 5*row+5*pix+lanes)
			tmp := make([]float32, mapTmp)
			var want []float32
			for _, v := range micro.Variants() {
				dst := make([]float32, 6*rowDst+6*pixDst+40)
				for i := range dst {
					dst[i] = guard
				}
				m.apply(v, dst, rowDst, pixDst, src, row, pix, lanes, tmp)
				if want == nil {
					want = dst
				}
				for i := range dst {
					if (want[i] == guard) != (dst[i] == guard) {
						t.Fatalf("map %d, %v, %d lanes: element %d written by one only", m.kind, v,
							lanes, i)
					}
					// The same few operations, fused or not.
					if math.Abs(float64(dst[i]-want[i])) > 1e-4 {
						t.Fatalf("map %d, %v, %d lanes: element %d is %g, want %g", m.kind, v,
							lanes, i, dst[i], want[i])
					}
				}
			}
		}
	}
}

// TestEdgeMaps compares squares at the edges of an image that is NaN all round with the same
// squares copied and filled up with zeros.
func TestEdgeMaps(t *testing.T) {
	const channels, h, w = 24, 7, 9
	if !slices.Contains(micro.Variants(), micro.AVX512) {
		t.Skip("edges have a form of their own with AVX-512 alone")
	}
	rng := rand.New(rand.NewPCG(8, 8))
	margin := 9 * w * channels
	x := random(rng, 2*margin+h*w*channels)
	for i := range x {
		if i < margin || i >= margin+h*w*channels {
			x[i] = float32(math.NaN())
		}
	}
	for _, m := range []lineMap{inputMap(), gradMap()} {
		f := patcher{lineMap: m, h: h, w: w, c: channels, c0: 3, c1: channels,
			x: x[margin:][:h*w*channels], patch: make([]float32, positions*channels),
			tmp: make([]float32, mapTmp)}
		for y := -m.inN - 1; y <= h+1; y++ {
			for px := -m.inN - 1; px <= w+1; px++ {
				const plane = 2 * channels
				got, want := make([]float32, positions*plane), make([]float32, positions*plane)
				f.v = micro.AVX512
				f.mapTo(got, plane, 0, y, px)
				in := frame{max(0, -y), min(m.inN, h-y), max(0, -px), min(m.inN, w-px)}
				patch, pix := f.copied(0, y, px, in), channels-3
				for c := 0; c < pix; c += 16 {
					m.apply(micro.AVX512, want[c:], 6*plane, plane, patch[c:], m.inN*pix, pix,
						min(16, pix-c), f.tmp)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("map %d of the square at (%d, %d) differs from its copy", m.kind, y, px)
				}
			}
		}
	}
}

// TestOutputMapKeepsNaN: the ReLU of the output map's epilogue takes no NaN for a negative number.
func TestOutputMapKeepsNaN(t *testing.T) {
	const lanes, bad = 13, 11 // a whole vector and a tail of AVX2, the NaN in the tail
	out, tmp := outputMap(), make([]float32, mapTmp)
	src := make([]float32, positions*lanes)
	for i := range src {
		src[i] = -1
	}
	src[7*lanes+bad] = float32(math.NaN()) // position (1, 1) reaches every output
	for _, v := range micro.Variants() {
		for _, res := range [][]float32{nil, make([]float32, 16*lanes)} {
			dst := make([]float32, 16*lanes)
			out.applyThen(v, dst, 0, 4*lanes, lanes, src, 6*lanes, lanes, lanes, tmp,
				&Epilogue{Res: res, ReLU: true})
			for i, y := range dst {
				if (y != y) != (i%lanes == bad) || y < 0 {
					t.Fatalf("%v, residual %v: channel %d of pixel %d is %g", v, res != nil, i%lanes,
						i/lanes, y)
				}
			}
		}
	}
}

// worst returns the largest error relative to the largest magnitude.
func (r *reference) worst(got []float32) float64 {
	w, mag := 0.0, 1e-30
	for i, g := range got {
		e := math.Abs(float64(g) - r.sum[i])
		if e != e {
			return math.Inf(1)
		}
		w, mag = max(w, e), max(mag, r.mag[i])
	}
	return w / mag
}

func TestWinograd(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	ps := pools(t)
	odd := Square(2, 9, 14, 20, 37, 3, 1, 1)
	odd.PadTop, odd.PadLeft, odd.PadBottom, odd.PadRight = 0, 2, 1, 1
	for _, s := range []Shape{
		Square(2, 8, 8, 16, 16, 3, 1, 1), Square(3, 4, 4, 33, 48, 3, 1, 1),
		Square(1, 32, 32, 16, 24, 3, 1, 1), Square(1, 7, 7, 8, 70, 3, 1, 1),
		Square(5, 12, 12, 40, 8, 3, 1, 0), Square(1, 15, 15, 64, 64, 3, 1, 2),
		Square(1, 8, 8, 256, 24, 3, 1, 1), Square(0, 8, 8, 16, 16, 3, 1, 1), odd,
		Square(1, 6, 6, streamDepth+16, 33, 3, 1, 1), // weights mapped on the way, in two blocks
	} {
		checkWinograd(t, rng, ps, s)
	}
}

func checkWinograd(t *testing.T, rng *rand.Rand, ps []*par.Pool, s Shape) {
	t.Helper()
	x, w, dy, bias := operands(rng, s)
	ry, rx, rw := define(s, x, w, dy, bias)
	for _, v := range micro.Variants() {
		var first [3][]float32
		for _, p := range ps {
			what := fmt.Sprintf("%v, %d threads, %+v", v, p.Threads(), s)
			got := [3][]float32{
				guarded(t, what, len(dy), func(y []float32) {
					s.forwardWinograd(v, p, y, x, w, Epilogue{Bias: bias})
				}),
				guarded(t, what, len(x), func(dx []float32) { s.inputGradWinograd(v, p, dx, dy, w) }),
				guarded(t, what, len(w), func(dw []float32) { s.weightGradWinograd(v, p, dw, x, dy) }),
			}
			if first[0] == nil {
				first = got
				for d, r := range []*reference{ry, rx, rw} {
					if e := r.worst(got[d]); e > winogradTolerance {
						t.Errorf("direction %d: %s: relative error %.3g ulp", d, what, e*(1<<24))
					}
				}
			}
			for d := range got {
				if !slices.Equal(got[d], first[d]) {
					t.Fatalf("direction %d: %s: bits differ from 1 thread", d, what)
				}
			}
			checkEpilogue(t, what, bias, got[0], dy, func(y []float32, e Epilogue) {
				s.forwardWinograd(v, p, y, x, w, e)
			})
		}
	}
}

// TestWinogradStreamed holds weights mapped on the way to weights mapped as a whole, to the bit,
// for any number of threads.
func TestWinogradStreamed(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	ps := pools(t)
	for _, s := range []Shape{
		Square(3, 4, 4, streamDepth, 33, 3, 1, 1), Square(2, 7, 9, 5, 100, 3, 1, 0),
		Square(80, 4, 4, 7, 40, 3, 1, 1), // more tiles than an item takes
		Square(1, 6, 6, streamDepth+16, 48, 3, 1, 1), Square(1, 5, 8, 2*streamDepth+1, 32, 3, 1, 2),
	} {
		nx, ny := s.N*s.H*s.W*s.C, s.N*s.OutH()*s.OutW()*s.O
		x, w, dy, bias := random(rng, nx), random(rng, 9*s.O*s.C), random(rng, ny), random(rng, s.O)
		for _, v := range micro.Variants() {
			for d, c := range []struct {
				n    int
				call func(p *par.Pool, out []float32) *winograd
			}{
				{ny, func(p *par.Pool, y []float32) *winograd {
					e := Epilogue{Bias: bias, Res: dy, ReLU: true}
					return s.winogradForward(v, p, y, x, w, e)
				}},
				{nx, func(p *par.Pool, dx []float32) *winograd {
					return s.winogradInputGrad(v, p, dx, dy, w)
				}},
			} {
				what := fmt.Sprintf("direction %d: %v, %+v", d, v, s)
				whole := guarded(t, what, c.n, func(out []float32) {
					q := c.call(ps[0], out)
					q.runWhole(q.grid())
				})
				for _, p := range ps {
					got := guarded(t, what, c.n, func(out []float32) {
						q := c.call(p, out)
						q.runStreamed(q.grid())
					})
					if !slices.Equal(got, whole) {
						t.Fatalf("%s, %d threads: bits differ from those with whole weights", what,
							p.Threads())
					}
					if d == 0 {
						checkStreamedKept(t, what, p, func(out []float32) *winograd { return c.call(p, out) }, whole)
					}
				}
			}
		}
	}
}

// checkStreamedKept: filters that are packed and kept, give the same bits.
func checkStreamedKept(t *testing.T, what string, p *par.Pool, call func([]float32) *winograd,
	want []float32) {
	t.Helper()
	var kept par.Kept
	defer kept.Drop(p)
	for range 2 {
		got := guarded(t, what, len(want), func(out []float32) {
			q := call(out)
			q.end.Kept = &kept
			q.runStreamed(q.grid())
		})
		if !slices.Equal(got, want) {
			t.Fatalf("%s: bits differ with packed filters that are kept", what)
		}
	}
}

// TestWinogradPays states which layers of the networks here take this path.
func TestWinogradPays(t *testing.T) {
	for _, c := range []struct {
		s    Shape
		want [3]bool // forward, input gradient, weight gradient
	}{
		{Square(1, 32, 32, 64, 64, 3, 1, 1), [3]bool{true, true, true}},
		{Square(64, 4, 4, 256, 256, 3, 1, 1), [3]bool{true, true, true}},
		{Square(64, 4, 4, 512, 512, 3, 1, 1), [3]bool{true, true, true}}, // large weights
		{Square(8, 7, 7, 512, 512, 3, 1, 1), [3]bool{true, true, true}},
		{Square(1, 16, 16, 256, 256, 3, 1, 1), [3]bool{true, true, true}},
		{Square(8, 4, 4, 64, 64, 3, 1, 1), [3]bool{true, true, false}}, // few tiles
		{Square(15, 4, 4, 16, 64, 3, 1, 1), [3]bool{}},
		{Square(1, 32, 32, 3, 64, 3, 1, 1), [3]bool{false, false, false}}, // the first layer
		{Square(1, 32, 32, 64, 3, 3, 1, 1), [3]bool{false, false, false}}, // the last of a generator
		{Square(1, 8, 8, 64, 64, 3, 1, 1), [3]bool{}},                     // few tiles
		{Square(9, 32, 32, 64, 64, 3, 2, 1), [3]bool{}},
		{Square(9, 2, 2, 64, 64, 3, 1, 1), [3]bool{}},
		{Square(9, 32, 32, 64, 64, 1, 1, 0), [3]bool{}},
	} {
		for d, want := range c.want {
			if got := c.s.Winograd(Direction(d)); got != want {
				t.Errorf("Winograd(%d) = %v for %+v", d, got, c.s)
			}
		}
	}
}

// TestWinogradFLOPs: a quarter of the direct form's count where tiles fit; whole tiles at edges.
func TestWinogradFLOPs(t *testing.T) {
	s := Shape{N: 2, H: 8, W: 12, C: 3, O: 5, KH: 3, KW: 3, StrideH: 1, StrideW: 1,
		PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1}
	for _, d := range []Direction{DirForward, DirInputGrad, DirWeightGrad} {
		if got, want := s.WinogradFLOPs(d), s.FLOPs()/4; got != want {
			t.Errorf("direction %d: %g, expected %g", d, got, want)
		}
	}
	s.PadBottom, s.PadRight = 0, 0 // 7×11 pixels come out, 8×12 go in: as many tiles
	if got, want := s.WinogradFLOPs(DirForward), s.WinogradFLOPs(DirInputGrad); got != want {
		t.Errorf("%g forward, %g of the input, expected as much", got, want)
	}
	s.PadTop = 0 // 6×11 come out
	s.H = 6      // and now 4×11
	if got, want := 2*s.WinogradFLOPs(DirForward), s.WinogradFLOPs(DirInputGrad); got != want {
		t.Errorf("twice %g forward, %g of the input, expected as much", got/2, want)
	}
}
