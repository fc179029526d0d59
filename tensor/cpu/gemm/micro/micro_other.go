//go:build !amd64 || purego

package micro

func hasAVX512() bool { return false }

// Without the assembly no caller can hold the AVX512 variant from Best or Variants.
const absent = "micro: this build has no AVX-512 kernels"

func mulAVX512(*Args, int) { panic(absent) }

func peakAVX512(int) { panic(absent) }

func packAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func transposeAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func prefetchAVX512([]float32, int, int, int) { panic(absent) }
