//go:build !purego

package conv

import "afterimage/tensor/cpu/gemm/micro"

// lanesAVX2 is how many channels an AVX2 map takes at a time.
const lanesAVX2 = 8

// mapAssembly applies a map to lanes <= 16 channels. Strides are in bytes.
func mapAssembly(v micro.Variant, kind mapKind, dst []float32, rowDst, colDst int, src []float32,
	rowSrc, colSrc, lanes int, tmp []float32) {
	if v == micro.AVX512 {
		mapAVX512(kind, &dst[0], rowDst, colDst, &src[0], rowSrc, colSrc, &tmp[0], 1<<lanes-1)
		return
	}
	for c := 0; c < lanes; c += lanesAVX2 {
		mapAVX2(kind, &dst[c], rowDst, colDst, &src[c], rowSrc, colSrc, &tmp[0],
			min(lanesAVX2, lanes-c))
	}
}

// outputAct is the output map with an epilogue: max(Aᵀ m A + res, floor), res nil or laid out as
// dst.
func outputAct(v micro.Variant, dst []float32, rowDst, colDst int, src []float32, rowSrc, colSrc,
	lanes int, tmp, res []float32, floor float32) {
	at := func(c int) *float32 {
		if res == nil {
			return nil
		}
		return &res[c]
	}
	if v == micro.AVX512 {
		winogradOutputAct(&dst[0], rowDst, colDst, &src[0], rowSrc, colSrc, &tmp[0], 1<<lanes-1, at(0),
			floor)
		return
	}
	for c := 0; c < lanes; c += lanesAVX2 {
		winogradOutputActAVX2(&dst[c], rowDst, colDst, &src[c], rowSrc, colSrc, &tmp[0],
			min(lanesAVX2, lanes-c), at(c), floor)
	}
}

// mapAVX512 calls the assembly of a map. Direct calls let the compiler see that no argument
// escapes.
func mapAVX512(kind mapKind, dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int,
	tmp *float32, mask int) {
	switch kind {
	case inputKind:
		winogradInput(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask)
	case outputKind:
		winogradOutput(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask)
	case weightKind:
		winogradWeight(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask)
	case gradKind:
		winogradGrad(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask)
	case weightGradKind:
		winogradWeightGrad(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask)
	}
}

// mapAVX2 likewise.
func mapAVX2(kind mapKind, dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int,
	tmp *float32, lanes int) {
	switch kind {
	case inputKind:
		winogradInputAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes)
	case outputKind:
		winogradOutputAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes)
	case weightKind:
		winogradWeightAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes)
	case gradKind:
		winogradGradAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes)
	case weightGradKind:
		winogradWeightGradAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes)
	}
}
