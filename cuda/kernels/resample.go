package kernels

import "fmt"

type upsampleArgs struct {
	Large, Small uint64
	C            int64
	N, H, W, K   int32
}

func newUpsample(large, small Array, k int) upsampleArgs {
	d := func(i int) int32 { return i32(small.Shape[i]) }
	return upsampleArgs{Large: large.Ptr, Small: small.Ptr, C: int64(small.dim(3)), N: d(0), H: d(1),
		W: d(2), K: i32(k)}
}

// Upsample repeats every pixel of x [N H W C] k×k times.
func (e *Encoder) Upsample(y, x Array, k int) {
	a, size := newUpsample(y, x, k), x.DType.Size()
	w := wordSize(size, y.Ptr, x.Ptr, []int{x.dim(3)}, [][]int{{1}, {1}})
	a.C = int64(x.dim(3) * size / w)
	stride(e, fmt.Sprintf("upsample_b%d", w), a, y.size()*size/w)
}

// UpsampleGrad is the adjoint of Upsample: it sums every k×k block.
func (e *Encoder) UpsampleGrad(dx, dy Array, k int) {
	stride(e, "upsample_grad"+suffix("UpsampleGrad", dx), newUpsample(dy, dx, k), dx.size())
}
