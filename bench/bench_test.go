package bench

import (
	"testing"

	"afterimage/tensor/cpu"
)

// BenchmarkStep runs the training steps, one a sub-benchmark, for profiles:
//
//	go test ./bench -run - -bench Step/resnet20 -cpuprofile cpu.out
func BenchmarkStep(bm *testing.B) {
	for _, w := range steps() {
		bm.Run(w.name, func(bm *testing.B) {
			b := cpu.Open(0)
			defer b.Close()
			step, flops, done, err := w.open(b)
			if err != nil {
				bm.Fatal(err)
			}
			defer done()
			for i := range warmUps {
				if err := step(i); err != nil {
					bm.Fatal(err)
				}
			}
			bm.ReportAllocs()
			bm.ResetTimer()
			cpu := cpuSeconds()
			for i := range bm.N {
				if err := step(warmUps + i); err != nil {
					bm.Fatal(err)
				}
			}
			bm.ReportMetric(flops*float64(bm.N)/1e9/(cpuSeconds()-cpu), "GFLOP/cpu-s")
		})
	}
}
