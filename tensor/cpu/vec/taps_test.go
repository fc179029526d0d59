package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTapSums holds every variant against sums in float64: windows over an image, with starting
// values of their own, shared, or in y itself.
func TestTapSums(t *testing.T) {
	for _, v := range variants() {
		for _, c := range []int{1, 7, 8, 15, 16, 17, 40, 64, 130} {
			pitch := c + 3
			for _, w := range []Taps{
				{Count: 13, KH: 3, KW: 3, Step: pitch, Row: 20 * pitch, Col: pitch, WRow: 3 * c, WCol: c,
					Out: c, From: 0},
				{Count: 23, KH: 5, KW: 5, Step: 2 * pitch, Row: 60 * pitch, Col: pitch, WRow: 5 * c,
					WCol: c, Out: pitch, From: pitch, Next: 1 << 20}, // beyond the end
				{Count: 19, KH: 5, KW: 5, Step: pitch, Row: 40 * pitch, Col: pitch, WRow: 5 * c, WCol: c,
					Out: c, From: 0},
				{Count: 17, KH: 2, KW: 7, Step: pitch, Row: 40 * pitch, Col: pitch, WRow: 7 * pitch,
					WCol: pitch, Out: pitch, From: pitch, Next: 8},
				{Count: 1, KH: 1, KW: 1},
				{Count: 4, KH: 1, KW: 2, Step: 3 * c, Row: 0, Col: 5 * c, WCol: 2 * c, Out: 4 * c},
				{Count: 7, KH: 4, KW: 11, Step: pitch, Row: 40 * pitch, Col: 2 * pitch, WRow: 11 * c,
					WCol: c, Out: c, From: c},
				{Count: 3, KH: 0, KW: 5, Out: c, From: c},
			} {
				w.C = c
				checkTaps(t, v, w, false)
				if w.From == w.Out {
					checkTaps(t, v, w, true)
				}
			}
		}
	}
}

func checkTaps(t *testing.T, v table, w Taps, inPlace bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(31, 32))
	x, ws := randoms(r, max(0, w.reach(w.Step, w.Row, w.Col))), randoms(r, max(0, w.reach(0, w.WRow,
		w.WCol)))
	init := randoms(r, (w.Count-1)*w.From+w.C)
	y, check := guarded(t, (w.Count-1)*w.Out+w.C, 4)
	start := init
	if inPlace {
		copy(y, init)
		start = y
	}
	old := append([]float32(nil), y...)
	saved := active
	active = v
	TapSums(y, x, ws, start, w)
	active = saved
	check("TapSums")
	for j := range w.Count {
		for c := range w.C {
			want := float64(init[j*w.From+c])
			mag := math.Abs(want)
			for u := range w.KH {
				for k := range w.KW {
					term := float64(ws[u*w.WRow+k*w.WCol+c]) * float64(x[j*w.Step+u*w.Row+k*w.Col+c])
					want, mag = want+term, mag+math.Abs(term)
				}
			}
			got := float64(y[j*w.Out+c])
			// A rounding for each term, two where product and sum are rounded.
			if bound := float64(2*w.KH*w.KW+1) * eps32 * mag; !(math.Abs(got-want) <= bound) {
				t.Fatalf("%s TapSums %+v, pixel %d, channel %d: %v, want %v ± %v", v.name, w, j, c, got,
					want, bound)
			}
			old[j*w.Out+c] = y[j*w.Out+c]
		}
	}
	for i := range old {
		if old[i] != y[i] {
			t.Fatalf("%s TapSums %+v wrote between pixels, at %d", v.name, w, i)
		}
	}
}

// TestTapSumsTooShort: an operand that is too short is no reason to read behind it.
func TestTapSumsTooShort(t *testing.T) {
	w := Taps{C: 4, Count: 3, KH: 2, KW: 2, Step: 4, Row: 16, Col: 4, WRow: 8, WCol: 4, Out: 4,
		From: 4}
	y, x, ws := make([]float32, 12), make([]float32, w.reach(w.Step, w.Row, w.Col)),
		make([]float32, 16)
	for i := range 4 {
		a := [][]float32{y, x, ws, y}
		a[i] = a[i][1:]
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("operand %d: no panic", i)
				}
			}()
			TapSums(a[0], a[1], a[2], a[3], w)
		}()
	}
	TapSums(y, x, ws, y, w)
}

