package kernels

import (
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// broadcastStrides returns the element strides with which a tensor of shape s walks over the shape
// out that it is broadcast to: aligned at the last axis, 0 where s does not vary.
func broadcastStrides(s, out tensor.Shape) []int {
	st := make([]int, len(out))
	off := len(out) - len(s)
	for i, v := range s.Strides() {
		if s[i] != 1 {
			st[off+i] = v
		}
	}
	return st
}

// collapse describes the same walk over several operands with as few axes as possible: axes of
// extent 1 are dropped, and an axis is merged into its right neighbour where every operand steps
// evenly through both. A walk over nothing but ones has rank 0. Of several axes none is made longer
// than a kernel counts; one alone may be, for kernels that count elements instead, in 64 bits.
func collapse(shape []int, strides ...[]int) (small []int, out [][]int) {
	small, out = collapseBelow(math.MaxInt, shape, strides)
	if len(small) > 1 && slices.Max(small) >= maxExtent {
		return collapseBelow(maxExtent, shape, strides)
	}
	return small, out
}

// collapseBelow is collapse that makes no axis of bound elements or more.
func collapseBelow(bound int, shape []int, strides [][]int) (small []int, out [][]int) {
	out = make([][]int, len(strides))
	for i, n := range shape {
		if n == 1 {
			continue
		}
		last := len(small) - 1
		merge := last >= 0 && small[last]*n < bound
		for k, st := range strides {
			merge = merge && out[k][last] == st[i]*n
		}
		if merge {
			small[last] *= n
		} else {
			small = append(small, n)
		}
		for k, st := range strides {
			if merge {
				out[k][last] = st[i]
			} else {
				out[k] = append(out[k], st[i])
			}
		}
	}
	return small, out
}

// maxRank is the number of axes that argument structs have room for (MAX_RANK of port.h).
const maxRank = 8

// checkRank checks that a collapsed walk fits an argument struct.
func checkRank(op string, shape []int) {
	if len(shape) > maxRank {
		panic(&tensor.Error{Op: op, Reason: fmt.Sprintf(
			"needs %d strided axes on a GPU, at most %d are supported: %v", len(shape), maxRank, shape)})
	}
}

// int32s and int64s copy into the fixed arrays of argument structs.
func int32s(v []int) (a [maxRank]int32) {
	for i, x := range v {
		a[i] = i32(x)
	}
	return a
}

func int64s(v []int) (a [maxRank]int64) {
	for i, x := range v {
		a[i] = int64(x)
	}
	return a
}
