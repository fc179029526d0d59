//go:build amd64 && !purego

package vec

// The adapters of column sums take three loops: over groups of groupRows rows, over the same where
// rows are longer than panel channels and are asked for ahead of use, and over single rows.

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

type colSumLoop = func(acc *float64, x *float32, groups, cols int)

func colSum(panel int, short, long, one colSumLoop) func(acc []float64, x []float32) {
	return func(acc []float64, x []float32) {
		c := len(acc)
		sixteen := short
		if c > panel {
			sixteen = long
		}
		groups(len(x), c, func(lo, n int) { sixteen(&acc[0], &x[lo], n, c) },
			func(lo, n int) { one(&acc[0], &x[lo], n, c) })
	}
}

type colSumWeightedLoop = func(acc *float64, x, weight *float32, groups, cols int)

func colSumWeighted(panel int, short, long, one colSumWeightedLoop) func(acc []float64,
	x, weight []float32) {
	return func(acc []float64, x, weight []float32) {
		c := len(acc)
		sixteen := short
		if c > panel {
			sixteen = long
		}
		groups(len(x), c, func(lo, n int) { sixteen(&acc[0], &x[lo], &weight[lo/c], n, c) },
			func(lo, n int) { one(&acc[0], &x[lo], &weight[lo/c], n, c) })
	}
}

type colMomentsLoop = func(s, t *float64, x, shift *float32, groups, cols int)

func colMoments(panel int, short, long, one colMomentsLoop) func(s, t []float64,
	x, shift []float32) {
	return func(s, t []float64, x, shift []float32) {
		c := len(s)
		sixteen := short
		if c > panel {
			sixteen = long
		}
		groups(len(x), c, func(lo, n int) { sixteen(&s[0], &t[0], &x[lo], &shift[0], n, c) },
			func(lo, n int) { one(&s[0], &t[0], &x[lo], &shift[0], n, c) })
	}
}

type colDot2Loop = func(s, t *float64, dy, x, mean, rstd *float32, groups, cols int)

func colDot2(panel int, short, long, one colDot2Loop) func(s, t []float64,
	dy, x, mean, rstd []float32) {
	return func(s, t []float64, dy, x, mean, rstd []float32) {
		c := len(s)
		sixteen := short
		if c > panel {
			sixteen = long
		}
		groups(len(x), c, func(lo, n int) {
			sixteen(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &rstd[0], n, c)
		}, func(lo, n int) {
			one(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &rstd[0], n, c)
		})
	}
}

type colDot2ReLULoop = func(s, t *float64, dy, x, mean, scale, shift, rstd *float32,
	groups, cols int)

func colDot2ReLU(panel int, short, long, one colDot2ReLULoop) colDot2ReLUFunc {
	return func(s, t []float64, dy, x, mean, scale, shift, rstd []float32) {
		c := len(s)
		sixteen := short
		if c > panel {
			sixteen = long
		}
		groups(len(x), c, func(lo, n int) {
			sixteen(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &scale[0], &shift[0], &rstd[0], n, c)
		}, func(lo, n int) {
			one(&s[0], &t[0], &dy[lo], &x[lo], &mean[0], &scale[0], &shift[0], &rstd[0], n, c)
		})
	}
}

func softmax(k func(dst, x *float32, rows, cols int)) func(dst, x []float32, c int) {
	return func(dst, x []float32, c int) {
		rowChunks(dst, c, false, func(lo, rows int, _ bool) { k(&dst[lo], &x[lo], rows, c) })
	}
}

func layerNorm(k func(dst, x, gamma, beta, mean, rstd *float32, share, eps float64, rows,
	cols int)) layerNormFunc {
	return func(dst, mean, rstd, x, gamma, beta []float32, eps float64) {
		c := len(gamma)
		rowChunks(dst, c, false, func(lo, rows int, _ bool) {
			r := lo / c
			k(&dst[lo], &x[lo], &gamma[0], &beta[0], &mean[r], &rstd[r], 1/float64(c), eps, rows, c)
		})
	}
}

type sgdLoop = func(p, buf, grad *float32, lr, mu, wd float32, rows, cols int)

func sgd(plain, nesterov sgdLoop) func(p, buf, g []float32, o SGDParams) {
	return func(p, buf, g []float32, o SGDParams) {
		k := plain
		if o.Nesterov {
			k = nesterov
		}
		chunks(p, false, func(lo, hi int, _ bool) {
			k(&p[lo], &buf[lo], &g[lo], o.LR, o.Momentum, o.WeightDecay, 1, hi-lo)
		})
	}
}

