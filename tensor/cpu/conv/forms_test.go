package conv

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// A form is one way to compute a direction.
type form struct {
	name string
	f    func()
}

// BenchmarkForms calls the forms of a direction in turn, so that each sees the same state of a
// shared machine, and reports for each the fraction of the multiply-add peak, measured in the same
// turns, that four fifths of its calls stay below: a call that fits between two interruptions.
// Run it with -benchtime 50x.
func BenchmarkForms(b *testing.B) {
	v, p := micro.Best(), par.New(1)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Shape{
		Square(8, 32, 32, 3, 16, 3, 1, 1), Square(8, 32, 32, 3, 64, 3, 1, 1),
		Square(1, 112, 112, 3, 64, 7, 2, 3), Square(8, 28, 28, 1, 16, 3, 1, 1),
		Square(8, 32, 32, 16, 3, 3, 1, 1),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C)
		y := random(rng, s.N*s.OutH()*s.OutW()*s.O)
		for d, forms := range [][]form{
			{{"direct", func() { s.forwardDirect(v, p, y, x, w, Epilogue{}) }},
				{"planar", func() { s.forwardPlanar(v, p, y, x, w, Epilogue{}) }},
				{"winograd", func() { s.forwardWinograd(v, p, y, x, w, Epilogue{}) }}},
			{{"direct", func() { s.inputGradDirect(v, p, x, y, w, nil) }},
				{"planar", func() { s.inputGradPlanar(v, p, x, y, w) }},
				{"winograd", func() { s.inputGradWinograd(v, p, x, y, w) }}},
			{{"direct", func() { s.weightGradDirect(v, p, w, x, y) }},
				{"few", func() { s.weightGrad(v, p, w, x, y) }}},
		} {
			if d < 2 && !s.planar(Direction(d)) {
				continue
			}
			if !s.winogradApplies() {
				forms = forms[:2]
			}
			name := fmt.Sprintf("%s/%dx%d:%d_%dx%d_%d-%d", []string{"y", "dx", "dw"}[d], s.KH, s.KW,
				s.StrideH, s.N, s.H, s.C, s.O)
			b.Run(name, func(b *testing.B) { alternate(b, v, s.FLOPs(), forms) })
		}
	}
}

// BenchmarkPoint compares 1×1 filters of stride 1 as convolutions and as matrix products.
func BenchmarkPoint(b *testing.B) {
	v, p := micro.Best(), par.New(1)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Shape{
		Square(1, 56, 56, 64, 256, 1, 1, 0), Square(1, 56, 56, 256, 64, 1, 1, 0),
		Square(1, 28, 28, 512, 128, 1, 1, 0), Square(2, 7, 7, 2048, 512, 1, 1, 0),
		Square(8, 8, 8, 64, 64, 1, 1, 0), Square(8, 32, 32, 16, 16, 1, 1, 0),
		Square(8, 16, 16, 32, 64, 1, 1, 0),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.C)
		y := random(rng, s.N*s.H*s.W*s.O)
		name := fmt.Sprintf("%dx%d_%d-%d", s.N, s.H, s.C, s.O)
		b.Run("y/"+name, func(b *testing.B) {
			alternate(b, v, s.FLOPs(), []form{
				{"direct", func() { s.forwardDirect(v, p, y, x, w, Epilogue{}) }},
				{"product", func() { s.pointForward(p, y, x, w, Epilogue{}) }}})
		})
		b.Run("dx/"+name, func(b *testing.B) {
			alternate(b, v, s.FLOPs(), []form{
				{"direct", func() { s.inputGradDirect(v, p, x, y, w, nil) }},
				{"product", func() { s.pointInputGrad(p, x, y, w) }}})
		})
	}
}

