package vec

import "fmt"

// Taps describes sums over a window of KH×KW taps for a row of Count pixels of C channels, those of
// each channel by itself. Distances are in floats and not negative.
type Taps struct {
	C, Count, KH, KW int
	Step, Row, Col   int // in x: from pixel to pixel, and between rows and columns of taps
	WRow, WCol       int // in w
	Out, From        int // in y and init: from pixel to pixel

	// Next is how far behind x lies what is asked for meanwhile, pixel by pixel; 0 for nothing.
	Next int
}

// reach is the length of what is read or written at count places step apart, and at the taps there.
func (t Taps) reach(step, row, col int) int {
	return (t.Count-1)*step + (t.KH-1)*row + (t.KW-1)*col + t.C
}

// TapSums computes, for each pixel j and channel c,
//
//	y[j·Out + c] = init[j·From + c] + Σ over u, v of
//	    w[u·WRow + v·WCol + c]·x[j·Step + u·Row + v·Col + c]
//
// in order of u and v, each term by one fused multiply-add where the processor has one: a row of a
// depthwise convolution. init may be y; other operands must not overlap y. Without taps y is init.
// It panics if an operand is too short.
func TapSums(y, x, w, init []float32, t Taps) {
	if t.Count <= 0 || t.C <= 0 {
		return
	}
	if t.KH <= 0 || t.KW <= 0 {
		for j := range t.Count {
			copy(y[j*t.Out:][:t.C], init[j*t.From:][:t.C])
		}
		return
	}
	if min(t.Step, t.Row, t.Col, t.WRow, t.WCol, t.Out, t.From) < 0 ||
		len(x) < t.reach(t.Step, t.Row, t.Col) || len(w) < t.reach(0, t.WRow, t.WCol) ||
		len(y) < t.reach(t.Out, 0, 0) || len(init) < t.reach(t.From, 0, 0) {
		panic(fmt.Sprintf("vec: TapSums: operands of %d, %d, %d and %d elements do not fit %+v",
			len(y), len(x), len(w), len(init), t))
	}
	active.tapSums(y, x, w, init, t)
}

func tapSumsGo(y, x, w, init []float32, t Taps) {
	for j := range t.Count {
		y := y[j*t.Out:][:t.C]
		copy(y, init[j*t.From:])
		for u := range t.KH {
			for v := range t.KW {
				x, w := x[j*t.Step+u*t.Row+v*t.Col:][:t.C], w[u*t.WRow+v*t.WCol:][:t.C]
				for c := range y {
					y[c] += w[c] * x[c]
				}
			}
		}
	}
}

// TapPixels describes the gradient of KH×KW taps, each of C channels, over a block of Rows×Cols
// pixels. Distances are in floats and not negative.
type TapPixels struct {
	C, Rows, Cols, KH, KW int
	XRow, XCol            int // in x: between rows and columns of pixels
	DYRow, DYCol          int // in dy
	TapRow, TapCol        int // in x: between rows and columns of taps
	SumRow, SumCol        int // in sum

	// What is asked for meanwhile, for each pixel and vector of channels a cache line of each, those
	// of NextX NextStep floats apart; nil for nothing.
	NextX, NextDY []float32
	NextStep      int
}

// TapGrads adds to the weights' gradient of a depthwise convolution, for each tap and channel
//
//	sum[u·SumRow + v·SumCol + c] += Σ over i, j of
//	    dy[i·DYRow + j·DYCol + c]·x[i·XRow + j·XCol + u·TapRow + v·TapCol + c]
//
// in order of i and j, each term by one fused multiply-add where the processor has one. sum must
// not overlap x or dy. It panics if an operand is too short.
func TapGrads(sum, x, dy []float32, t TapPixels) {
	if min(t.C, t.Rows, t.Cols, t.KH, t.KW) <= 0 {
		return
	}
	pixels := func(row, col int) int { return (t.Rows-1)*row + (t.Cols-1)*col }
	taps := func(row, col int) int { return (t.KH-1)*row + (t.KW-1)*col }
	if min(t.XRow, t.XCol, t.DYRow, t.DYCol, t.TapRow, t.TapCol, t.SumRow, t.SumCol) < 0 ||
		len(x) < pixels(t.XRow, t.XCol)+taps(t.TapRow, t.TapCol)+t.C ||
		len(dy) < pixels(t.DYRow, t.DYCol)+t.C || len(sum) < taps(t.SumRow, t.SumCol)+t.C {
		t.NextX, t.NextDY = nil, nil
		panic(fmt.Sprintf("vec: TapGrads: operands of %d, %d and %d elements do not fit %+v", len(sum),
			len(x), len(dy), t))
	}
	active.tapGrads(sum, x, dy, t)
}

func tapGradsGo(sum, x, dy []float32, t TapPixels) {
	for u := range t.KH {
		for v := range t.KW {
			sum := sum[u*t.SumRow+v*t.SumCol:][:t.C]
			for i := range t.Rows {
				for j := range t.Cols {
					x := x[i*t.XRow+j*t.XCol+u*t.TapRow+v*t.TapCol:][:t.C]
					for c, d := range dy[i*t.DYRow+j*t.DYCol:][:t.C] {
						sum[c] += d * x[c]
					}
				}
			}
		}
	}
}
