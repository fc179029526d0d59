package vec

import "fmt"

// Windows describes a row of Count pooling windows of KH×KW pixels of C channels in an image whose
// rows are Pitch pixels long. A window's corner is Step pixels from that of the one before.
// Positions are pixels of the image, in row order; First is that of the first window's corner.
type Windows struct {
	C, Count, KH, KW, Pitch, Step int
	First                         int32
}

// pixels is how many pixels the windows reach over, from the first one's corner.
func (w Windows) pixels() int { return (w.Count-1)*w.Step + (w.KH-1)*w.Pitch + w.KW }

// MaxWindows is max pooling of a row of windows: for x, which begins at the corner of the first of
// them, it computes for each window and channel
//
//	y[j,c] = max over u, v of x[j·Step + u·Pitch + v, c],  idx[j,c] = First + j·Step + u·Pitch + v
//
// with y, idx [Count, C]; idx may be nil. Of equal elements the first in row order wins; a NaN wins
// against all others, the first of several. Without idx it may become another NaN. The operands
// must not overlap. Windows of no pixels panic.
func MaxWindows(y []float32, idx []int32, x []float32, w Windows) {
	sameLen("MaxWindows", len(y), w.Count*w.C)
	if idx != nil {
		sameLen("MaxWindows", len(y), len(idx))
	}
	if w.Count == 0 || w.C == 0 {
		return
	}
	if w.KH <= 0 || w.KW <= 0 || w.KW > w.Pitch || w.Step < 0 || len(x) < w.pixels()*w.C {
		panic(fmt.Sprintf("vec: MaxWindows: %d elements are not enough for %+v", len(x), w))
	}
	if idx == nil {
		active.maxima(y, x, w)
		return
	}
	active.maxWindows(y, idx, x, w)
}

// ScatterAdd adds pixels dy [n, C] to the image dx [pixels, C], each channel to the pixel that idx
// [n, C] names: dx[idx[i,k], k] += dy[i,k], in order of i. It is the adjoint of taking maxima. A
// position outside the image panics; what came before it has been added.
func ScatterAdd(dx, dy []float32, idx []int32, c int) {
	sameLen("ScatterAdd", len(dy), len(idx))
	wholeRows("ScatterAdd", len(dy), c)
	wholeRows("ScatterAdd", len(dx), c)
	if len(dy) == 0 {
		return
	}
	if left := active.scatterAdd(dx, dy, idx, c); left > 0 {
		panic(fmt.Sprintf("vec: ScatterAdd: a position in pixel %d of %d is not one of the image's %d",
			len(dy)/c-left, len(dy)/c, len(dx)/c))
	}
}

func maxWindowsGo(y []float32, idx []int32, x []float32, w Windows) {
	for j := range w.Count {
		y, idx, x := y[j*w.C:][:w.C], idx[j*w.C:][:w.C], x[j*w.Step*w.C:]
		corner := w.First + int32(j*w.Step)
		copy(y, x)
		for c := range idx {
			idx[c] = corner
		}
		for u := range w.KH {
			for v := range w.KW {
				at := u*w.Pitch + v
				for c, a := range x[at*w.C:][:w.C] {
					if b := y[c]; a > b || a != a && b == b {
						y[c], idx[c] = a, corner+int32(at)
					}
				}
			}
		}
	}
}

func maximaGo(y, x []float32, w Windows) {
	for j := range w.Count {
		y, x := y[j*w.C:][:w.C], x[j*w.Step*w.C:]
		copy(y, x)
		for u := range w.KH {
			for v := range w.KW {
				for c, a := range x[(u*w.Pitch+v)*w.C:][:w.C] {
					if b := y[c]; a > b || a != a && b == b {
						y[c] = a
					}
				}
			}
		}
	}
}

// scatterAddGo returns how many pixels were left when it met a position outside the image.
func scatterAddGo(dx, dy []float32, idx []int32, c int) int {
	limit := uint(len(dx) / c)
	for i := 0; i < len(dy); i += c {
		for k, p := range idx[i : i+c] {
			if uint(p) >= limit {
				return (len(dy) - i) / c
			}
			dx[int(p)*c+k] += dy[i+k]
		}
	}
	return 0
}
