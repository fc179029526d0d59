package train_test

import (
	"errors"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestCheckSeesGradients: a finite loss with a gradient that overflows is an error that names the
// gradient, before an update spoils the parameters.
func TestCheckSeesGradients(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	for _, c := range []struct {
		name string
		at   float64 // the second element of the second parameter
		loss func(a, x *autodiff.Value) *autodiff.Value
		want []string
	}{
		{"infinite gradient", 0, func(a, x *autodiff.Value) *autodiff.Value { // d√x/dx = ∞ at 0
			return autodiff.Add(autodiff.Sum(a), autodiff.Sum(autodiff.Sqrt(x)))
		}, []string{"step 3", "the gradient of second is not"}},
		{"gradient whose square overflows", 1, func(a, x *autodiff.Value) *autodiff.Value {
			return autodiff.Add(autodiff.Sum(a), autodiff.Sum(autodiff.Affine(x, 1e20, -1e20)))
		}, []string{"step 3", "sum of their squares"}},
		{"healthy", 1, func(a, x *autodiff.Value) *autodiff.Value {
			return autodiff.Add(autodiff.Sum(a), autodiff.Sum(autodiff.Sqrt(x)))
		}, nil},
	} {
		s := tensor.NewScope(b)
		first, second := tensor.FromSlice(s, []float32{1}, 1),
			tensor.FromSlice(s, []float32{1, float32(c.at), 1, 1}, 2, 2)
		params := nn.Params{{Name: "first", Param: &nn.Param{T: first, Shape: first.Shape()}},
			{Name: "second", Param: &nn.Param{T: second, Shape: second.Shape()}}}
		var m train.Move
		got := m.Measure(b, nil, params, func(p *train.Pass) {
			v := p.Ctx.Values(params)
			p.Minimise(c.loss(v[0], v[1]))
		})
		err := m.Check(3, got[0], got[1])
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if !errors.Is(err, train.ErrDiverged) {
			t.Errorf("%s: error %v, expected ErrDiverged", c.name, err)
		} else {
			wantError(t, c.name, err, c.want...)
		}
		m.Close()
		s.Close()
	}
}
