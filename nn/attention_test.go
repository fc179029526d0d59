package nn_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// With γ = 0 the block is the identity; with γ = 1 it is what the formula says for one pixel pair.
func TestSelfAttention(t *testing.T) {
	e := newEnv(t)
	a := nn.NewSelfAttention(8, 0, nil)
	nn.InitDType(e.s, a, 1, tensor.F64)
	x := e.g.Const(e.normal(1, 2, 4, 2, 8))
	c := nn.NewCtx(e.g, nn.Eval)
	if d := maxDiff(a.Forward(c, x).Tensor().Floats(), x.Tensor().Floats()); d != 0 {
		t.Errorf("γ = 0 changes x by %g", d)
	}
	a.Gamma.T.SetFloats([]float64{1})
	y := a.Forward(nn.NewCtx(e.g, nn.Eval), x).Tensor().Floats()
	if d := maxDiff(y, attentionByLoops(a, nn.NewCtx(e.g, nn.Eval), x)); d > f64Tol {
		t.Errorf("differs from the formula by %g", d)
	}
}

// attentionByLoops computes the block for x [N H W C] from the layer's normalised weights.
func attentionByLoops(a *nn.SelfAttention, c *nn.Ctx, x *autodiff.Value) []float64 {
	n, h, w, ch := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	xs := x.Tensor().Floats()
	out := slices.Clone(xs)
	project := func(l *nn.Conv2D, v []float64) []float64 {
		m := l.Spectral.Weight(c).Tensor().Floats()
		rows := l.Weight.Shape[0]
		y := make([]float64, rows)
		for o := range y {
			for i, x := range v {
				y[o] += m[o*len(v)+i] * x
			}
		}
		return y
	}
	pixel := func(b, i, j int) []float64 { p := ((b*h+i)*w + j) * ch; return xs[p : p+ch] }
	pooled := func(l *nn.Conv2D, b, i, j int) []float64 {
		best := project(l, pixel(b, 2*i, 2*j))
		for k := 1; k < 4; k++ {
			for c, v := range project(l, pixel(b, 2*i+k/2, 2*j+k%2)) {
				best[c] = max(best[c], v)
			}
		}
		return best
	}
	for b := range n {
		var phi, g [][]float64
		for i := range h / 2 {
			for j := range w / 2 {
				phi, g = append(phi, pooled(a.Phi, b, i, j)), append(g, pooled(a.G, b, i, j))
			}
		}
		for i := range h {
			for j := range w {
				theta := project(a.Theta, pixel(b, i, j))
				mixed := make([]float64, ch/2)
				total := 0.0
				for k := range phi {
					dot := 0.0
					for c := range theta {
						dot += theta[c] * phi[k][c]
					}
					total += math.Exp(dot)
					for c := range mixed {
						mixed[c] += math.Exp(dot) * g[k][c]
					}
				}
				for c := range mixed {
					mixed[c] /= total
				}
				for c, v := range project(a.O, mixed) {
					out[((b*h+i)*w+j)*ch+c] += v
				}
			}
		}
	}
	return out
}
