package conv

import (
	"fmt"
	"math"

	"afterimage/tensor/cpu/par"
	"afterimage/tensor/cpu/vec"
)

// An Epilogue is what Forward does to an output before it leaves the cache,
//
//	y = act(y + Bias + Res),  act = ReLU if ReLU is set, else the identity,
//
// where passes of their own would read and write y again, and what stays of the call. The zero
// value does nothing.
type Epilogue struct {
	Bias []float32 // [O], or nil
	Res  []float32 // as long as y, or nil; it must not overlap y
	ReLU bool

	// Kept is where packed and mapped forms of w stay for calls with the same w; nil to make them
	// anew in each.
	Kept *par.Kept
}

// late reports whether something is left to do when the bias has been added.
func (e *Epilogue) late() bool { return e.Res != nil || e.ReLU }

func (e *Epilogue) check(op string, o, y int) {
	if e.Bias != nil && len(e.Bias) != o {
		panic(fmt.Sprintf("conv: %s: bias has %d elements for %d channels", op, len(e.Bias), o))
	}
	if e.Res != nil && len(e.Res) != y {
		panic(fmt.Sprintf("conv: %s: the residual has %d elements, the result %d", op, len(e.Res), y))
	}
}

// epiloguePiece is how many floats finish handles at a time: they stay in the first-level cache
// between the sum and the ReLU.
const epiloguePiece = 2 << 10

// finish adds the residual and applies the activation to count runs of n finished elements, the
// first at at, step elements apart. The bias is in y already.
func (e *Epilogue) finish(y []float32, at, n, count, step int) {
	if !e.late() {
		return
	}
	if n == step { // the runs are one
		n, count = n*count, 1
	}
	for range count {
		for lo, end := at, at+n; lo < end; lo += epiloguePiece {
			hi := min(lo+epiloguePiece, end)
			d := y[lo:hi] // changed in place, which vec never does around the cache
			if e.Res != nil {
				vec.AddTo(d, e.Res[lo:hi])
			}
			if e.ReLU {
				vec.ReLU(d, d)
			}
		}
		at += step
	}
}

// floor is the least value that the activation lets through.
func (e *Epilogue) floor() float32 {
	if e.ReLU {
		return 0
	}
	return float32(math.Inf(-1))
}
