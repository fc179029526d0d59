package backendtest

import (
	"fmt"

	"afterimage/tensor"
)

// viewFamily tests the kernels of a tensor.Viewer.
func viewFamily(f *family) {
	if _, ok := f.s.one.Backend.(tensor.Viewer); !ok {
		return
	}
	for i, l := range viewed() {
		for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.BF16} {
			f.checkIn(fmt.Sprintf("copy %d %v", i, l.Shape), dt, func(e *env) { copyViewCase(e, l) })
		}
	}
	for _, s := range [][5]int{{1, 1, 1, 1, 1}, {2, 3, 5, 4, 3}, {1, 2, 33, 17, 40}, {3, 1, 0, 4, 2},
		{2, 2, 3, 4, 0}, {1, 4, 197, 64, 197}, {2, 1, 1, 9, 5}, {1, 2, 6, 1, 7}} {
		f.checkWide(fmt.Sprintf("product %v", s), func(e *env) { matMulViewsCase(e, s) })
	}
}

// viewed are views of 3·4·5·32 elements: all in order, turned, steps, one element of each of many
// rows, blocks for a transposing kernel, nothing.
func viewed() []tensor.Layout {
	all := tensor.Dense(tensor.Shape{3, 4, 5, 32})
	flat, _ := all.Reshape(tensor.Shape{60, 32})
	return []tensor.Layout{all, all.Permute(3, 1, 0, 2), all.Slice(1, 1, 2, 2), all.Slice(3, 31, 1, 1),
		flat.Permute(1, 0), all.Slice(3, 3, 1, 20).Permute(1, 2, 3, 0), all.Slice(2, 4, 1, 0),
		all.Slice(3, 1, 5, 6).Slice(0, 2, 1, 1).Permute(0, 3, 2, 1)}
}

// copyViewCase copies from a view and to one, between whose elements nothing may change.
func copyViewCase(e *env, l tensor.Layout) {
	b := e.Backend.(tensor.Viewer)
	x, part := e.in(normal(0, 1), 3, 4, 5, 32), e.in(normal(0, 1), l.Shape...)
	y, all := e.out(l.Shape...), e.state(normal(0, 1), 3, 4, 5, 32)
	dense := tensor.Dense(l.Shape)
	b.CopyView(tensor.View{T: y, Layout: dense}, tensor.View{T: x, Layout: l})
	b.CopyView(tensor.View{T: all, Layout: l}, tensor.View{T: part, Layout: dense})
	e.want("from", y, exactly())
	e.want("to", all, exactly())
}

// matMulViewsCase multiplies heads [B H m k] that lie as [B m 2 H k] and [B H k n] in each of the
// ways in which they can: row by row, turned, and with gaps between elements. The second product
// goes to heads that lie side by side.
func matMulViewsCase(e *env, s [5]int) {
	b, h, m, k, n := s[0], s[1], s[2], s[3], s[4]
	fuser := e.Backend.(tensor.Viewer)
	x := tensor.View{T: e.in(normal(0, 1), b, m, 2, h, k)}
	x.Layout, _ = tensor.Dense(x.T.Shape()).Slice(2, 1, 1, 1).Permute(0, 2, 3, 1, 4).Reshape(
		tensor.Shape{b, h, m, k})
	for i, order := range [][]int{{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}, {3, 0, 1, 2}} {
		extents := tensor.Shape{b, h, k, n}
		shape, back := make([]int, 4), make([]int, 4)
		for at, axis := range order {
			shape[at], back[axis] = extents[axis], at
		}
		y := tensor.View{T: e.in(normal(0, 1), shape...)}
		y.Layout = tensor.Dense(y.T.Shape()).Permute(back...)
		for _, alpha := range []float64{1, -0.25} {
			dst, sizes := e.out(b, h, m, n), e.out(b, h, m, n)
			to := tensor.Dense(tensor.Shape{b, h, m, n})
			if alpha != 1 {
				dst, sizes = e.out(b, m, h, n), e.out(b, m, h, n)
				to = tensor.Dense(tensor.Shape{b, m, h, n}).Permute(0, 2, 1, 3)
			}
			fuser.MatMulViews(tensor.View{T: dst, Layout: to}, x, y, alpha)
			fuser.MatMulViews(tensor.View{T: sizes, Layout: to},
				tensor.View{T: e.abs(x.T), Layout: x.Layout},
				tensor.View{T: e.abs(y.T), Layout: y.Layout}, 1)
			e.want(fmt.Sprintf("order %d alpha %g", i, alpha), dst,
				tolerance{k: kSum, mag: sizes.Floats})
		}
	}
}
