package nn_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

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
	norms := []*nn.SpectralNorm{lin.Spectral, conv.Spectral}
	pass := func(train, together bool) (all []float64) {
		c := nn.NewCtx(e.g, nn.Mode(train))
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
		before := slices.Concat(lin.Spectral.U.T.Floats(), conv.Spectral.U.T.Floats())
		c.Updates.Apply()
		after := slices.Concat(lin.Spectral.U.T.Floats(), conv.Spectral.U.T.Floats())
		if slices.Equal(before, after) == train {
			t.Errorf("training %v: u changed %v", train, !train)
		}
		lin.Spectral.U.T.SetFloats(before[:4])
		conv.Spectral.U.T.SetFloats(before[4:])
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
			c := nn.NewCtx(g, nn.Train, nn.List(net))
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

// After enough training passes σ is the largest singular value, for a linear layer and for a
// convolution on the view [out, everything else].
func TestSpectralNormConvergesToSVD(t *testing.T) {
	e := newEnv(t)
	conv := nn.NewConv2D(nn.ConvConfig{In: 3, Out: 5, Kernel: 3, Spectral: true})
	lin := nn.NewLinear(nn.LinearConfig{In: 7, Out: 4, Spectral: true})
	for _, tc := range []struct {
		m  nn.Module
		sn *nn.SpectralNorm
	}{{conv, conv.Spectral}, {lin, lin.Spectral}} {
		nn.InitDType(e.s, tc.m, 3, tensor.F64)
		w := tc.sn.W
		var svd mat.SVD
		svd.Factorize(mat.NewDense(w.Shape[0], w.Shape[1:].Size(), w.T.Floats()), mat.SVDNone)
		want := svd.Values(nil)[0]
		const passes = 200 // converges like (σ₂/σ₁)^(2·passes)
		for range passes {
			c := nn.NewCtx(e.g, nn.Train)
			c.Updates = nn.NewUpdates(e.g.Backend())
			tc.sn.Weight(c)
			c.Updates.Apply()
		}
		c := nn.NewCtx(e.g, nn.Eval)
		if got := tc.sn.Sigma(c).Item(); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%T: σ = %.12g, the SVD says %.12g", tc.m, got, want)
		}
		normalised := tc.sn.Weight(c).Tensor().Floats()
		svd.Factorize(mat.NewDense(w.Shape[0], w.Shape[1:].Size(), normalised), mat.SVDNone)
		if got := svd.Values(nil)[0]; math.Abs(got-1) > 1e-9 {
			t.Errorf("%T: the normalised weight has σ = %.12g", tc.m, got)
		}
	}
}

func TestSpectralNormIteratesOncePerPass(t *testing.T) {
	e := newEnv(t)
	l := nn.NewLinear(nn.LinearConfig{In: 3, Out: 4, Spectral: true})
	nn.InitDType(e.s, l, 1, tensor.F64)
	before := l.Spectral.U.T.Floats()
	x := e.g.Const(e.normal(1, 2, 3))
	c := nn.NewCtx(e.g, nn.Train)
	c.Updates = nn.NewUpdates(e.g.Backend())
	a := l.Forward(c, x).Tensor().Floats()
	var b []float64
	e.g.Tidy(func() *autodiff.Value { // the shared weight must survive a Tidy
		v := l.Forward(c, x)
		b = v.Tensor().Floats()
		return v
	})
	if !slices.Equal(a, b) {
		t.Error("two calls in one pass used different weights")
	}
	if !slices.Equal(before, l.Spectral.U.T.Floats()) {
		t.Error("u changed before Apply")
	}
	c.Updates.Apply()
	after := l.Spectral.U.T.Floats()
	if slices.Equal(before, after) {
		t.Error("u did not change in training")
	}
	c = nn.NewCtx(e.g, nn.Eval)
	c.Updates = nn.NewUpdates(e.g.Backend())
	l.Forward(c, x)
	c.Updates.Apply()
	if !slices.Equal(after, l.Spectral.U.T.Floats()) {
		t.Error("u changed in evaluation")
	}
}
