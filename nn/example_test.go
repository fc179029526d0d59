package nn_test

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A network is declared, given memory, and applied in a graph.
func Example() {
	net := nn.Sequential{
		nn.NewConv2D(nn.ConvConfig{In: 3, Out: 8, Kernel: 3, Pad: 1}),
		nn.Func(autodiff.ReLU),
		nn.Func(autodiff.GlobalAvgPool),
		nn.NewLinear(nn.LinearConfig{In: 8, Out: 10}),
	}
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	nn.Init(s, net, 1)

	g := autodiff.NewGraph(b)
	defer g.Close()
	images := g.Const(s.Zeros(tensor.F32, 2, 8, 8, 3))
	logits := net.Forward(nn.NewCtx(g, nn.Eval), images)
	fmt.Println(nn.Count(net), "parameters,", logits.Shape())
	// Output: 314 parameters, [2 10]
}
