package ref

import "afterimage/tensor"

// MatMul computes dst[b] = op(a[b])·op(b[b]) for rank-3 operands [B m k]·[B k n], or rank-2
// without the batch axis. TransA and TransB take a as [k m], b as [n k].
func (be *Backend) MatMul(dst, a, b *tensor.Tensor, p tensor.MatMulParams) {
	switch a.DType() {
	case tensor.F32:
		matMulLoop[float32](dst, a, b, p)
	case tensor.F64:
		matMulLoop[float64](dst, a, b, p)
	case tensor.BF16:
		be.inF32(func(f widening) { be.MatMul(f.out(dst), f.in(a), f.in(b), p) })
	default:
		panic(badDType("MatMul", dst, a, b))
	}
}

func matMulLoop[T tensor.Float](dst, a, b *tensor.Tensor, p tensor.MatMulParams) {
	batch := 1
	if dst.Rank() == 3 {
		batch = dst.Dim(0)
	}
	m, n, k := dst.Dim(-2), dst.Dim(-1), a.Dim(-1)
	if p.TransA {
		k = a.Dim(-2)
	}
	ds, as, bs := tensor.Host[T](dst), tensor.Host[T](a), tensor.Host[T](b)
	row := make([]float64, n)
	for i := range batch {
		ai, bi := as[i*m*k:(i+1)*m*k], bs[i*k*n:(i+1)*k*n]
		for r := range m {
			matMulRow(row, ai, bi, r, m, k, p)
			for c, v := range row {
				ds[(i*m+r)*n+c] = T(v)
			}
		}
	}
}

// matMulRow computes row r of op(a)·op(b). It runs along rows of b as they lie in memory.
func matMulRow[T tensor.Float](row []float64, a, b []T, r, m, k int, p tensor.MatMulParams) {
	n := len(row)
	clear(row)
	left := func(q int) float64 {
		if p.TransA {
			return float64(a[q*m+r])
		}
		return float64(a[r*k+q])
	}
	if p.TransB {
		for c := range row {
			for q, v := range b[c*k : c*k+k] {
				row[c] += left(q) * float64(v)
			}
		}
		return
	}
	for q := range k {
		l := left(q)
		for c, v := range b[q*n : q*n+n] {
			row[c] += l * float64(v)
		}
	}
}

// MatMulViews multiplies matrix by matrix, sums in float64; see tensor.Viewer.
func (b *Backend) MatMulViews(dst, x, y tensor.View, alpha float64) {
	xs, ys := viewed(x), viewed(y)
	r := len(dst.Shape)
	m, n, k := dst.Shape[r-2], dst.Shape[r-1], x.Shape[r-1]
	out := dst.T.Floats()
	for i, at := range numbers(dst.Layout) {
		stack, row, col, sum := i/(m*n), i/n%m, i%n, 0.0
		for j := range k {
			sum += xs[(stack*m+row)*k+j] * ys[(stack*k+j)*n+col]
		}
		out[at] = alpha * sum
	}
	store(dst.T, out)
}

// viewed returns a view's elements in order.
func viewed(v tensor.View) []float64 {
	all, list := v.T.Floats(), numbers(v.Layout)
	out := make([]float64, len(list))
	for i, at := range list {
		out[i] = all[at]
	}
	return out
}

// numbers returns which elements a view shows, in order.
func numbers(l tensor.Layout) []int {
	list := make([]int, l.Shape.Size())
	order := l.Shape.Strides()
	for i := range list {
		list[i] = l.Offset
		for a, n := range l.Shape {
			list[i] += i / order[a] % n * l.Strides[a]
		}
	}
	return list
}
