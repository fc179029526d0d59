package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Grid is the side of the block grid that layout and colour are compared on: 8×8 means of a
// three-channel image are 192 numbers.
const Grid = 8

// BlockMeans returns the means of the g×g equal blocks of each image, [N, g·g·C], row by row with
// the channel last, in units of [0, 1]. It panics unless g divides H and W.
func BlockMeans(m Images, g int) *mat.Dense {
	const op = "metrics.BlockMeans"
	m.check(op)
	if g <= 0 || m.H%g != 0 || m.W%g != 0 {
		fail(op, "a %d×%d grid does not divide images of %d×%d", g, g, m.H, m.W)
	}
	bh, bw := m.H/g, m.W/g
	a, b := m.Range.affine()
	out := NewDense(m.N, g*g*m.C)
	for i := range m.N {
		row, pix := out.RawRowView(i), m.At(i)
		for y := range m.H {
			for x := range m.W {
				base := ((y/bh)*g + x/bw) * m.C
				for c := range m.C {
					row[base+c] += float64(pix[(y*m.W+x)*m.C+c])
				}
			}
		}
		for j := range row {
			row[j] = a*row[j]/float64(bh*bw) + b
		}
	}
	return out
}

// MSE8 returns, per image, the mean squared error of the 8×8 block means: layout and colour
// without detail, in units of [0, 1]. It panics if the shapes differ or 8 does not divide them.
func MSE8(a, b Images) []float64 {
	sameShape("metrics.MSE8", a, b)
	return RowMSE(BlockMeans(a, Grid), BlockMeans(b, Grid))
}

// RowMSE returns the mean squared difference of each pair of rows of a and b [n, d].
// It panics if the shapes differ.
func RowMSE(a, b *mat.Dense) []float64 {
	n, d := sameDims("metrics.RowMSE", a, b)
	out := make([]float64, n)
	for i := range out {
		out[i] = squaredDistance(a.RawRowView(i), b.RawRowView(i)) / float64(d)
	}
	return out
}

// Matrix copies n rows of d float32 values into a matrix [n, d]: logits, features, factors.
// It panics if len(x) is not n·d or a value is not finite.
func Matrix(n, d int, x []float32) *mat.Dense {
	const op = "metrics.Matrix"
	if n < 0 || d <= 0 || len(x) != n*d {
		fail(op, "%d values do not make %d rows of %d", len(x), n, d)
	}
	data := make([]float64, len(x))
	for i, v := range x {
		data[i] = float64(v)
		if math.IsNaN(data[i]) || math.IsInf(data[i], 0) {
			fail(op, "value %d of row %d is %v", i%d, i/d, v)
		}
	}
	return denseOf(n, d, data)
}

// OneHot returns labels as rows of a [n, classes] matrix with a single 1: the code that holds the
// class and nothing else. It panics if a label is outside 0..classes−1.
func OneHot(labels []int32, classes int) *mat.Dense {
	out := NewDense(len(labels), classes)
	for i, l := range labels {
		if l < 0 || int(l) >= classes {
			fail("metrics.OneHot", "label %d of row %d is outside 0..%d", l, i, classes-1)
		}
		out.Set(i, int(l), 1)
	}
	return out
}

// NewDense returns a matrix of zeros [n, d]; of no rows, which gonum refuses, the empty one.
func NewDense(n, d int) *mat.Dense { return denseOf(n, d, make([]float64, n*d)) }

// denseOf wraps data as [n, d]; gonum refuses n = 0, so an empty batch becomes the empty matrix.
func denseOf(n, d int, data []float64) *mat.Dense {
	if n == 0 {
		return &mat.Dense{}
	}
	return mat.NewDense(n, d, data)
}

// sameDims panics unless a and b have one shape, which it returns.
func sameDims(op string, a, b *mat.Dense) (n, d int) {
	n, d = a.Dims()
	if bn, bd := b.Dims(); bn != n || bd != d {
		fail(op, "shapes differ: [%d %d] and [%d %d]", n, d, bn, bd)
	}
	return n, d
}

func squaredDistance(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		d := v - b[i]
		sum += d * d
	}
	return sum
}
