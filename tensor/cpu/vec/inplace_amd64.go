//go:build amd64 && !purego

package vec

type rowsLoop = func(y *float32, a, b float32, rows, cols, step int)

// pieces cuts rows into calls of at most a span of elements.
func pieces(n, count, step int, call func(at, rows, cols int)) {
	for c := 0; c < n; c += span {
		cols := min(span, n-c)
		rows := max(1, span/cols)
		for r := 0; r < count; r += rows {
			call(r*step+c, min(rows, count-r), cols)
		}
	}
}

func clampRows(plain rowsLoop, add func(y, res *float32, lo, hi float32, rows, cols, step int),
) func(y, res []float32, n, count, step int, lo, hi float32) {
	return func(y, res []float32, n, count, step int, lo, hi float32) {
		pieces(n, count, step, func(at, rows, cols int) {
			if res == nil {
				plain(&y[at], lo, hi, rows, cols, 4*step)
			} else {
				add(&y[at], &res[at], lo, hi, rows, cols, 4*step)
			}
		})
	}
}

func hardSwishRows(k rowsLoop) func(y []float32, n, count, step int, a, b float32) {
	return func(y []float32, n, count, step int, a, b float32) {
		pieces(n, count, step, func(at, rows, cols int) { k(&y[at], a, b, rows, cols, 4*step) })
	}
}
