package lpips_test

import (
	"math"
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Where no column is zero, first and second derivatives of the normalisation are those of
// difference quotients.
func TestUnitNormalizeDerivatives(t *testing.T) {
	gradcheck.Check(t, func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return lpips.UnitNormalize(in[0])
	}, []gradcheck.Input{gradcheck.Normal(1, 2, 2, 3, 4)})
}

// A column of zeros stays zero and gets a zero gradient, of first and second order; its neighbour
// gets the gradient it has without it. The other image's column, not zero, keeps its gradient.
func TestZeroColumns(t *testing.T) {
	b := ref.New()
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64} {
		g := autodiff.NewGraph(b)
		s := g.Scope()
		leaf := func(v ...float64) *autodiff.Value { // two pixels of three channels
			x := s.New(dt, 1, 1, len(v)/3, 3)
			x.SetFloats(v)
			return g.Leaf(x)
		}
		f, other := leaf(0, 0, 0, 3, 0, 4), leaf(1, 2, 2, 0, 1, 0)
		n := lpips.UnitNormalize(f).Keep()
		y := autodiff.Sum(autodiff.Square(autodiff.Sub(n, lpips.UnitNormalize(other))))
		dx := autodiff.Grad(y, []*autodiff.Value{f, other}, autodiff.CreateGraph())
		dx[0].Keep()
		dx[1].Keep()
		ddx := autodiff.Grad(autodiff.Sum(autodiff.Square(dx[0])), []*autodiff.Value{f})
		for name, v := range map[string]*autodiff.Value{"n": n, "dy/df": dx[0], "second": ddx[0]} {
			for i, x := range v.Tensor().Floats() {
				if i < 3 && x != 0 || math.IsNaN(x) || math.IsInf(x, 0) {
					t.Errorf("%v: %s[%d] = %g: expected 0 in the zero column, finite numbers else",
						dt, name, i, x)
				}
			}
		}
		// n = (0.6, 0, 0.8) against (0, 1, 0): dy/df = (I − nnᵀ)/5 · 2(n − m) = (0, −0.4, 0).
		for i, want := range []float64{0, -0.4, 0} {
			if got := dx[0].Tensor().Floats()[3+i]; math.Abs(got-want) > 1e-6 {
				t.Errorf("%v: channel %d of the other pixel: %g, want %g", dt, i, got, want)
			}
		}
		// Against n = 0 the distance of m is |m|² = 1 wherever m points: no gradient but rounding.
		for i, x := range dx[1].Tensor().Floats()[:3] {
			if math.Abs(x) > 1e-6 {
				t.Errorf("%v: channel %d opposite the zero column: %g, want 0", dt, i, x)
			}
		}
		g.Close()
	}
}

// The whole metric's gradient with respect to both images is the difference quotient, on images
// with dark corners that leave columns of zeros behind.
func TestForwardDerivative(t *testing.T) {
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	m := lpips.New(b, lpips.Squeeze)
	params := nn.Join(m.Backbone(), m.Linear())
	nn.InitDType(s, params, 3, tensor.F64)
	gradcheck.Check(t, func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return m.Forward(nn.NewCtx(g, nn.Eval), in[0], in[1])
	}, []gradcheck.Input{gradcheck.Range(1, -1, 1, 1, 17, 18, 3),
		gradcheck.Range(2, -1, 1, 1, 17, 18, 3)}, gradcheck.Order(1))
}

// With weights that silence a layer for one image (all its ReLUs are dead), the gradient is finite.
func TestDeadLayer(t *testing.T) {
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	m := lpips.New(b, lpips.Squeeze)
	nn.Init(s, nn.Join(m.Backbone(), m.Linear()), 3)
	for _, p := range m.Backbone() {
		if p.Name == "features.0.bias" {
			p.Param.T.Assign(s.Full(tensor.F32, -1e6, p.Param.Shape...))
		}
	}
	g := autodiff.NewGraph(b)
	defer g.Close()
	x := g.Leaf(s.Full(tensor.F32, 0.25, 1, 17, 17, 3))
	y := g.Const(s.Full(tensor.F32, -0.5, 1, 17, 17, 3))
	d := m.Forward(nn.NewCtx(g, nn.Eval), x, y)
	for i, v := range autodiff.Grad(d, []*autodiff.Value{x})[0].Tensor().Floats() {
		if v != 0 {
			t.Fatalf("element %d of the gradient through a dead layer is %g, want 0", i, v)
		}
	}
	if v := d.Item(); v != 0 {
		t.Errorf("distance %g where both images are silenced, want 0", v)
	}
}
