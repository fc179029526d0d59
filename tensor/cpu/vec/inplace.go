package vec

import "fmt"

// ClampRows ends a convolution in place: y[i] = min(max(y[i] + res[i], lo), hi) for the n elements
// of each of count rows that lie step elements apart; without res if that is nil. NaN stays NaN. It
// assumes lo ≤ hi and panics if a slice is too short.
func ClampRows(y, res []float32, n, count, step int, lo, hi float32) {
	if n <= 0 || count <= 0 {
		return
	}
	apart("ClampRows", n, count, step, y)
	if res != nil {
		apart("ClampRows", n, count, step, res)
	}
	active.clampRows(y, res, n, count, step, lo, hi)
}

// HardSwishRows is HardSwish in place, of the n elements of each of count rows that lie step
// elements apart. It panics as ClampRows does.
func HardSwishRows(y []float32, n, count, step int, a, b float32) {
	if n <= 0 || count <= 0 {
		return
	}
	apart("HardSwishRows", n, count, step, y)
	active.hardSwishRows(y, n, count, step, a, b)
}

// apart panics unless the rows lie in y.
func apart(op string, n, count, step int, y []float32) {
	if step < n || len(y) < (count-1)*step+n {
		panic(fmt.Sprintf("vec: %s: %d rows of %d elements, %d apart, do not fit %d elements", op, count,
			n, step, len(y)))
	}
}

func hardSwishRowsGo(y []float32, n, count, step int, a, b float32) {
	for r := range count {
		row := y[r*step:][:n]
		hardSwishGo(row, row, a, b)
	}
}

func clampRowsGo(y, res []float32, n, count, step int, lo, hi float32) {
	for r := range count {
		row := y[r*step:][:n]
		if res != nil {
			addToGo(row, res[r*step:][:n])
		}
		clampGo(row, row, lo, hi)
	}
}
