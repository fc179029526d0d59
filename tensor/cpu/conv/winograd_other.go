//go:build !amd64 || purego

package conv

// Without the assembly no caller can hold a variant that leads here.
const absent = "conv: this build has plain Go maps only"

func mapAVX512(mapKind, *float32, int, int, *float32, int, int, *float32, int) { panic(absent) }

func mapAVX2(mapKind, *float32, int, int, *float32, int, int, *float32, int) { panic(absent) }

func outputActAVX512(*float32, int, int, *float32, int, int, *float32, int, *float32, float32) {
	panic(absent)
}

func outputActAVX2(*float32, int, int, *float32, int, int, *float32, int, *float32, float32) {
	panic(absent)
}

func edgeAVX512(mapKind, *float32, int, int, *float32, int, int, int, *float32, *uint16, int) {
	panic(absent)
}
