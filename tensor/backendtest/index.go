package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// gathers are shapes of the table with how many rows to take from it.
var gathers = []struct {
	table []int
	n     int
}{
	{[]int{1}, 1}, {[]int{5}, 0}, {[]int{10}, 33}, {[]int{10, 1}, 7}, {[]int{4, 17}, 100},
	{[]int{100, 64}, 3}, {[]int{7, 3, 5, 2}, 9},
	{[]int{3, 0}, 2}, {[]int{1000, 129}, 257}, {[]int{99, 1}, 20011}, {[]int{40, 300}, 300},
}

// indexFamily tests Gather, ScatterAdd and OneHot.
func indexFamily(f *family) {
	for _, c := range gathers {
		f.check(fmt.Sprintf("gather/%d of %v", c.n, c.table), func(e *env) {
			x, idx := e.in(normal(0, 1), c.table...), e.intsBelow(c.table[0], c.n)
			rows := append([]int{c.n}, c.table[1:]...)
			y, dy, dx := e.out(rows...), e.in(normal(0, 1), rows...), e.out(c.table...)
			e.Gather(y, x, idx)
			e.want("Gather", y, exactly())
			e.ScatterAdd(dx, dy, idx)
			e.want("ScatterAdd", dx, withinSum(kSum, func() *tensor.Tensor {
				m := e.out(c.table...)
				e.ScatterAdd(m, e.abs(dy), idx)
				return m
			}))
			e.adjoint("ScatterAdd", kSum, y, dy, x, dx)
		})
	}
	f.check("gather/nan", func(e *env) {
		x := e.in(spiked(normal(0, 1), 8, math.NaN()), 4, 5)
		idx := e.ints([]int32{3, 1, 1, 0}, 4)
		y, z := e.out(4, 5), e.out(6, 5)
		e.Gather(y, x, idx)
		e.want("Gather", y, exactly())
		e.ScatterAdd(z, x, idx)
		e.want("ScatterAdd", z, within(kRounded))
	})
	f.check("onehot", func(e *env) {
		for _, s := range [][2]int{{0, 3}, {1, 1}, {5, 10}, {33, 17}, {257, 100}, {3, 0}} {
			n, k := s[0], s[1]
			idx := make([]int32, n)
			for i := range idx {
				idx[i] = int32(i*7%(k+2)) - 1 // includes −1 and K
			}
			y := e.out(n, k)
			e.OneHot(y, e.ints(idx, n))
			e.want(fmt.Sprint(s), y, exactly())
		}
	})
}
