//go:build !amd64 || purego

package conv

// Without the assembly no caller can hold the variant that leads here.
func mapAVX512(mapKind, *float32, int, int, *float32, int, int, *float32, int) {
	panic("conv: this build has no AVX-512 kernels")
}

func outputActAVX512(*float32, int, int, *float32, int, int, *float32, int, *float32, float32) {
	panic("conv: this build has no AVX-512 kernels")
}
