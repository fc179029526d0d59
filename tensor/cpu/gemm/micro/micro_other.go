//go:build (!amd64 && !arm64) || purego

package micro

// runs reports whether this build has the variant.
func (v Variant) runs() bool { return v == Generic }

// Without the assembly no caller can hold another variant from Best or Variants.
const absent = "micro: this build has plain Go kernels only"

func mulAVX512(*Args, int) { panic(absent) }

func mulAVX2(*Args) { panic(absent) }

func mulNEON(*Args) { panic(absent) }

func peakLoop(Variant, int) { panic(absent) }

func packAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func packAVX2([]float32, int, []float32, int, int, int) { panic(absent) }

func transposeAVX512([]float32, int, []float32, int, int, int) { panic(absent) }

func transposeAVX2([]float32, int, []float32, int, int, int) { panic(absent) }

func copyAVX512(*Args) { panic(absent) }

func prefetchLines([]float32, int, int, int) { panic(absent) }

// dataWays is not known.
func dataWays() int { return 1 }

func zipEights(Variant, []float32, []float32, []float32) int { return 0 }
