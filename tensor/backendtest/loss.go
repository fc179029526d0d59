package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// lossFamily tests the kernels of a tensor.LossFuser.
func lossFamily(f *family) {
	if _, ok := f.s.one.Backend.(tensor.LossFuser); ok {
		f.checkWide("cross-entropy", crossEntropyCase)
	}
}

// crossEntropyCase tests the kernels of a tensor.LossFuser. Targets are rows of a distribution, and
// others, among them one of zeros, as a label out of range has; logits are −Inf where classes are
// masked out.
func crossEntropyCase(e *env) {
	b := e.Backend.(tensor.LossFuser)
	for _, s := range [][]int{{0, 3}, {1, 1}, {5, 1}, {128, 10}, {7, 17}, {3, 1009}, {300, 100}} {
		n, k := s[0], s[1]
		masked := func(r *tensor.RNG, i int) float64 { // every third class of all, from the second on
			if i%3 == 1 {
				return math.Inf(-1)
			}
			return normal(5, 3)(r, i)
		}
		for i, g := range []struct{ target, logits gen }{
			{uniform(0, 2/float64(k)), normal(5, 3)}, {cycle(1, 0, 0), normal(5, 3)},
			{cycle(0), normal(5, 3)}, {cycle(1, 0, 0.5), masked}, {cycle(0), masked},
			{cycle(0, 1, 0), masked},
		} {
			x, t, dy := e.in(g.logits, n, k), e.in(g.target, n, k), e.in(normal(0, 1), n)
			loss, logp, dx := e.out(n), e.out(n, k), e.out(n, k)
			b.CrossEntropy(loss, logp, x, t)
			name := fmt.Sprintf("%v target %d", s, i)
			vals, got, target := x.Floats(), logp.Floats(), t.Floats()
			rows := softmaxMagnitude(true, vals, got, k)
			e.want(name+" logp", logp, tolerance{k: kTranscendental,
				mag: func() []float64 { return rows }})
			e.want(name+" loss", loss, tolerance{k: kTranscendental, mag: func() []float64 {
				m := make([]float64, n)
				for i, v := range target {
					if v != 0 {
						m[i/k] += v * rows[i]
					}
				}
				return m
			}})
			b.CrossEntropyGrad(dx, dy, logp, t)
			e.want(name+" dx", dx, tolerance{k: kTranscendental, mag: func() []float64 {
				return crossEntropyMagnitude(dy.Floats(), got, target, rows, k)
			}})
		}
	}
}

// crossEntropyMagnitude allows, beyond what the rounding of logp does to the softmax, for the sum
// of the target.
func crossEntropyMagnitude(dy, logp, target, rows []float64, k int) []float64 {
	m := make([]float64, len(target))
	for n, d := range dy {
		total := 0.0
		for _, t := range target[n*k : (n+1)*k] {
			total += t
		}
		for i := n * k; i < (n+1)*k; i++ {
			m[i] = math.Abs(d) * target[i]
			if p := math.Exp(logp[i]); p > 0 {
				m[i] += math.Abs(d) * p * total * (1 + rows[i])
			}
		}
	}
	return m
}
