//go:build amd64 && !purego

package vec

// The adapters in this file and in loops_amd64.go turn an assembly loop over pointers into a
// function of slices.

func fill(k func(dst *float32, v float32, rows, cols int, nt bool)) func([]float32, float32) {
	return func(dst []float32, v float32) {
		chunks(dst, true, func(lo, hi int, nt bool) { k(&dst[lo], v, 1, hi-lo, nt) })
	}
}

func unary(k func(dst, x *float32, rows, cols int, nt bool)) func(dst, x []float32) {
	return func(dst, x []float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, around(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], 1, hi-lo, nt)
		})
	}
}

func scalar(k func(dst, x *float32, s float32, rows, cols int, nt bool)) func(
	dst, x []float32, s float32) {
	return func(dst, x []float32, s float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, around(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], s, 1, hi-lo, nt)
		})
	}
}

func scalar2(k func(dst, x *float32, a, b float32, rows, cols int, nt bool)) func(
	dst, x []float32, a, b float32) {
	return func(dst, x []float32, a, b float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, around(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], a, b, 1, hi-lo, nt)
		})
	}
}

func binary(k func(dst, x, y *float32, rows, cols int, nt bool)) func(dst, x, y []float32) {
	return func(dst, x, y []float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x) && !same(dst, y), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], &y[lo], 1, hi-lo, nt)
		})
	}
}

func ternary(k func(dst, x, y, z *float32, rows, cols int, nt bool)) func(dst, x, y, z []float32) {
	return func(dst, x, y, z []float32) {
		if len(dst) == 0 {
			return
		}
		stream := !same(dst, x) && !same(dst, y) && !same(dst, z)
		chunks(dst, stream, func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], &y[lo], &z[lo], 1, hi-lo, nt)
		})
	}
}

func axpy(k func(y, x *float32, a float32, rows, cols int)) func([]float32, float32, []float32) {
	return func(y []float32, a float32, x []float32) {
		chunks(y, false, func(lo, hi int, _ bool) { k(&y[lo], &x[lo], a, 1, hi-lo) })
	}
}

func axpby(k func(dst, x, y *float32, a, b float32, rows, cols int, nt bool)) axpbyFunc {
	return func(dst []float32, a float32, x []float32, b float32, y []float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x) && !same(dst, y), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], &y[lo], a, b, 1, hi-lo, nt)
		})
	}
}

func row(k func(dst, x, v *float32, rows, cols int, nt bool)) func(dst, x, v []float32) {
	return func(dst, x, v []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		rowChunks(dst, c, around(dst, x), func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &v[0], rows, c, nt)
		})
	}
}

func row2(k func(dst, x, v, w *float32, rows, cols int, nt bool)) func(dst, x, v, w []float32) {
	return func(dst, x, v, w []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		rowChunks(dst, c, around(dst, x), func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &v[0], &w[0], rows, c, nt)
		})
	}
}

func row2Add(k func(dst, x, res, v, w *float32, rows, cols int, nt bool)) func(
	dst, x, res, v, w []float32) {
	return func(dst, x, res, v, w []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		stream := !same(dst, x) && !same(dst, res)
		rowChunks(dst, c, stream, func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &res[lo], &v[0], &w[0], rows, c, nt)
		})
	}
}

func row4(k func(dx, dy, x, mean, a, b, d *float32, rows, cols int, nt bool)) func(
	dx, dy, x, mean, a, b, d []float32) {
	return func(dx, dy, x, mean, a, b, d []float32) {
		if len(dx) == 0 {
			return
		}
		c := len(a)
		rowChunks(dx, c, !same(dx, dy) && !same(dx, x), func(lo, rows int, nt bool) {
			k(&dx[lo], &dy[lo], &x[lo], &mean[0], &a[0], &b[0], &d[0], rows, c, nt)
		})
	}
}

func row5(k func(dx, dy, x, mean, a, b, d, shift *float32, rows, cols int, nt bool)) func(
	dx, dy, x, mean, a, b, d, shift []float32) {
	return func(dx, dy, x, mean, a, b, d, shift []float32) {
		if len(dx) == 0 {
			return
		}
		c := len(a)
		rowChunks(dx, c, !same(dx, dy) && !same(dx, x), func(lo, rows int, nt bool) {
			k(&dx[lo], &dy[lo], &x[lo], &mean[0], &a[0], &b[0], &d[0], &shift[0], rows, c, nt)
		})
	}
}

func sum(k func(x *float32, n int) float64) func(x []float32) float64 {
	return func(x []float32) float64 {
		var s float64
		for lo := 0; lo < len(x); lo += span {
			s += k(&x[lo], min(span, len(x)-lo))
		}
		return s
	}
}

func dot(k func(x, y *float32, n int) float64) func(x, y []float32) float64 {
	return func(x, y []float32) float64 {
		var s float64
		for lo := 0; lo < len(x); lo += span {
			s += k(&x[lo], &y[lo], min(span, len(x)-lo))
		}
		return s
	}
}

// addDoubles adds whole vectors of the given number of lanes in assembly and the rest in Go.
func addDoubles(lanes int, k func(acc, x *float64, n int)) func(acc, x []float64) {
	return func(acc, x []float64) {
		whole := len(x) - len(x)%lanes
		if whole > 0 {
			k(&acc[0], &x[0], whole)
		}
		addDoublesGo(acc[whole:], x[whole:])
	}
}
