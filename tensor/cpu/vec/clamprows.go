package vec

import "fmt"

// ClampRows ends a convolution in place: y[i] = min(max(y[i] + res[i], lo), hi) for the n elements
// of each of count rows that lie step elements apart; without res if that is nil. NaN stays NaN. It
// assumes lo ≤ hi and panics if a slice is too short.
func ClampRows(y, res []float32, n, count, step int, lo, hi float32) {
	if n <= 0 || count <= 0 {
		return
	}
	if need := (count-1)*step + n; step < n || len(y) < need || res != nil && len(res) < need {
		panic(fmt.Sprintf("vec: ClampRows: %d rows of %d elements, %d apart, do not fit %d and %d",
			count, n, step, len(y), len(res)))
	}
	active.clampRows(y, res, n, count, step, lo, hi)
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
