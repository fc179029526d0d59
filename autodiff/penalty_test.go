package autodiff_test

import (
	"fmt"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
)

// critic is a small discriminator, x [N 4 4 2] → [N]: convolution, batch normalisation,
// activation, and a linear map of what is left after pooling.
func critic(x value, p vals, norm func(x, gamma, beta value) value) value {
	conv := tensor.ConvParams{StrideH: 1, StrideW: 1,
		PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1}
	h := norm(ad.Conv2D(x, p[0], conv), p[1], p[2])
	h = ad.MaxPool(h, tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2})
	conv.StrideH, conv.StrideW = 2, 2
	h = ad.GlobalAvgPool(ad.Softplus(ad.Conv2D(h, p[3], conv)))
	return ad.Reshape(ad.Linear(h, p[4], nil), x.Dim(0))
}

// penalty is the two-sided gradient penalty of Gulrajani et al., "Improved training of Wasserstein
// GANs" (2017), equation 3: mean over samples of (‖∂critic/∂x‖ − 1)².
func penalty(x, scores value) value {
	dx := ad.Grad(ad.Sum(scores), vals{x}, ad.CreateGraph())[0]
	norm := ad.Sqrt(ad.AddScalar(ad.Sum(ad.Square(dx), 1, 2, 3), 1e-12))
	return ad.Mean(ad.Square(ad.AddScalar(norm, -1)))
}

func criticInputs() []input {
	return []input{normal(1, 3, 4, 4, 2), normal(2, 3, 3, 3, 2), offZero(3, 3), normal(4, 3),
		normal(5, 2, 3, 3, 3), normal(6, 1, 2)}
}

// TestGradientPenalty differentiates the norm of an input gradient with respect to all parameters,
// through every activation's own way of being recorded, and adds a first-order loss on the same
// graph.
func TestGradientPenalty(t *testing.T) {
	relu := func(x, gamma, beta value) value { return batchNormReLU(x, gamma, beta, nil) }
	softplus := func(x, gamma, beta value) value { return ad.Softplus(batchNorm(x, gamma, beta)) }
	fixed := func(x, gamma, beta value) value { return ad.ScaleShift(x, gamma, beta, nil, true) }
	for i, norm := range []func(x, gamma, beta value) value{relu, softplus, fixed} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			gradcheck.Check(t, func(_ graph, in vals) value {
				scores := critic(in[0], in[1:], norm)
				return ad.Add(ad.Mean(scores), ad.Scale(penalty(in[0], scores), 10))
			}, criticInputs(), gradcheck.Order(1))
		})
	}
}

// TestTwoPlayers takes both players' steps from one graph: the generator's pass must not reach the
// critic's parameters, nor the critic's pass the generator's graph, which it leaves intact.
func TestTwoPlayers(t *testing.T) {
	_, in := open(t, []input{normal(1, 2, 3), normal(2, 3, 3), normal(3, 1, 3)})
	z, wg, wd := in[0], in[1], in[2]
	fake := ad.Tanh(ad.Linear(z, wg, nil))
	lossD := ad.Mean(ad.Softplus(ad.Linear(fake, wd, nil)))
	dD := ad.Grad(lossD, vals{wd})[0]
	lossG := ad.Neg(ad.Mean(ad.Linear(fake, wd, nil)))
	dG := ad.Grad(lossG, vals{wg})[0]

	check := func(name string, got value, f fn, which int) {
		_, again := open(t, []input{normal(1, 2, 3), normal(2, 3, 3), normal(3, 1, 3)})
		want := ad.Grad(f(nil, again), again[which:which+1])[0].Tensor().Floats()
		for i, v := range got.Tensor().Floats() {
			near(t, name, v, want[i])
		}
	}
	check("critic", dD, func(_ graph, in vals) value {
		return ad.Mean(ad.Softplus(ad.Linear(ad.Tanh(ad.Linear(in[0], in[1], nil)), in[2], nil)))
	}, 2)
	check("generator", dG, func(_ graph, in vals) value {
		return ad.Neg(ad.Mean(ad.Linear(ad.Tanh(ad.Linear(in[0], in[1], nil)), in[2], nil)))
	}, 1)
}

// TestRandomPrograms checks programs nobody would write: values used many times, views of views,
// cotangents that meet from all sides.
func TestRandomPrograms(t *testing.T) {
	programs := 40
	if testing.Short() {
		programs = 10
	}
	for p := range programs {
		key := tensor.NewKey(uint64(p), "random program")
		f := func(_ graph, in vals) value {
			pool := append(vals{}, in...)
			draw := uint64(0)
			next := func(n int) int { draw++; return int(key.Word(0, draw)) & 0x7fffffff % n }
			pick := func() value { return pool[next(len(pool))] }
			for range 12 {
				pool = append(pool, randomOp(next(10), pick(), pick()))
			}
			sum := pool[len(in)]
			for _, v := range pool[len(in)+1:] {
				sum = ad.Add(sum, v)
			}
			return sum
		}
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			gradcheck.Check(t, f, []input{normal(1, 2, 3), normal(2, 2, 3)})
		})
	}
}

// randomOp maps two values [2 3] to another one of order 1.
func randomOp(which int, a, b value) value {
	switch which {
	case 0:
		return ad.Tanh(a)
	case 1:
		return ad.Tanh(ad.Mul(a, b))
	case 2:
		return ad.Sub(a, b)
	case 3:
		return ad.Reshape(ad.Permute(ad.Reshape(a, 3, 2), 1, 0), 2, 3)
	case 4:
		return ad.Reshape(ad.Reshape(a, 6), 2, 3)
	case 5:
		return ad.Softmax(a)
	case 6:
		return ad.Tanh(ad.Add(a, ad.Mean(b, 0)))
	case 7:
		return ad.Tanh(ad.MatMul(a, ad.MatMul(a, b, true, false), false, false))
	case 8:
		return ad.Concat(0, ad.SliceAxis(a, 0, 1, 2), ad.SliceAxis(b, 0, 0, 1))
	default:
		return ad.Add(a, a)
	}
}