func adam(k func(p, m, v, grad *float32, shrink, wd, b1, a1, b2, a2, step, rootScale, eps float32,
	rows, cols int)) func(p, m, v, g []float32, o AdamParams) {
	return func(p, m, v, g []float32, o AdamParams) {
		s := o.scalars()
		chunks(p, false, func(lo, hi int, _ bool) {
			k(&p[lo], &m[lo], &v[lo], &g[lo], s.shrink, s.wd, s.b1, s.a1, s.b2, s.a2, s.step,
				s.rootScale, s.eps, 1, hi-lo)
		})
	}
}

func ema(k func(avg, p *float32, rest float32, rows, cols int)) func(avg, p []float32,
	decay float32) {
	return func(avg, p []float32, decay float32) {
		rest := float32(1 - float64(decay))
		chunks(avg, false, func(lo, hi int, _ bool) { k(&avg[lo], &p[lo], rest, 1, hi-lo) })
	}
}

type poolLoop = func(dst, t0, t1, b0, b1 *float32, scale float32, rows, cols int, nt bool)

func pool2x2(k poolLoop) func(dst, top, bottom []float32, c int, scale float32) {
	return func(dst, top, bottom []float32, c int, scale float32) {
		rowChunks(dst, c, true, func(lo, rows int, nt bool) {
			k(&dst[lo], &top[2*lo], &top[2*lo+c], &bottom[2*lo], &bottom[2*lo+c], scale, rows, c, nt)
		})
	}
}

func upsample2x2(k func(x, t0, t1, b0, b1 *float32, scale float32, rows, cols int)) func(
	top, bottom, x []float32, c int, scale float32) {
	return func(top, bottom, x []float32, c int, scale float32) {
		rowChunks(x, c, false, func(lo, rows int, _ bool) {
			k(&x[lo], &top[2*lo], &top[2*lo+c], &bottom[2*lo], &bottom[2*lo+c], scale, rows, c)
		})
	}
}

func maxWindows(k func(best *float32, idx *int32, x *float32, count, kh, kw, pitch, step int,
	first, apart, skip int32, c int)) func(y []float32, idx []int32, x []float32, w Windows) {
	return func(y []float32, idx []int32, x []float32, w Windows) {
		pixels := max(1, span/(w.KH*w.KW*w.C)) // windows in a call
		for j := 0; j < w.Count; j += pixels {
			n := min(pixels, w.Count-j)
			k(&y[j*w.C], &idx[j*w.C], &x[j*w.Step*w.C], n, w.KH, w.KW, w.Pitch, w.Step,
				w.First+int32(j*w.Step), int32(w.Step), int32(w.Pitch-w.KW), w.C)
		}
	}
}

func maxima(k func(best, x *float32, count, kh, kw, pitch, step, c int)) func(
	y, x []float32, w Windows) {
	return func(y, x []float32, w Windows) {
		pixels := max(1, span/(w.KH*w.KW*w.C)) // windows in a call
		for j := 0; j < w.Count; j += pixels {
			k(&y[j*w.C], &x[j*w.Step*w.C], min(pixels, w.Count-j), w.KH, w.KW, w.Pitch, w.Step, w.C)
		}
	}
}

func scatterAdd(k func(dx, dy *float32, idx *int32, limit, pixels, c int) int) func(
	dx, dy []float32, idx []int32, c int) int {
	return func(dx, dy []float32, idx []int32, c int) int {
		if len(dx) == 0 {
			return len(dy) / c
		}
		per := max(1, span/c) * c
		for lo := 0; lo < len(dy); lo += per {
			pixels := min(per, len(dy)-lo) / c
			if left := k(&dx[0], &dy[lo], &idx[lo], len(dx)/c, pixels, c); left > 0 {
				return left + len(dy)/c - lo/c - pixels
			}
		}
		return 0
	}
}

func crossEntropyGrad(k func(dst, logp, t *float32, total, dy float32, rows, cols int,
	nt bool)) func(dst, logp, t []float32, total, dy float32) {
	return func(dst, logp, t []float32, total, dy float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, logp) && !same(dst, t), func(lo, hi int, nt bool) {
			k(&dst[lo], &logp[lo], &t[lo], total, dy, 1, hi-lo, nt)
		})
	}
}
