//go:build !linux || !cgo

// Gpumon needs cgo and Linux; this build says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "gpumon: built without cgo or not for Linux: it cannot ask the GPUs")
	os.Exit(1)
}
