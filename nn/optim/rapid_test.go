package optim_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Properties of schedules, averages and clipping for drawn settings.

// rateTol bounds the rounding of a rate computed by a handful of operations, relative to the peak.
const rateTol = 1e-12

// checkBetween fails unless every rate of the first n steps, and of some beyond, lies in [lo, hi]
// and is the same when asked again in another order.
func checkBetween(t *rapid.T, s optim.Schedule, n int, lo, hi float64) []float64 {
	t.Helper()
	rates := make([]float64, n+20)
	for i := range rates {
		rates[i] = s(i)
		if !(rates[i] >= lo-rateTol*hi && rates[i] <= hi*(1+rateTol)) {
			t.Fatalf("step %d of %d: rate %g outside [%g, %g]", i, n, rates[i], lo, hi)
		}
	}
	for i := len(rates) - 1; i >= 0; i-- {
		if s(i) != rates[i] {
			t.Fatalf("step %d: %g, and %g when asked again", i, rates[i], s(i))
		}
	}
	return rates
}

// checkFalls fails if a rate is larger than the one before it.
func checkFalls(t *rapid.T, rates []float64, from int) {
	t.Helper()
	for i := from + 1; i < len(rates); i++ {
		if rates[i] > rates[i-1]*(1+rateTol)+rateTol*rates[from] {
			t.Fatalf("step %d: the rate rises from %g to %g", i, rates[i-1], rates[i])
		}
	}
}

// checkRises fails if a rate up to step to is smaller than the one before it.
func checkRises(t *rapid.T, rates []float64, to int) {
	t.Helper()
	for i := 1; i <= to; i++ {
		if rates[i] < rates[i-1]*(1-rateTol) {
			t.Fatalf("step %d: the rate falls from %g to %g", i, rates[i-1], rates[i])
		}
	}
}

func near(t *rapid.T, what string, got, want, scale float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rateTol*scale) {
		t.Fatalf("%s: %.17g, want %.17g", what, got, want)
	}
}

// TestScheduleProperties: rates stay in their bounds, rise and fall where they should, and reach
// their peak and their end.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lr := rapid.Float64Range(1e-6, 10).Draw(t, "lr")
		n := rapid.IntRange(2, 60).Draw(t, "steps")
		top := rapid.IntRange(1, n-1).Draw(t, "top")

		floor := lr * rapid.Float64Range(0, 1).Draw(t, "floor")
		rates := checkBetween(t, optim.Cosine(lr, floor, n), n, floor, lr)
		checkFalls(t, rates[:n+1], 0)
		near(t, "cosine's first", rates[0], lr, lr)
		near(t, "cosine's last", rates[n], floor, lr)

		div := rapid.Float64Range(1, 50).Draw(t, "div")
		final := rapid.Float64Range(1, 1e4).Draw(t, "final div")
		rates = checkBetween(t, optim.OneCycle(lr, div, final, top, n), n, lr/div/final, lr)
		checkRises(t, rates, top)
		checkFalls(t, rates[:n+1], top)
		near(t, "one cycle's first", rates[0], lr/div, lr)
		near(t, "one cycle's top", rates[top], lr, lr)
		near(t, "one cycle's last", rates[n], lr/div/final, lr)

		rates = checkBetween(t, optim.Triangular(lr, top, n), n, 0, lr)
		checkRises(t, rates, top)
		checkFalls(t, rates[:n+1], top)
		near(t, "the triangle's top", rates[top], lr, lr)
		near(t, "the triangle's last", rates[n], 0, lr)

		factor := rapid.Float64Range(0.01, 1).Draw(t, "factor")
		marks := rapid.SliceOfNDistinct(rapid.IntRange(1, n), 0, 4, rapid.ID[int]).Draw(t, "marks")
		slices.Sort(marks)
		rates = checkBetween(t, optim.Steps(lr, factor, marks...), n, 0, lr)
		for i := range n {
			passed := 0
			for _, m := range marks {
				if i >= m {
					passed++
				}
			}
			near(t, "steps", rates[i], lr*math.Pow(factor, float64(passed)), lr)
		}

		base := optim.Cosine(lr, floor, n)
		warm := rapid.IntRange(1, n).Draw(t, "warm-up")
		s := optim.WarmUp(warm, base)
		checkBetween(t, s, n, 0, lr)
		for i := range n {
			near(t, "warm-up", s(i), base(i)*min(1, float64(i+1)/float64(warm)), lr)
			if s(i) <= 0 && base(i) > 0 {
				t.Fatalf("step %d of a warm-up has rate %g", i, s(i))
			}
		}
	})
}

// TestAverageProperties: the decay stays in [0, Decay] and grows with the average's age; an average
// never leaves the range of what it averaged.
func TestAverageProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := optim.EMAConfig{Decay: rapid.Float64Range(0, 0.9999).Draw(t, "decay"),
			Start: rapid.IntRange(0, 4).Draw(t, "start"), WarmUp: rapid.Bool().Draw(t, "warm-up")}
		last := 0.0
		for step := 1; step <= 30; step++ {
			d := cfg.DecayAt(step)
			if d < last || d > cfg.Decay || step <= cfg.Start && d != 0 {
				t.Fatalf("step %d: decay %g after %g", step, d, last)
			}
			last = d
		}
		s := tensor.NewScope(ref.New())
		defer s.Close()
		x := &nn.Param{Shape: tensor.Shape{1}, T: s.Zeros(tensor.F64, 1)}
		set := func(label string) float64 {
			v := rapid.Float64Range(-100, 100).Draw(t, label)
			x.T.SetFloats([]float64{v})
			return v
		}
		v := set("x0")
		lo, hi := v, v
		e := optim.NewEMA(s, nn.Params{{Name: "x", Param: x}}, cfg)
		for step := 1; step <= 8; step++ {
			v = set("x")
			lo, hi = min(lo, v), max(hi, v)
			e.Begin(step)
			e.Update()
			e.With(func() { v = x.T.Item() })
			if v < lo-rateTol*100 || v > hi+rateTol*100 {
				t.Fatalf("step %d: the average %g of numbers in [%g, %g]", step, v, lo, hi)
			}
		}
	})
}

// TestClipProperties: clipped gradients keep their direction and have at most the norm asked for;
// those within it are not changed.
func TestClipProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := autodiff.NewGraph(ref.New())
		defer g.Close()
		limit := rapid.Float64Range(1e-3, 10).Draw(t, "limit")
		var grads []*autodiff.Value
		var flat []float64
		for range rapid.IntRange(1, 3).Draw(t, "tensors") {
			v := rapid.SliceOfN(rapid.Float64Range(-5, 5), 1, 6).Draw(t, "gradient")
			x := g.Scope().New(tensor.F64, len(v))
			x.SetFloats(v)
			grads, flat = append(grads, g.Const(x)), append(flat, v...)
		}
		square := 0.0
		for _, v := range flat {
			square += v * v
		}
		clipped, norm := optim.ClipNorm(grads, limit)
		near(t, "norm", norm.Item(), math.Sqrt(square), 1+math.Sqrt(square))
		factor := 1.0
		if n := math.Sqrt(square); n > limit {
			factor = limit / n
		}
		i := 0
		for _, c := range clipped {
			for _, v := range c.Tensor().Floats() {
				// PyTorch adds 1e-6 to the norm it divides by.
				if math.Abs(v-factor*flat[i]) > 1e-6*math.Abs(flat[i])/min(limit, 1)+rateTol {
					t.Fatalf("element %d of norm %g: %g becomes %g, want %g", i, math.Sqrt(square), flat[i],
						v, factor*flat[i])
				}
				i++
			}
		}
	})
}
