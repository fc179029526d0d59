package nn_test

import (
	"math"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestJoinedConvolutions: on both sides of the size where the joined form begins, a convolution of
// an enlarged or halved image equals the two steps, bias and spectral norm included.
func TestJoinedConvolutions(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	conv := nn.NewConv2D(nn.ConvConfig{In: 2, Out: 3, Kernel: 3, Pad: 1, Spectral: true})
	nn.Init(s, conv, 1)
	for _, h := range []int{4, 8} {
		i := nn.NewInference(b)
		i.Pass(func(c *nn.Ctx) {
			x := make([]float32, 4*h*h*2)
			for k := range x {
				x[k] = float32(k*k%23)/23 - 0.5
			}
			large := c.Graph.Const(tensor.FromSlice(c.Graph.Scope(), x, 1, 2*h, 2*h, 2))
			small := c.Graph.Const(tensor.FromSlice(c.Graph.Scope(), x[:h*h*2], 1, h, h, 2))
			near(t, "enlarged", conv.ForwardUpsampled(c, small),
				conv.Forward(c, autodiff.Upsample(small, 2)))
			near(t, "halved", conv.ForwardPooled(c, large),
				autodiff.AvgPool(conv.Forward(c, large), nn.Window(2, 2, 0)))
		})
		i.Close()
	}
}

func near(t *testing.T, name string, got, want *autodiff.Value) {
	t.Helper()
	const bound = 1e-6 // 18 products below 1/2 and a bias, in F32
	g, w := got.Tensor().Floats(), want.Tensor().Floats()
	if len(g) != len(w) {
		t.Fatalf("%s: shape %v, expected %v", name, got.Shape(), want.Shape())
	}
	for i := range g {
		if !(math.Abs(g[i]-w[i]) <= bound) {
			t.Fatalf("%s: element %d is %v, expected %v", name, i, g[i], w[i])
		}
	}
}
