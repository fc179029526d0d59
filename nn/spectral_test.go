package nn_test

import (
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
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

// A gathering backend makes quotients in one go, and counts.
type gathering struct {
	*ref.Backend
	calls, quotients int
}

// SpectralQuotients makes them one by one.
func (b *gathering) SpectralQuotients(y, w, sigma []*tensor.Tensor) {
	b.calls++
	b.quotients += len(w)
	for i := range w {
		b.SpectralQuotient(y[i], w[i], sigma[i])
	}
}

// SpectralQuotientGrads is not called here.
func (b *gathering) SpectralQuotientGrads(_, _, _, _, _, _ []*tensor.Tensor) { panic("unexpected") }

// TestQuotientsAtOnce wants the weights of a pass that is recorded made at once, filters in BF16
// where activations are, but for a layer's that makes another filter of it; and none at once where
// nothing is recorded.
func TestQuotientsAtOnce(t *testing.T) {
	lin := nn.NewLinear(nn.LinearConfig{In: 7, Out: 4, Spectral: true})
	conv := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 3, Kernel: 3, Pad: 1, Spectral: true})
	pooled := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 3, Kernel: 3, Pad: 1, Spectral: true,
		Resampled: true})
	net := &nn.Sequential{conv, pooled, lin}
	pass := func(b tensor.Backend, half, recorded bool) (all []float64) {
		s := tensor.NewScope(b)
		defer s.Close()
		nn.Init(s, net, 3)
		g := autodiff.NewGraph(b)
		defer g.Close()
		x, z := g.Const(s.Full(tensor.F32, 0.3, 1, 16, 16, 3)), g.Const(s.Full(tensor.F32, 0.3, 2, 7))
		run := func() {
			c := nn.NewCtx(g, true, nn.List(net))
			if half {
				c.Activations = tensor.BF16
			}
			nn.PowerIterate(c, net)
			y := pooled.ForwardPooled(c, conv.Forward(c, c.Enter(x)))
			all = slices.Concat(y.Tensor().Floats(), lin.Forward(c, z).Tensor().Floats())
		}
		if recorded {
			run()
		} else {
			g.NoGrad(run)
		}
		return all
	}
	for _, half := range []bool{false, true} {
		for recorded, most := range map[bool]int{true: 2, false: 0} {
			b := &gathering{Backend: ref.New()}
			want, got := pass(ref.New(), half, recorded), pass(b, half, recorded)
			if !slices.Equal(got, want) || b.quotients != most || b.calls > 1 {
				t.Errorf("half %v, recorded %v: %d quotients in %d calls, equal %v", half, recorded,
					b.quotients, b.calls, slices.Equal(got, want))
			}
		}
	}
}