// BenchmarkBF16 compares the direct form in float32, that in bfloat16 and Winograd's, in percent of
// the float32 peak. Shape.BF16 and Shape.WinogradBeatsBF16 follow from it.
func BenchmarkBF16(b *testing.B) {
	half, ok := micro.BestBF16()
	if !ok {
		b.Skip("no AVX512_BF16 here")
	}
	v, p := micro.Best(), par.New(1)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Shape{
		Square(8, 32, 32, 16, 16, 3, 1, 1), Square(8, 16, 16, 32, 32, 3, 1, 1),
		Square(8, 8, 8, 64, 64, 3, 1, 1), Square(8, 32, 32, 64, 64, 3, 1, 1),
		Square(8, 16, 16, 128, 128, 3, 1, 1), Square(8, 8, 8, 256, 256, 3, 1, 1),
		Square(8, 4, 4, 512, 512, 3, 1, 1), Square(8, 16, 16, 256, 256, 3, 1, 1),
		Square(2, 56, 56, 64, 64, 3, 1, 1), Square(2, 14, 14, 256, 256, 3, 1, 1),
		Square(8, 7, 7, 512, 512, 3, 1, 1),
		Square(8, 32, 32, 16, 32, 3, 2, 1), Square(8, 32, 32, 64, 128, 3, 2, 1),
		Square(2, 56, 56, 64, 256, 1, 1, 0), Square(2, 56, 56, 256, 64, 1, 1, 0),
		Square(2, 28, 28, 512, 128, 1, 1, 0), Square(8, 7, 7, 2048, 512, 1, 1, 0),
		Square(2, 56, 56, 256, 512, 1, 2, 0), Square(8, 32, 32, 8, 8, 3, 1, 1),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C)
		y := random(rng, s.N*s.OutH()*s.OutW()*s.O)
		for d, forms := range [][]form{
			{{"float32", func() { s.forward(v, p, y, x, w, Epilogue{}) }},
				{"bf16", func() { s.forwardBF16(half, p, y, x, w, Epilogue{}) }},
				{"winograd", func() { s.forwardWinograd(v, p, y, x, w, Epilogue{}) }}},
			{{"float32", func() { s.inputGrad(v, p, x, y, w, nil) }},
				{"bf16", func() { s.inputGradBF16(half, p, x, y, w, nil) }},
				{"winograd", func() { s.inputGradWinograd(v, p, x, y, w) }}},
			{{"float32", func() { s.weightGrad(v, p, w, x, y) }},
				{"bf16", func() { s.weightGradBF16(half, p, w, x, y) }},
				{"winograd", func() { s.weightGradWinograd(v, p, w, x, y) }}},
		} {
			if !s.winogradApplies() {
				forms = forms[:2]
			}
			name := fmt.Sprintf("%s/%dx%d:%d_%dx%d_%d-%d", []string{"y", "dx", "dw"}[d], s.KH, s.KW,
				s.StrideH, s.N, s.H, s.C, s.O)
			b.Run(name, func(b *testing.B) { alternate(b, v, s.FLOPs(), forms) })
		}
	}
}

// BenchmarkWinograd compares the direct form with Winograd's, its weights mapped as a whole and on
// the way, on two threads, which share the memory that the mapped weights go through.
// Shape.Winograd and winograd.streams follow from it.
func BenchmarkWinograd(b *testing.B) {
	v, p := micro.Best(), par.New(2)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Shape{
		Square(64, 4, 4, 512, 512, 3, 1, 1), Square(8, 7, 7, 512, 512, 3, 1, 1),
		Square(1, 7, 7, 512, 512, 3, 1, 1), Square(8, 4, 4, 512, 512, 3, 1, 1),
		Square(64, 8, 8, 512, 512, 3, 1, 1), Square(96, 8, 8, 384, 384, 3, 1, 1),
		Square(1, 14, 14, 256, 256, 3, 1, 1), Square(8, 14, 14, 256, 256, 3, 1, 1),
		Square(64, 8, 8, 256, 256, 3, 1, 1), Square(128, 8, 8, 256, 256, 3, 1, 1),
		Square(16, 32, 32, 256, 256, 3, 1, 1), Square(64, 16, 16, 256, 256, 3, 1, 1),
		Square(32, 16, 16, 256, 64, 3, 1, 1),
		Square(1, 28, 28, 128, 128, 3, 1, 1), Square(64, 8, 8, 128, 128, 3, 1, 1),
		Square(8, 28, 28, 128, 128, 3, 1, 1), Square(32, 8, 8, 64, 64, 3, 1, 1),
		Square(64, 8, 8, 64, 64, 3, 1, 1), Square(8, 4, 4, 32, 32, 3, 1, 1),
		Square(8, 8, 8, 32, 32, 3, 1, 1), Square(32, 8, 8, 32, 32, 3, 1, 1),
		Square(4, 8, 8, 16, 16, 3, 1, 1), Square(16, 4, 4, 32, 512, 3, 1, 1),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C)
		y := random(rng, s.N*s.OutH()*s.OutW()*s.O)
		name := fmt.Sprintf("%dx%d_%d-%d", s.N, s.H, s.C, s.O)
		forward := func() *winograd { return s.winogradForward(v, p, y, x, w, Epilogue{}) }
		inputGrad := func() *winograd { return s.winogradInputGrad(v, p, x, y, w) }
		whole := func(q *winograd) { q.runWhole(q.grid()) }
		streamed := func(q *winograd) { q.runStreamed(q.grid()) }
		for d, forms := range [][]form{
			{{"direct", func() { s.forwardDirect(v, p, y, x, w, Epilogue{}) }},
				{"whole", func() { whole(forward()) }}, {"streamed", func() { streamed(forward()) }}},
			{{"direct", func() { s.inputGradDirect(v, p, x, y, w, nil) }},
				{"whole", func() { whole(inputGrad()) }}, {"streamed", func() { streamed(inputGrad()) }}},
		} {
			b.Run([]string{"y/", "dx/"}[d]+name, func(b *testing.B) { alternate(b, v, s.FLOPs(), forms) })
		}
	}
}

