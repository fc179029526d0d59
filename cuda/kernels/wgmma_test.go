package kernels_test

import (
	"testing"

	"afterimage/tensor"
)

// TestWgmmaMatMul multiplies with Hopper's instructions: every transposition, which is every
// layout in shared memory, around the tile of 128 and its 64 steps of k, through more tiles than
// there is room for, aligned rows and others.
func TestWgmmaMatMul(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestWgmmaConv runs the same loop")
	}
	l := newLab(t)
	l.enc.Hopper = true
	for _, dt := range products[:2] {
		for i, s := range [][3]int{{1, 1, 1}, {128, 128, 64}, {65, 130, 40}, {130, 72, 333},
			{7, 200, 0}, {64, 264, 520}} {
			for trans := range 4 {
				matmulCase(l, dt, s, trans&1 != 0, trans&2 != 0, 1+i%2)
			}
		}
	}
}

// TestWgmmaConv runs the convolution triple with Hopper's instructions.
func TestWgmmaConv(t *testing.T) {
	if testing.Short() {
		t.Skip("short: emulated tensor cores take their time")
	}
	l := newLab(t)
	l.enc.Hopper = true
	one := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	same, strided, grouped := one, one, one
	same.PadTop, same.PadLeft, same.PadBottom, same.PadRight = 1, 1, 1, 1
	strided.StrideH, strided.StrideW, strided.PadTop, strided.PadRight = 2, 3, 1, 2
	grouped.Groups, grouped.DilH, grouped.PadBottom = 2, 2, 3
	for _, dt := range products[:2] {
		convCase(l, dt, [3]int{2, 9, 9}, 16, 24, 3, same)
		convCase(l, dt, [3]int{1, 11, 10}, 3, 5, 3, strided)
		convCase(l, dt, [3]int{2, 8, 7}, 32, 16, 3, grouped)
		convCase(l, dt, [3]int{5, 12, 12}, 16, 8, 1, one)
	}
}
