package nn_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// TestIterate: the power iterations of a module in one go are those of its layers one by one, are
// made once in a pass, and leave a trace in training alone.
func TestPowerIterate(t *testing.T) {
	e := newEnv(t)
	if _, ok := e.g.Backend().(tensor.SpectralFuser); !ok {
		t.Fatal("the reference backend has no kernel to test")
	}
	lin := nn.NewLinear(nn.LinearConfig{In: 7, Out: 4, Spectral: true})
	conv := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 5, Kernel: 3, Spectral: true})
	plain := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 5, Kernel: 3})
	net := &nn.Sequential{conv, plain, lin}
	nn.InitDType(e.s, net, 3, tensor.F64)
	norms := []*nn.SpectralNorm{lin.Norm, conv.Norm}
	pass := func(train, together bool) (all []float64) {
		c := nn.NewCtx(e.g, train)
		c.Updates = nn.NewUpdates(e.g.Backend())
		for range 2 {
			e.g.Tidy(func() *autodiff.Value {
				if together {
					nn.PowerIterate(c, net)
				}
				return nil
			})
			for _, s := range norms {
				all = append(all, s.Weight(c).Tensor().Floats()...)
			}
		}
		before := slices.Concat(lin.Norm.U.T.Floats(), conv.Norm.U.T.Floats())
		c.Updates.Apply()
		after := slices.Concat(lin.Norm.U.T.Floats(), conv.Norm.U.T.Floats())
		if slices.Equal(before, after) == train {
			t.Errorf("training %v: u changed %v", train, !train)
		}
		lin.Norm.U.T.SetFloats(before[:4])
		conv.Norm.U.T.SetFloats(before[4:])
		return append(all, after...)
	}
	for _, train := range []bool{false, true} {
		want, got := pass(train, false), pass(train, true)
		for i := range want {
			// A few dozen roundings of numbers of size one.
			if math.Abs(got[i]-want[i]) > 1e-14 {
				t.Fatalf("training %v: number %d is %g, one by one %g", train, i, got[i], want[i])
			}
		}
	}
}
