//go:build !amd64 || purego

package micro

func hasBF16() bool { return false }

// Without the assembly no caller can hold AVX512BF16 from BestBF16 or VariantsBF16.
const noBF16 = "micro: this build has no kernels in bfloat16 but plain Go's"

func dotAVX512(*Args, int) { panic(noBF16) }

func tapsAVX512(*Args) { panic(noBF16) }

func peakBF16AVX512(int) { panic(noBF16) }

func roundAVX512([]float32, int, []float32, int, int, int) { panic(noBF16) }

func interleaveAVX512([]float32, int, []float32, []float32, int, int, int) { panic(noBF16) }
