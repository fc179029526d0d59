//go:build !purego

package conv

// outputActAVX512 is the output map with an epilogue: max(Aᵀ m A + res, floor), res nil or laid out
// as dst.
func outputActAVX512(dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int,
	tmp *float32, mask int, res *float32, floor float32) {
	winogradOutputAct(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, mask, res, floor)
}

// outputActAVX2 likewise, with the number of lanes, at most lanesAVX2, for a mask.
func outputActAVX2(dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int,
	tmp *float32, lanes int, res *float32, floor float32) {
	winogradOutputActAVX2(dst, rowDst, colDst, src, rowSrc, colSrc, tmp, lanes, res, floor)
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

// mapAVX2 likewise, with the number of lanes, at most lanesAVX2, for a mask.
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

// edgeAVX512 calls the assembly of the input or the gradient map for a square at an edge; see
// lineMap.applyEdge. at is in bytes.
func edgeAVX512(kind mapKind, dst *float32, rowDst, colDst int, src *float32, at, rowSrc,
	colSrc int, tmp *float32, masks *uint16, cols int) {
	if kind == inputKind {
		winogradInputEdge(dst, rowDst, colDst, src, at, rowSrc, colSrc, tmp, masks, cols)
	} else {
		winogradGradEdge(dst, rowDst, colDst, src, at, rowSrc, colSrc, tmp, masks, cols)
	}
}
