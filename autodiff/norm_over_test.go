package autodiff_test

import (
	"testing"

	ad "afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// overwriting is a backend that counts how often batch norm's dx takes the place of dy, and of x.
type overwriting struct {
	*summing
	calls, over, overX int
}

func newOverwriting() *overwriting {
	return &overwriting{summing: &summing{Backend: ref.New(ref.WithPoison())}}
}

func (b *overwriting) NormBackward(
	dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *tensor.Tensor,
) {
	b.calls++
	switch dx.Buffer() {
	case dy.Buffer():
		b.over++
	case x.Buffer():
		b.overX++
	}
	b.Backend.NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma)
}

// normGrads returns the gradients of loss(f(x gamma beta res)) for all four; kept, it asks for that
// of f as well, and may read f's first input again.
func normGrads(b tensor.Backend, f func(in []value) value, loss func(y value) value, kept bool,
) (all [][]float64) {
	g := ad.NewGraph(b)
	defer g.Close()
	var xs vals
	for _, p := range normInputs(false, false, true) {
		xs = append(xs, g.Leaf(tensor.FromSlice(g.Scope(), p.Data, p.Shape...)))
	}
	h := ad.Affine(xs[0], 2, 1)
	y := f([]value{h, xs[1], xs[2], xs[3]})
	if kept {
		xs = append(xs, y)
	} else {
		h.Done()
	}
	for _, d := range ad.Grad(loss(y), xs)[:4] {
		all = append(all, d.Tensor().Floats())
	}
	return all
}

// TestNormOverCotangent wants dx in the place of a cotangent that nobody else reads, or else of
// such an x, and only there, and the bits of all gradients to be those of a pass whose caller keeps
// both.
func TestNormOverCotangent(t *testing.T) {
	first := func(y value, _ ad.BatchStats) value { return y }
	norm := func(in []value) value { return first(ad.BatchNorm(in[0], in[1], in[2], bnEps)) }
	relu := func(in []value) value {
		return first(ad.BatchNormReLU(in[0], in[1], in[2], nil, bnEps))
	}
	add := func(in []value) value {
		return first(ad.BatchNormReLU(in[0], in[1], in[2], in[3], bnEps))
	}
	enlarged := func(in []value) value {
		return first(ad.BatchNormReLUUpsample(in[0], in[1], in[2], bnEps, 2))
	}
	square := func(y value) value { return ad.Sum(ad.Square(y)) }
	twice := func(y value) value { return ad.Sum(ad.Add(ad.Square(y), ad.Tanh(y))) }
	for _, c := range []struct {
		name              string
		f                 func(in []value) value
		loss              func(y value) value
		over, overX, kept int // over dy, over x, and over dy if y's cotangent is asked for
	}{
		{"alone", norm, square, 1, 0, 0},
		{"of a sum", norm, twice, 1, 0, 0},
		{"with ReLU", relu, square, 1, 0, 0},
		{"with a residual, which gets the masked cotangent", add, square, 1, 0, 0},
		{"with a residual, of a masked sum, which the residual gets", add, twice, 0, 1, 0},
		{"enlarged, over what comes back through that", enlarged, square, 1, 0, 1},
	} {
		own, kept := newOverwriting(), newOverwriting()
		got, want := normGrads(own, c.f, c.loss, false), normGrads(kept, c.f, c.loss, true)
		if !equalAll(got, want) {
			t.Errorf("%s: gradients differ", c.name)
		}
		if own.calls != 1 || own.over != c.over || own.overX != c.overX || kept.over != c.kept ||
			kept.overX != 0 {
			t.Errorf("%s: dx took the place of dy and of x %d and %d times, and %d and %d of those kept",
				c.name, own.over, own.overX, kept.over, kept.overX)
		}
	}
}
