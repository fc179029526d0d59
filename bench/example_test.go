package bench_test

import (
	"fmt"
	"regexp"

	"afterimage/bench"
	"afterimage/tensor/cpu"
)

// One row: how near does a matrix product come to the machine's peak?
func ExampleKernels() {
	b := cpu.Open(1)
	defer b.Close()
	rows, err := bench.Kernels(b, bench.Options{Seconds: 0.01,
		Only: regexp.MustCompile("^sgemm/m512n512")})
	if err != nil {
		fmt.Println(err)
	}
	for _, r := range rows {
		fmt.Println(r.Name, r.Shape, r.Unit, r.Runs >= 5, r.Fraction > 0.01)
	}
	// Output: sgemm 512×512×512 GFLOP/s true true
}
