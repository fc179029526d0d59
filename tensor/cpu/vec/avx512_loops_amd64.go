//go:build amd64 && !purego

package vec

// panel is the number of channels above which a matrix's rows are asked for ahead of use.
const panel = 64

// groupRows is the number of rows that are added in float32.
const groupRows = 16

// groups cuts the rows of n elements, c a row, into calls: whole groups of 16 rows, at most a span
// of elements a call, then the rows left over, one by one.
func groups(n, c int, sixteen, one func(lo, count int)) {
	per := max(1, span/(groupRows*max(c, 1)))
	lo, left := 0, n/max(c, 1)
	for left >= groupRows {
		count := min(per, left/groupRows)
		sixteen(lo, count)
		lo += count * groupRows * c
		left -= count * groupRows
	}
	if left > 0 {
		one(lo, left)
	}
}

func colSum(acc []float64, x []float32) {
	c := len(acc)
	sixteen := func(lo, n int) { colSum16AVX512(&acc[0], &x[lo], n, c) }
	if c > panel {
		sixteen = func(lo, n int) { colSum16AheadAVX512(&acc[0], &x[lo], n, c) }
	}
	groups(len(x), c, sixteen, func(lo, n int) { colSum1AVX512(&acc[0], &x[lo], n, c) })
}

func colMoments(s, t []float64, x, shift []float32) {
	c := len(s)
	sixteen := func(lo, n int) { colMoments16AVX512(&s[0], &t[0], &x[lo], &shift[0], n, c) }
	if c > panel {
		sixteen = func(lo, n int) {
			colMoments16AheadAVX512(&s[0], &t[0], &x[lo], &shift[0], n, c)
		}
	}
	groups(len(x), c, sixteen, func(lo, n int) {
		colMoments1AVX512(&s[0], &t[0], &x[lo], &shift[0], n, c)
	})
}

func colDot2(s, t []float64, dy, x, mean, rstd []float32) {
	c := len(s)
	sixteen := func(lo, n int) {
		colDot216AVX512(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &rstd[0], n, c)
	}
	if c > panel {
		sixteen = func(lo, n int) {
			colDot216AheadAVX512(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &rstd[0], n, c)
		}
	}
	groups(len(x), c, sixteen, func(lo, n int) {
		colDot21AVX512(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &rstd[0], n, c)
	})
}

func colDot2ReLU(s, t []float64, dy, x, y, mean, rstd []float32) {
	c := len(s)
	sixteen := func(lo, n int) {
		colDot2ReLU16AVX512(&s[0], &t[0], &dy[lo], &x[lo], &y[lo], &mean[0], &rstd[0], n, c)
	}
	if c > panel {
		sixteen = func(lo, n int) {
			colDot2ReLU16AheadAVX512(&s[0], &t[0], &dy[lo], &x[lo], &y[lo], &mean[0], &rstd[0], n,
				c)
		}
	}
	groups(len(x), c, sixteen, func(lo, n int) {
		colDot2ReLU1AVX512(&s[0], &t[0], &dy[lo], &x[lo], &y[lo], &mean[0], &rstd[0], n, c)
	})
}

func softmax(k func(dst, x *float32, rows, cols int)) func(dst, x []float32, c int) {
	return func(dst, x []float32, c int) {
		rowChunks(dst, c, false, func(lo, rows int, _ bool) { k(&dst[lo], &x[lo], rows, c) })
	}
}

func sgd(p, buf, g []float32, o SGDParams) {
	k := sgdAVX512
	if o.Nesterov {
		k = sgdNesterovAVX512
	}
	chunks(p, false, func(lo, hi int, _ bool) {
		k(&p[lo], &buf[lo], &g[lo], o.LR, o.Momentum, o.WeightDecay, 1, hi-lo)
	})
}

func adam(p, m, v, g []float32, o AdamParams) {
	s := o.scalars()
	chunks(p, false, func(lo, hi int, _ bool) {
		adamAVX512(&p[lo], &m[lo], &v[lo], &g[lo], s.shrink, s.wd, s.b1, s.a1, s.b2, s.a2, s.step,
			s.rootScale, s.eps, 1, hi-lo)
	})
}

func ema(avg, p []float32, decay float32) {
	rest := float32(1 - float64(decay))
	chunks(avg, false, func(lo, hi int, _ bool) {
		emaAVX512(&avg[lo], &p[lo], rest, 1, hi-lo)
	})
}

func pool2x2(dst, top, bottom []float32, c int, scale float32) {
	rowChunks(dst, c, true, func(lo, rows int, nt bool) {
		pool2x2AVX512(&dst[lo], &top[2*lo], &top[2*lo+c], &bottom[2*lo], &bottom[2*lo+c], scale,
			rows, c, nt)
	})
}

func upsample2x2(top, bottom, x []float32, c int, scale float32) {
	rowChunks(x, c, false, func(lo, rows int, _ bool) {
		upsample2x2AVX512(&x[lo], &top[2*lo], &top[2*lo+c], &bottom[2*lo], &bottom[2*lo+c], scale,
			rows, c)
	})
}

func selectOf(dst, cond, x, y []float32) {
	if len(dst) == 0 {
		return
	}
	stream := !same(dst, cond) && !same(dst, x) && !same(dst, y)
	chunks(dst, stream, func(lo, hi int, nt bool) {
		selectOfAVX512(&dst[lo], &cond[lo], &x[lo], &y[lo], 1, hi-lo, nt)
	})
}

func maxIndex(best []float32, idx []int32, x []float32, at int32) {
	chunks(best, false, func(lo, hi int, _ bool) {
		maxIndexAVX512(&best[lo], &idx[lo], &x[lo], at, 1, hi-lo)
	})
}
