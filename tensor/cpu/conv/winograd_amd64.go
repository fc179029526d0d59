//go:build !purego

package conv

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
