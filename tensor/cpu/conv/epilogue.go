package conv

import (
	"fmt"
	"math"

	"afterimage/tensor/cpu/par"
	"afterimage/tensor/cpu/vec"
)

// An Epilogue is what Forward does to an output before it leaves the cache,
//
//	y = Then(min(max(y + Bias + Res, lo), hi)),
//
// where lo and hi are Clamp's, and lo is 0 or more if ReLU is set,
// where passes of their own would read and write y again, and what stays of the call. The zero
// value does nothing.
type Epilogue struct {
	Bias []float32 // [O], or nil
	Res  []float32 // as long as y, or nil; it must not overlap y
	ReLU bool

	Clamp *[2]float32 // the least value and the largest; nil for any

	// Then changes elements in place, each by itself, behind all else: of count runs of n elements,
	// step apart. It is called from several threads; nil for nothing.
	Then func(y []float32, n, count, step int)

	// Pitch is how many elements lie between neighbouring pixels of y, whose channels may be some of
	// another tensor's: then y begins with the first of them, and there is no Res. 0 for O. Only what
	// Shape.Places names can do it.
	Pitch int

	// Kept is where packed and mapped forms of w stay for calls with the same w; nil to make them
	// anew in each.
	Kept *par.Kept
}

// late reports whether something is left to do when the bias has been added.
func (e *Epilogue) late() bool { return e.Res != nil || e.ReLU || e.Clamp != nil || e.Then != nil }

func (e *Epilogue) check(op string, o, y int) {
	if e.Bias != nil && len(e.Bias) != o {
		panic(fmt.Sprintf("conv: %s: bias has %d elements for %d channels", op, len(e.Bias), o))
	}
	if e.Res != nil && len(e.Res) != y {
		panic(fmt.Sprintf("conv: %s: the residual has %d elements, the result %d", op, len(e.Res), y))
	}
}

// pitch is Pitch, given the channels of a result.
func (e *Epilogue) pitch(o int) int {
	if e.Pitch == 0 {
		return o
	}
	return e.Pitch
}

// checkForward panics unless shape, operands and epilogue of a forward convolution go together.
func (s Shape) checkForward(op string, y, x, w []float32, e *Epilogue) {
	if e.Pitch != 0 {
		pixels := s.N * s.OutH() * s.OutW()
		if e.Pitch < s.O || e.Res != nil || !s.Places() ||
			pixels > 0 && len(y) < (pixels-1)*e.Pitch+s.O {
			panic(fmt.Sprintf("conv: %s: %d pixels %d elements apart do not fit into %d: %+v", op, pixels,
				e.Pitch, len(y), s))
		}
		y = y[:pixels*s.O]
	}
	s.check(op, x, w, y)
	e.check(op, s.O, len(y))
}

// finish adds the residual and applies the activation to count runs of n finished elements, the
// first at at, step elements apart. The bias is in y already.
func (e *Epilogue) finish(y []float32, at, n, count, step int) {
	if !e.late() || n <= 0 || count <= 0 {
		return
	}
	if n == step { // the runs are one
		n, count, step = n*count, 1, n*count
	}
	lo, hi := e.bounds()
	switch {
	case e.Res != nil:
		vec.ClampRows(y[at:], e.Res[at:], n, count, step, lo, hi)
	case e.ReLU || e.Clamp != nil:
		vec.ClampRows(y[at:], nil, n, count, step, lo, hi)
	}
	if e.Then != nil {
		e.Then(y[at:], n, count, step)
	}
}

// bounds are the least and the largest value that the activation lets through.
func (e *Epilogue) bounds() (lo, hi float32) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	if e.Clamp != nil {
		lo, hi = e.Clamp[0], e.Clamp[1]
	}
	if e.ReLU {
		lo = max(lo, 0)
	}
	return lo, hi
}
