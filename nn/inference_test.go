package nn_test

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestInference: every pass of an Inference gives the bits of a pass of its own, and memory stops
// growing after the first.
func TestInference(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	m, err := models.New("resnet20-cifar", models.Options{InputSize: 16, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	x := make([]float32, 3*16*16*3)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	in := tensor.FromSlice(s, x, 3, 16, 16, 3)
	g := autodiff.NewGraph(b)
	defer g.Close()
	var want []float32
	g.NoGrad(func() {
		want = tensor.ToHost[float32](m.Forward(nn.NewCtx(g, false), g.Const(in)).Tensor())
	})
	i := nn.NewInference(b)
	defer i.Close()
	var kept int
	for pass := range 3 {
		var got []float32
		i.Pass(func(c *nn.Ctx) {
			got = tensor.ToHost[float32](m.Forward(c, c.Graph.Const(in)).Tensor())
		})
		if !slices.Equal(got, want) {
			t.Fatalf("pass %d differs from a pass of its own", pass)
		}
		if inUse := b.Memory().InUse; pass == 0 {
			kept = inUse
		} else if inUse != kept {
			t.Errorf("pass %d: %d bytes in use, %d after the first", pass, inUse, kept)
		}
	}
}
