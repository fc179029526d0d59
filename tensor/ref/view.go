package ref

import "afterimage/tensor"

// CopyView copies elements one by one; see tensor.Viewer.
func (b *Backend) CopyView(dst, src tensor.View) {
	size := src.T.DType().Size()
	to := dst.T.Buffer().(tensor.HostBuffer).HostBytes()
	from := src.T.Buffer().(tensor.HostBuffer).HostBytes()
	places, elements := numbers(dst.Layout), numbers(src.Layout)
	for i, at := range places {
		copy(to[at*size:(at+1)*size], from[elements[i]*size:])
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
