package kernels

import "afterimage/tensor"

type augmentArgs struct {
	Dst, Src, Place uint64
	Scale, Shift    uint64
	N, H, W, C      int32
	SrcH, SrcW      int32
}

// Augment turns U8 images src [N H' W' C] into dst [N H W C], F32 or BF16: sample n is cropped from
// row place[n,0] and column place[n,1] on (beyond an edge: black), mirrored if place[n,2] ≠ 0, then
// scaled: pixel·scale[c] + shift[c]. place is I32 [N 3], scale and shift F32 [C].
func (e *Encoder) Augment(dst, src, place, scale, shift Array) {
	if dst.DType != tensor.F32 && dst.DType != tensor.BF16 || src.DType != tensor.U8 {
		panic(badDType("Augment", dst, src))
	}
	a := augmentArgs{Dst: dst.Ptr, Src: src.Ptr, Place: place.Ptr, Scale: scale.Ptr,
		Shift: shift.Ptr, N: i32(dst.dim(0)), H: i32(dst.dim(1)), W: i32(dst.dim(2)),
		C: i32(dst.dim(3)), SrcH: i32(src.dim(1)), SrcW: i32(src.dim(2))}
	stride(e, "augment"+suffix("Augment", dst), a, dst.size())
}
