package nn_test

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestPlanned: in an Inference a function of one input is called twice for each key, also where it
// is a part of another, and in any other pass always.
func TestPlanned(t *testing.T) {
	b := ref.New()
	scope := tensor.NewScope(b)
	defer scope.Close()
	calls := map[string]int{}
	count := func(name string, f func(x *autodiff.Value) *autodiff.Value) func(
		*nn.Ctx, *autodiff.Value) *autodiff.Value {
		return func(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
			return c.Planned([2]any{name, x.Dim(0)}, x, func() []*autodiff.Value {
				calls[name]++
				return []*autodiff.Value{f(x)}
			})[0]
		}
	}
	inner := count("inner", autodiff.Square)
	pass := func(c *nn.Ctx, n int, v float64) {
		x := c.Graph.Const(scope.Full(tensor.F64, v, n))
		y := count("outer", func(x *autodiff.Value) *autodiff.Value {
			return autodiff.Scale(inner(c, x), 2)
		})(c, x)
		if got := autodiff.Sum(y).Item(); got != float64(2*n)*v*v {
			t.Errorf("%d numbers %g: got %g", n, v, got)
		}
	}
	i := nn.NewInference(b)
	defer i.Close()
	for k := range 5 {
		i.Pass(func(c *nn.Ctx) { pass(c, 3, float64(k)) })
	}
	if calls["outer"] != 2 || calls["inner"] != 2 {
		t.Errorf("after five passes: %v calls, expected 2 each", calls)
	}
	i.Pass(func(c *nn.Ctx) { pass(c, 2, 0.5) })
	i.Record(func(c *nn.Ctx) { pass(c, 3, 0.5) })
	g := autodiff.NewGraph(b)
	defer g.Close()
	for range 3 {
		g.NoGrad(func() { pass(nn.NewCtx(g, nn.Eval), 3, 0.25) })
	}
	if calls["outer"] != 7 {
		t.Errorf("%d calls, expected one more for another key, one where a gradient may be asked for, "+
			"and three outside of an Inference", calls["outer"]-2)
	}
}
