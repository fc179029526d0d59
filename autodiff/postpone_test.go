package autodiff_test

import (
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A joining backend makes quotients and their gradients in one go, and counts.
type joining struct {
	*ref.Backend
	calls, weights int
	quotients      int
}

var _ tensor.ManySpectralFuser = (*joining)(nil)

// SpectralQuotientGrads makes them one by one.
func (b *joining) SpectralQuotientGrads(dw, dy, w, u, v, sigma []*tensor.Tensor) {
	b.calls++
	b.weights += len(w)
	for i := range w {
		b.SpectralQuotientGrad(dw[i], dy[i], w[i], u[i], v[i], sigma[i])
	}
}

// SpectralQuotients makes them one by one.
func (b *joining) SpectralQuotients(y, w, sigma []*tensor.Tensor) {
	b.quotients += len(w)
	for i := range w {
		b.SpectralQuotient(y[i], w[i], sigma[i])
	}
}

// TestQuotients wants quotients made at once, one of them in BF16, and their gradients to be those
// made one by one, and a list with a σ that nobody knows to be made so.
func TestQuotients(t *testing.T) {
	compute := func(b tensor.Backend, together, known bool) (all [][]float64) {
		g := ad.NewGraph(b)
		defer g.Close()
		leaf := func(seed uint32, shape ...int) value {
			x := g.Scope().New(tensor.F32, shape...)
			x.SetFloats(gradcheck.Normal(seed, shape...).Data)
			return g.Leaf(x)
		}
		qs := []ad.Quotient{
			{leaf(1, 4, 3), leaf(3, 1, 4), leaf(5, 1, 3), leaf(7, 1).Tensor(), tensor.F32},
			{leaf(2, 5, 2), leaf(4, 1, 5), leaf(6, 1, 2), nil, tensor.BF16},
		}
		if known {
			qs[1].Sigma = leaf(8, 1).Tensor()
		}
		y := vals{nil, nil}
		if together {
			copy(y, ad.SpectralQuotients(qs))
		} else {
			for i, q := range qs {
				y[i] = ad.SpectralQuotient(q)
			}
		}
		sum := ad.Add(ad.Sum(ad.Square(y[0])), ad.Sum(ad.Square(ad.Cast(y[1], tensor.F32))))
		w := vals{qs[0].W, qs[1].W}
		for _, x := range append(vals{y[0].Keep(), y[1].Keep()}, ad.Grad(sum, w)...) {
			all = append(all, x.Tensor().Floats())
		}
		return all
	}
	if got := ad.SpectralQuotients(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for _, known := range []bool{true, false} {
		b := &joining{Backend: ref.New()}
		want, got := compute(ref.New(), false, known), compute(b, true, known)
		if !slices.EqualFunc(got, want, slices.Equal[[]float64]) {
			t.Errorf("known %v: %v, want %v", known, got, want)
		}
		if (b.quotients == 2) != known {
			t.Errorf("known %v: %d quotients at once", known, b.quotients)
		}
	}
}

// TestPostponed takes gradients through three quotients, two of them of one weight that is read
// for itself, too: at once where only weights are asked for, else one by one, to the same bits.
func TestPostponed(t *testing.T) {
	network := func(b tensor.Backend) (graph, value, vals) {
		g := ad.NewGraph(b)
		var in vals
		for i, s := range [][]int{{4, 3}, {1, 4}, {1, 3}, {3, 4}, {1, 3}, {1, 4}, {2, 3}} {
			x := g.Scope().New(tensor.F64, s...)
			x.SetFloats(gradcheck.Normal(uint32(i+1), s...).Data)
			in = append(in, g.Leaf(x))
		}
		quotients := func() (value, value) {
			return quotient(in[0], in[1], in[2], tensor.F64), quotient(in[3], in[4], in[5], tensor.F64)
		}
		first, second := quotients()
		again, _ := quotients()
		h := ad.MatMul(ad.MatMul(in[6], first, false, true), second, false, true)
		h = ad.Tanh(ad.MatMul(ad.Tanh(h), again, false, true))
		return g, ad.Add(ad.Sum(ad.Square(h)), ad.Sum(ad.Square(in[0]))), in
	}
	for _, c := range []struct {
		name    string
		of      []int
		options []ad.GradOption
		weights int // whose gradients are made together
	}{
		{"weights", []int{0, 3}, nil, 3},
		{"weights, kept", []int{0, 3}, []ad.GradOption{ad.Retain()}, 3},
		{"one weight", []int{3}, nil, 1},
		{"a vector, too", []int{0, 3, 4}, nil, 2},
		{"to be differentiated", []int{0, 3}, []ad.GradOption{ad.CreateGraph()}, 0},
	} {
		gradients := func(b tensor.Backend) (all [][]float64) {
			g, y, in := network(b)
			defer g.Close()
			var xs vals
			for _, i := range c.of {
				xs = append(xs, in[i])
			}
			for _, d := range ad.Grad(y, xs, c.options...) {
				all = append(all, d.Tensor().Floats())
			}
			return all
		}
		b := &joining{Backend: ref.New(ref.WithPoison())}
		want, got := gradients(ref.New(ref.WithPoison())), gradients(b)
		if !slices.EqualFunc(got, want, slices.Equal[[]float64]) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
		if b.weights != c.weights || b.calls > 1 {
			t.Errorf("%s: %d of them in %d calls, want %d", c.name, b.weights, b.calls, c.weights)
		}
	}
}
