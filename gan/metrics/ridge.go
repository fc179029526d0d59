package metrics

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

// chunkRows is how many rows a Gram matrix takes up at a time: large enough for full matrix
// products, small enough that 1,000 columns stay in cache-sized memory (8 MB).
const chunkRows = 1024

// Linear is a fitted affine map, y = x·W + b.
type Linear struct {
	W *mat.Dense // [inputs, outputs]
	B []float64  // [outputs]
}

// Ridge returns the affine map that minimises
//
//	(1/n)·Σ ‖y_i − x_i·W − b‖² + lambda·‖W‖²
//
// over rows of x [n, p] and y [n, q]; the intercept b is not penalised. Because the error is a
// mean, lambda means the same for every n; inputs should have comparable scales.
// It panics if the rows differ in number, n = 0, lambda < 0 or a value is not finite; it returns
// an error if the system is singular, which lambda > 0 prevents.
func Ridge(x, y *mat.Dense, lambda float64) (*Linear, error) {
	const op = "metrics.Ridge"
	n, _ := x.Dims()
	if yn, _ := y.Dims(); n != yn || n == 0 {
		fail(op, "%d rows of x and %d of y: expected equal, at least one", n, yn)
	}
	checkFinite(op, "x", x)
	checkFinite(op, "y", y)
	m := newMoments(func(lo, hi int) *mat.Dense { return rowsOf(x, lo, hi) }, y)
	m.add(0, n)
	return m.solve(lambda)
}

// Predict returns x·W + b, [n, outputs], for x [n, inputs].
func (l *Linear) Predict(x *mat.Dense) *mat.Dense {
	n, p := x.Dims()
	wp, q := l.W.Dims()
	if n == 0 {
		return &mat.Dense{}
	}
	if p != wp {
		fail("metrics.Linear.Predict", "%d inputs, fitted on %d", p, wp)
	}
	out := mat.NewDense(n, q, nil)
	out.Mul(x, l.W)
	for i := range n {
		for j, row := 0, out.RawRowView(i); j < q; j++ {
			row[j] += l.B[j]
		}
	}
	return out
}

// moments accumulates what a ridge regression needs from rows that are produced on demand, so
// that random features of 50,000 images never exist at once. Rows are shifted by the first chunk's
// mean, so that the later subtraction of the mean does not cancel.
type moments struct {
	rows           func(lo, hi int) *mat.Dense
	y              *mat.Dense
	n              int
	shiftX, shiftY []float64
	sumX, sumY     []float64
	xx, xy         *mat.Dense
}

func newMoments(rows func(lo, hi int) *mat.Dense, y *mat.Dense) *moments {
	return &moments{rows: rows, y: y}
}

// add takes up rows lo..hi−1.
func (m *moments) add(lo, hi int) {
	for ; lo < hi; lo += chunkRows {
		end := min(lo+chunkRows, hi)
		x, y := m.rows(lo, end), mat.DenseCopyOf(rowsOf(m.y, lo, end))
		if m.xx == nil {
			_, p := x.Dims()
			_, q := y.Dims()
			m.shiftX, m.shiftY = columnMeans(x), columnMeans(y)
			m.sumX, m.sumY = make([]float64, p), make([]float64, q)
			m.xx, m.xy = mat.NewDense(p, p, nil), mat.NewDense(p, q, nil)
		}
		x = mat.DenseCopyOf(x)
		shift(x, m.shiftX, m.sumX)
		shift(y, m.shiftY, m.sumY)
		var g mat.Dense
		g.Mul(x.T(), x)
		m.xx.Add(m.xx, &g)
		g.Reset()
		g.Mul(x.T(), y)
		m.xy.Add(m.xy, &g)
		m.n += end - lo
	}
}

// shift subtracts s from every row of x and adds what is left to sum.
func shift(x *mat.Dense, s, sum []float64) {
	n, _ := x.Dims()
	for i := range n {
		row := x.RawRowView(i)
		for j := range row {
			row[j] -= s[j]
			sum[j] += row[j]
		}
	}
}

// solve returns the ridge solution for what was taken up so far.
func (m *moments) solve(lambda float64) (*Linear, error) {
	if lambda < 0 || math.IsNaN(lambda) {
		fail("metrics.Ridge", "lambda is %v: expected at least 0", lambda)
	}
	p, q := m.xy.Dims()
	n := float64(m.n)
	a := mat.NewSymDense(p, nil)
	rhs := mat.NewDense(p, q, nil)
	for i := range p {
		for j := i; j < p; j++ {
			a.SetSym(i, j, (m.xx.At(i, j)-m.sumX[i]*m.sumX[j]/n)/n)
		}
		a.SetSym(i, i, a.At(i, i)+lambda)
		for j := range q {
			rhs.Set(i, j, (m.xy.At(i, j)-m.sumX[i]*m.sumY[j]/n)/n)
		}
	}
	var chol mat.Cholesky
	l := &Linear{W: mat.NewDense(p, q, nil), B: make([]float64, q)}
	if !chol.Factorize(a) {
		return nil, tensor.Refuse("metrics: Ridge: singular system of %d inputs from %d rows: "+
			"use lambda above %g", p, m.n, lambda)
	}
	if err := chol.SolveTo(l.W, rhs); err != nil && !isCondition(err) {
		return nil, fmt.Errorf("metrics: Ridge: %w", err)
	}
	for j := range q {
		l.B[j] = m.shiftY[j] + m.sumY[j]/n
		for i := range p {
			l.B[j] -= (m.shiftX[i] + m.sumX[i]/n) * l.W.At(i, j)
		}
	}
	return l, nil
}

// isCondition reports whether gonum solved the system but calls it ill-conditioned.
func isCondition(err error) bool {
	_, ok := err.(mat.Condition)
	return ok
}

// rowsOf returns rows lo..hi−1 of x as a view.
func rowsOf(x *mat.Dense, lo, hi int) *mat.Dense {
	_, d := x.Dims()
	return x.Slice(lo, hi, 0, d).(*mat.Dense)
}

// PooledR2 returns one R² for the given outputs (columns) together, 1 − Σ_j SSE_j / Σ_j SST_j, with
// its interval over images: the share of their total variance explained. The mean that SST is about
// is the sample's, also in a resample. Shapes [n, q] must agree; else it panics.
func PooledR2(pred, y *mat.Dense, columns []int, key tensor.Key) Estimate {
	n, _ := sameDims("metrics.PooledR2", pred, y)
	sse, sst := make([]float64, n), make([]float64, n)
	for _, j := range columns {
		mu := mat.Sum(y.ColView(j)) / float64(n)
		for i := range n {
			e, d := y.At(i, j)-pred.At(i, j), y.At(i, j)-mu
			sse[i] += e * e
			sst[i] += d * d
		}
	}
	r := PairedRatio(sse, sst, key)
	return Estimate{Value: 1 - r.Value, Lo: 1 - r.Hi, Hi: 1 - r.Lo, N: r.N}
}
