package attack_test

import (
	"fmt"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/tensor"
)

// goldenSeed, goldenStream and goldenStep name the random start of bench/pytorch/attacks.py.
const (
	goldenSeed   = 3
	goldenStream = "attack"
	goldenStep   = 2
)

// goldenModel is the classifier of attacks.py.
func goldenModel(r *golden.Run) curved {
	m := curved{nn.Sequential{nn.NewConv2D(nn.ConvConfig{In: 2, Out: 5, Kernel: 3, Pad: 1}),
		nn.Func(autodiff.Softplus), nn.Func(nn.Flatten),
		nn.NewLinear(nn.LinearConfig{In: 4 * 4 * 5, Out: 4})}}
	for name, p := range m.Params() {
		p.T = r.Tensor("in/" + name)
	}
	return m
}

// TestGolden holds steps of FGSM and PGD, in both norms, with three objectives, from the image
// itself and from a random start, against the same steps in PyTorch.
func TestGolden(t *testing.T) {
	golden.Each(t, "testdata/attacks.safetensors", golden.Default, func(r *golden.Run) {
		m, x, labels := goldenModel(r), r.Tensor("in/x"), r.Tensor("in/labels")
		key := tensor.NewKey(goldenSeed, goldenStream)
		at := tensor.FromSlice(r.Scope, []int32{goldenStep}, 1)
		check := func(name string, c attack.Config) {
			r.CompareTensor(name, attack.PGD(r.Scope, m, x, labels, c, key, at))
		}
		for _, c := range []attack.Config{
			{Norm: attack.Linf, Eps: 8.0 / 255, StepSize: 3.0 / 255},
			{Norm: attack.L2, Eps: 0.5, StepSize: 0.2},
		} {
			for _, c.Steps = range []int{1, 3} {
				name := fmt.Sprintf("%v %d", c.Norm, c.Steps)
				c.RandomStart = false
				check(name, c)
				c.RandomStart = true
				check(name+" random", c)
			}
			c.RandomStart = false
			for _, c.Objective = range []attack.Objective{attack.Margin, attack.DLR} {
				check(fmt.Sprintf("%v %v", c.Norm, c.Objective), c)
			}
		}
		check("fgsm, no random start", attack.FGSM(8.0/255))
		check("fgsm", attack.FastFGSM(8.0/255))
	})
}

// TestGoldenSquare repeats the random search step for step. Its images are single precision.
func TestGoldenSquare(t *testing.T) {
	golden.OnlySingle(t, "testdata/square.safetensors", golden.Default.F32, func(r *golden.Run) {
		m, x, labels := goldenModel(r), r.Tensor("in/x"), r.Tensor("in/labels")
		key := tensor.NewKey(goldenSeed, goldenStream)
		for _, queries := range []int{1, 4, 16} {
			r.CompareTensor(fmt.Sprintf("square %d", queries), attack.Square(r.Scope, m, x, labels,
				attack.SquareConfig{Eps: 8.0 / 255, Queries: queries}, key, nil))
		}
	})
}
