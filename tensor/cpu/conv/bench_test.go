package conv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/par"
)

// benchShapes are the layers of the networks this program trains: ResNet-20 and ResNet-18 for
// CIFAR, the bottlenecks of ResNet-50 at 224 pixels, and BigGAN at 32.
var benchShapes = []Shape{
	Square(128, 32, 32, 16, 16, 3, 1, 1), Square(128, 16, 16, 32, 32, 3, 1, 1),
	Square(128, 8, 8, 64, 64, 3, 1, 1), Square(128, 32, 32, 16, 32, 3, 2, 1),
	Square(128, 16, 16, 32, 64, 3, 2, 1), Square(128, 32, 32, 3, 16, 3, 1, 1),
	Square(64, 32, 32, 64, 64, 3, 1, 1), Square(64, 16, 16, 128, 128, 3, 1, 1),
	Square(64, 8, 8, 256, 256, 3, 1, 1), Square(64, 4, 4, 512, 512, 3, 1, 1),
	Square(64, 32, 32, 64, 128, 3, 2, 1), Square(64, 32, 32, 3, 64, 3, 1, 1),
	Square(8, 224, 224, 3, 64, 7, 2, 3), Square(8, 56, 56, 64, 256, 1, 1, 0),
	Square(8, 56, 56, 64, 64, 3, 1, 1), Square(8, 28, 28, 512, 128, 1, 1, 0),
	Square(8, 7, 7, 2048, 512, 1, 1, 0), Square(64, 16, 16, 64, 128, 1, 2, 0),
	Square(16, 32, 32, 256, 256, 3, 1, 1),
}

// BenchmarkConv reports the rate of each direction and its fraction of the multiply-add peak
// measured just before. Padding counts as work, as is usual, so small images may exceed the peak;
// Winograd's algorithm exceeds it because it multiplies less than is counted.
func BenchmarkConv(b *testing.B) {
	for _, threads := range []int{1, 2} {
		p := par.New(threads)
		for _, s := range benchShapes {
			x, w := make([]float32, s.N*s.H*s.W*s.C), make([]float32, s.O*s.KH*s.KW*s.C)
			y := make([]float32, s.N*s.OutH()*s.OutW()*s.O)
			// Memory that was never written is one page of zeros, which no cache misses.
			rng := rand.New(rand.NewPCG(1, 1))
			for _, t := range [][]float32{x, w, y} {
				copy(t, random(rng, len(t)))
			}
			name := fmt.Sprintf("t%d/%dx%d:%d_%dx%d_%d-%d", threads, s.KH, s.KW, s.StrideH,
				s.N, s.H, s.C, s.O)
			for _, d := range []struct {
				name string
				f    func()
			}{
				{"y", func() { s.Forward(p, y, x, w, Epilogue{}) }},
				{"dx", func() { s.InputGrad(p, x, y, w, nil) }},
				{"dw", func() { s.WeightGrad(p, w, x, y) }},
				{"y-winograd", func() { s.ForwardWinograd(p, y, x, w, Epilogue{}) }},
				{"dx-winograd", func() { s.InputGradWinograd(p, x, y, w) }},
				{"dw-winograd", func() { s.WeightGradWinograd(p, w, x, y) }},
			} {
				if strings.HasSuffix(d.name, "winograd") && !s.winogradApplies() {
					continue
				}
				b.Run(name+"/"+d.name, func(b *testing.B) {
					peak := gemm.PeakFMA(p)
					b.ReportAllocs()
					for b.Loop() {
						d.f()
					}
					rate := s.FLOPs() * float64(b.N) / b.Elapsed().Seconds() / 1e9
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/peak, "%peak")
				})
			}
		}
		p.Close()
	}
}