// BenchmarkStacked compares tiles of a row's pixels with tiles of images; stacks follows from it.
func BenchmarkStacked(b *testing.B) {
	v, p := micro.Best(), par.New(2)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Shape{
		Square(64, 7, 7, 512, 512, 3, 1, 1), Square(64, 6, 6, 256, 256, 3, 1, 1),
		Square(64, 5, 5, 256, 256, 3, 1, 1), Square(64, 4, 4, 512, 512, 3, 1, 1),
		Square(8, 4, 4, 512, 512, 3, 1, 1), Square(8, 5, 5, 512, 512, 3, 1, 1),
		Square(4, 2, 2, 512, 512, 3, 1, 1), Square(64, 4, 4, 64, 64, 3, 1, 1),
		Square(64, 8, 8, 256, 512, 3, 2, 1), Square(64, 8, 8, 64, 128, 3, 2, 1),
		Square(64, 8, 8, 256, 512, 1, 2, 0), Square(64, 8, 8, 32, 64, 1, 2, 0),
		Square(128, 4, 4, 64, 20, 3, 1, 1),
	} {
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*s.KH*s.KW*s.C)
		y := random(rng, s.N*s.OutH()*s.OutW()*s.O)
		for d, passes := range [][]*pass{{s.forwardPass(v, p, y, x, w, Epilogue{})},
			s.inputGradPasses(v, p, x, y, w, nil)} {
			if !stackable(passes) {
				continue
			}
			name := fmt.Sprintf("%s/%dx%d:%d_%dx%d_%d-%d", []string{"y", "dx"}[d], s.KH, s.KW,
				s.StrideH, s.N, s.H, s.C, s.O)
			b.Run(name, func(b *testing.B) {
				alternate(b, v, s.FLOPs(), []form{
					{"rows", func() { runBy(sweep, passes) }},
					{"images", func() { runBy(sweepStacked, passes) }}})
			})
		}
	}
}

func alternate(b *testing.B, v micro.Variant, flops float64, forms []form) {
	const peakSteps = 40_000_000 // under a millisecond
	rates := make([][]float64, 1+len(forms))
	for b.Loop() {
		start := time.Now()
		done := micro.PeakLoop(v, peakSteps)
		rates[0] = append(rates[0], float64(done)/time.Since(start).Seconds())
		for i, f := range forms {
			start := time.Now()
			f.f()
			rates[1+i] = append(rates[1+i], flops/time.Since(start).Seconds())
		}
	}
	undisturbed := func(r []float64) float64 {
		slices.Sort(r)
		return r[len(r)*4/5]
	}
	for i, f := range forms {
		b.ReportMetric(100*undisturbed(rates[1+i])/undisturbed(rates[0]), "%peak-"+f.name)
	}
}
