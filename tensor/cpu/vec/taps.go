package vec

import "fmt"

// Taps describes sums over a window of KH×KW taps for a row of Count pixels of C channels, those of
// each channel by itself. Distances are in floats and not negative.
type Taps struct {
	C, Count, KH, KW int
	Step, Row, Col   int // in x: from pixel to pixel, and between rows and columns of taps
	WRow, WCol       int // in w
	Out, From        int // in y and init: from pixel to pixel
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
// in order of u and v, each term by one fused multiply-add where the processor has one. With pixels
// for pixels and taps for taps it is a row of a depthwise convolution; with taps for pixels and
// pixels for taps, of its weights' gradient. init may be y; other operands must not overlap y.
// Without taps y is init. It panics if an operand is too short.
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
