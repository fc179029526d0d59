package autodiff_test

import (
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// summing is a backend that can mask a sum in the pass that makes it, and counts how often it does.
type summing struct {
	*ref.Backend
	sums int
}

func (b *summing) AddReLUMask(dx, d1, d2, y *tensor.Tensor) {
	b.sums++
	b.Binary(tensor.Add, dx, d1, d2)
	b.Binary(tensor.ReLUMask, dx, dx, y)
}

var conv3x3 = tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1,
	PadRight: 1, DilH: 1, DilW: 1, Groups: 1}

// The residual blocks of h, a ReLU's output, with a filter w that both convolutions share and s in
// the place of all that is one number for each channel.
var residualBlocks = []struct {
	name string
	f    func(h, w, s value) value
	sums int // masked, at its fork
}{
	{"batch norm", func(h, w, s value) value {
		a, _ := ad.BatchNormReLU(ad.Conv2D(h, w, conv3x3), s, s, nil, bnEps)
		y, _ := ad.BatchNormReLU(ad.Conv2D(a, w, conv3x3), s, s, h, bnEps)
		return y
	}, 1}, // the ReLU inside is its batch norm's own affair
	{"folded", func(h, w, s value) value {
		a := ad.Conv2DBiasAct(h, w, s, nil, true, conv3x3)
		return ad.Conv2DBiasAct(a, w, s, h, true, conv3x3)
	}, 1},
	{"scale and shift", func(h, w, s value) value {
		a := ad.ScaleShift(ad.Conv2D(h, w, conv3x3), s, s, nil, true)
		return ad.ScaleShift(ad.Conv2D(a, w, conv3x3), s, s, h, true)
	}, 1},
	{"before the convolutions", func(h, w, s value) value { // the sum is no ReLU's output
		a := ad.ReLU(ad.Add(ad.Conv2D(h, w, conv3x3), ad.Reshape(s, 1, 1, 1, 3)))
		return ad.ReLU(ad.Add(h, ad.Conv2D(a, w, conv3x3)))
	}, 1},
	{"itself", func(h, w, s value) value { // both at once of one op: more is to arrive behind it
		return ad.Conv2DBiasAct(h, w, s, h, true, conv3x3)
	}, 0},
}

// residual is a network of n blocks, each in wrap.
func residual(n int, block func(h, w, s value) value, wrap func(graph, func() value) value) fn {
	return func(g graph, in []value) value {
		h := ad.ReLU(in[0])
		for range n {
			x := h
			h = wrap(g, func() value { return block(x, in[1], in[2]) })
		}
		return ad.Square(h)
	}
}

func residualInputs() []input {
	return []input{offZero(1, 2, 3, 4, 3), normal(2, 3, 3, 3, 3), offZero(3, 3)}
}

// gradsOn returns the gradients for the inputs and for f's other results on b.
func gradsOn(b tensor.Backend, f func(g graph, in []value) (y value, more []value),
	opts ...ad.GradOption) (all [][]float64) {
	g := ad.NewGraph(b)
	defer g.Close()
	var vs vals
	for _, p := range residualInputs() {
		vs = append(vs, g.Leaf(tensor.FromSlice(g.Scope(), p.Data, p.Shape...)))
	}
	y, more := f(g, vs)
	for _, d := range ad.Grad(ad.Sum(y), append(slices.Clone(vs), more...), opts...) {
		all = append(all, d.Tensor().Floats())
	}
	return all
}

// TestMaskedSum wants the gradients of residual networks to have the bits that they have on a
// backend that masks in a pass of its own, each sum over a fork to be masked at once, also in a
// Checkpoint, and none where the gradient must be differentiable.
func TestMaskedSum(t *testing.T) {
	const n = 3
	for _, b := range residualBlocks {
		for name, wrap := range map[string]func(graph, func() value) value{
			"plain": plain, "tidy": tidy, "checkpoint": checkpointing,
		} {
			f := func(g graph, in []value) (value, []value) {
				return residual(n, b.f, wrap)(g, in), nil
			}
			want := gradsOn(ref.New(), f)
			able := &summing{Backend: ref.New(ref.WithPoison())}
			if got := gradsOn(able, f); !equalAll(got, want) {
				t.Errorf("%s, %s: gradients differ", b.name, name)
			}
			if able.sums != n*b.sums {
				t.Errorf("%s, %s: %d sums were masked, expected %d", b.name, name, able.sums, n*b.sums)
			}
			able = &summing{Backend: ref.New()}
			gradsOn(able, f, ad.CreateGraph())
			if able.sums > 0 {
				t.Errorf("%s, %s: masked under CreateGraph", b.name, name)
			}
			if got := gradsOn(able, f, ad.Retain()); !equalAll(got, want) {
				t.Errorf("%s, %s: gradients differ with Retain", b.name, name)
			}
		}
		gradcheck.Check(t, residual(2, b.f, plain), residualInputs())
	}
}

// TestMaskedSumWanted: the cotangent of a value that somebody asked for stays what it is before the
// ReLU.
func TestMaskedSumWanted(t *testing.T) {
	for _, b := range residualBlocks {
		f := func(g graph, in []value) (value, []value) {
			first := residual(1, b.f, plain)
			h := ad.ReLU(first(g, in)) // of a ReLU, read by the second block
			return ad.Square(b.f(h, in[1], in[2])), []value{h}
		}
		if !equalAll(gradsOn(&summing{Backend: ref.New()}, f), gradsOn(ref.New(), f)) {
			t.Errorf("%s: gradients differ", b.name)
		}
	}
}

func equalAll(a, b [][]float64) bool {
	return slices.EqualFunc(a, b, func(x, y []float64) bool { return slices.Equal(x, y) })
}
