package bench

import (
	"testing"

	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
)

// BenchmarkStep runs the training steps, one a sub-benchmark, for profiles:
//
//	go test ./bench -run - -bench Step/step/resnet20-cifar-n128 -cpuprofile cpu.out
func BenchmarkStep(bm *testing.B) {
	for _, s := range steps() {
		if s.Target != "" || s.Precision != "" && !gemm.HasBF16() {
			continue
		}
		bm.Run(s.Key, func(bm *testing.B) {
			b := cpu.Open(0)
			defer b.Close()
			j, err := open(b, s)
			if err != nil {
				bm.Fatal(err)
			}
			defer j.close()
			if _, err := j.times(warmUps, 0, func() {}); err != nil {
				bm.Fatal(err)
			}
			bm.ReportAllocs()
			bm.ResetTimer()
			cpu := cpuSeconds()
			if _, err := j.times(bm.N, 0, func() {}); err != nil {
				bm.Fatal(err)
			}
			bm.ReportMetric(s.Work*float64(bm.N)/(cpuSeconds()-cpu), "GFLOP/cpu-s")
		})
	}
}