// TestTapGrads holds every variant against sums in float64, for numbers of taps below, at and above
// those of a loop, with and without distances between what is summed.
func TestTapGrads(t *testing.T) {
	for _, v := range variants() {
		for _, c := range []int{1, 7, 8, 15, 16, 17, 40, 64, 130} {
			pitch := c + 3
			for _, kh := range []int{0, 1, 2, 3, 5, 7} {
				for kw := range 10 {
					w := TapPixels{C: c, Rows: 3, Cols: 5, KH: kh, KW: kw, XRow: 20 * pitch, XCol: pitch,
						DYRow: 5 * c, DYCol: c, TapRow: 20 * pitch, TapCol: pitch, SumRow: kw * c, SumCol: c}
					checkTapGrads(t, v, w)
					w.Rows, w.Cols, w.XCol, w.TapCol, w.DYCol, w.DYRow = 1, 9, 2*pitch, 3*pitch, pitch, 0
					w.SumCol, w.SumRow = pitch, kw*pitch+5
					checkTapGrads(t, v, w)
				}
			}
		}
	}
}

func checkTapGrads(t *testing.T, v table, w TapPixels) {
	t.Helper()
	r := rand.New(rand.NewPCG(33, 34))
	taps := func(row, col int) int { return max(0, w.KH-1)*row + max(0, w.KW-1)*col }
	pixels := func(row, col int) int { return (w.Rows-1)*row + (w.Cols-1)*col + w.C }
	x, dy := randoms(r, pixels(w.XRow, w.XCol)+taps(w.TapRow, w.TapCol)),
		randoms(r, pixels(w.DYRow, w.DYCol))
	sum, check := guarded(t, taps(w.SumRow, w.SumCol)+w.C, 4)
	old := append([]float32(nil), sum...)
	saved := active
	active = v
	TapGrads(sum, x, dy, w)
	active = saved
	check("TapGrads")
	for u := range w.KH {
		for k := range w.KW {
			for c := range w.C {
				at := u*w.SumRow + k*w.SumCol + c
				want := float64(old[at])
				mag := math.Abs(want)
				for i := range w.Rows {
					for j := range w.Cols {
						term := float64(dy[i*w.DYRow+j*w.DYCol+c]) *
							float64(x[i*w.XRow+j*w.XCol+u*w.TapRow+k*w.TapCol+c])
						want, mag = want+term, mag+math.Abs(term)
					}
				}
				// A rounding for each term, two where product and sum are rounded.
				bound := float64(2*w.Rows*w.Cols+1) * eps32 * mag
				if got := float64(sum[at]); !(math.Abs(got-want) <= bound) {
					t.Fatalf("%s TapGrads %+v, tap %d, %d, channel %d: %v, want %v ± %v", v.name, w, u, k, c,
						got, want, bound)
				}
				old[at] = sum[at]
			}
		}
	}
	for i := range old {
		if old[i] != sum[i] {
			t.Fatalf("%s TapGrads %+v wrote between sums, at %d", v.name, w, i)
		}
	}
}

// TestTapGradsTooShort: as TestTapSumsTooShort.
func TestTapGradsTooShort(t *testing.T) {
	w := TapPixels{C: 4, Rows: 2, Cols: 3, KH: 2, KW: 2, XRow: 16, XCol: 4, DYRow: 12, DYCol: 4,
		TapRow: 16, TapCol: 4, SumRow: 8, SumCol: 4}
	sum, x, dy := make([]float32, 16), make([]float32, 16+8+16+4+4), make([]float32, 24)
	for i := range 3 {
		a := [][]float32{sum, x, dy}
		a[i] = a[i][1:]
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("operand %d: no panic", i)
				}
			}()
			TapGrads(a[0], a[1], a[2], w)
		}()
	}
	TapGrads(sum, x, dy, w)
}
