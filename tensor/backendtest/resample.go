package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// resampleFamily tests Upsample and UpsampleGrad.
func resampleFamily(f *family) {
	for _, s := range [][]int{{1, 1, 1, 1}, {0, 3, 3, 2}, {2, 3, 5, 7}, {1, 4, 4, 16},
		{3, 5, 2, 33}, {2, 4, 4, 0}, {4, 16, 16, 24}} {
		for _, k := range []int{1, 2, 3} {
			f.check(fmt.Sprintf("%v by %d", s, k), func(e *env) {
				large := []int{s[0], s[1] * k, s[2] * k, s[3]}
				x, dy := e.in(normal(0, 1), s...), e.in(normal(0, 1), large...)
				y, dx := e.out(large...), e.out(s...)
				e.Upsample(y, x, k)
				e.want("Upsample", y, exactly())
				e.UpsampleGrad(dx, dy, k)
				e.want("UpsampleGrad", dx, withinSum(kSum, func() *tensor.Tensor {
					m := e.out(s...)
					e.UpsampleGrad(m, e.abs(dy), k)
					return m
				}))
				e.adjoint("UpsampleGrad", kSum, y, dy, x, dx)
			})
		}
	}
	f.check("nan", func(e *env) {
		y, dx := e.out(1, 4, 4, 3), e.out(1, 2, 2, 3)
		e.Upsample(y, e.in(cycle(1, math.NaN(), math.Inf(1), 2), 1, 2, 2, 3), 2)
		e.want("Upsample", y, exactly())
		e.UpsampleGrad(dx, e.in(spiked(cycle(1), 17, math.NaN()), 1, 4, 4, 3), 2)
		e.want("UpsampleGrad", dx, within(kRounded))
	})
}
