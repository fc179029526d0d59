//go:build !amd64 || purego

package conv

import "afterimage/tensor/cpu/gemm/micro"

// Without the assembly no caller can hold a variant that leads here.
const absent = "conv: this build has plain Go maps only"

func mapAssembly(micro.Variant, mapKind, []float32, int, int, []float32, int, int, int, []float32) {
	panic(absent)
}

func outputAct(micro.Variant, []float32, int, int, []float32, int, int, int, []float32, []float32,
	float32) {
	panic(absent)
}
