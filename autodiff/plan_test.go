package autodiff_test

import (
	"math"
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestPlanOfEveryOp: each op of the table by itself and between others, run by its plan, gives its
// bits, for the input it was written down with and for another.
func TestPlanOfEveryOp(t *testing.T) {
	without := map[string]int{}
	each(t, func(t *testing.T, s sample) {
		between := func(g graph, in []value) value {
			x := ad.Add(in[0], ad.Scale(ad.Square(in[0]), 1e-3))
			return ad.Neg(s.f(g, append([]value{x}, in[1:]...)))
		}
		for _, f := range []fn{s.f, between} {
			g, in := open(t, s.in)
			g.NoGrad(func() {
				ys, p := g.Plan(in[0], func() []value { return []value{f(g, in)} })
				if p == nil {
					without[s.name]++
					return
				}
				planned(t, p.Run(in[0])[0], ys[0])
				other := ad.Affine(in[0], 0.75, 0.01)
				planned(t, p.Run(other)[0], f(g, append([]value{other}, in[1:]...)))
				planned(t, p.Run(in[0])[0], ys[0])
			})
		}
	})
	// Their samples make indices and conditions on the way, and σ is no operand.
	for _, name := range []string{"Gather", "ScatterAdd", "OneHot", "Where", "SpectralQuotient"} {
		delete(without, name)
	}
	if len(without) > 0 {
		t.Errorf("no plan was made of %v", without)
	}
}

// planned compares bits.
func planned(t *testing.T, got, want value) {
	t.Helper()
	if !slices.EqualFunc(got.Tensor().Floats(), want.Tensor().Floats(), func(x, y float64) bool {
		return math.Float64bits(x) == math.Float64bits(y)
	}) {
		t.Errorf("%v by the plan, %v", got.Tensor().Floats(), want.Tensor().Floats())
	}
}

// TestPlanMemory: a plan holds no more at a time than its ops ask for, and leaves its results.
func TestPlanMemory(t *testing.T) {
	m, g, x, used := metered(t)
	g.NoGrad(func() {
		f := func() []value {
			h := ad.Tanh(x)
			side := ad.Reshape(h, 1, elems)
			for range 5 {
				h = ad.Tanh(ad.Affine(h, 0.9, 0.1))
			}
			return []value{h, ad.Add(h, ad.Reshape(side, elems))}
		}
		ys, p := g.Plan(x, f)
		expectUnits(t, "the results of the written pass", used(), 2)
		for _, y := range ys {
			y.Done()
		}
		m.peak = 0
		base := m.Outstanding()
		ys = p.Run(x)
		expectUnits(t, "the results of the planned pass", used(), 2)
		expectUnits(t, "the most at a time", float64(m.peak-base)/unit, 3)
		for _, y := range ys {
			y.Done()
		}
	})
}

// TestNoPlan: where the pass depends on what was read, or on tensors that are gone with it.
func TestNoPlan(t *testing.T) {
	g, in := open(t, []input{normal(1, 3)})
	x := in[0]
	for name, f := range map[string]func() value{
		"reading":          func() value { return ad.Scale(x, ad.Sum(x).Item()) },
		"reading elements": func() value { return ad.Scale(x, ad.Neg(x).Tensor().Floats()[0]) },
		"a constant":       func() value { return ad.Add(x, g.Const(g.Scope().Full(tensor.F64, 2, 3))) },
		"the input":        func() value { return x },
	} {
		g.NoGrad(func() {
			if _, p := g.Plan(x, func() []value { return []value{f()} }); p != nil {
				t.Errorf("%s: got a plan", name)
			}
		})
	}
	refused(t, "records nothing", func() { g.Plan(x, func() []value { return []value{ad.Neg(x)} }) })
	g.NoGrad(func() {
		_, p := g.Plan(x, func() []value { return []value{ad.Neg(x)} })
		g.Plan(x, func() []value {
			refused(t, "records nothing", func() { g.Plan(x, func() []value { return nil }) })
			refused(t, "records nothing", func() { p.Run(x) })
			return nil
		})
	})
}

// TestPlanJoins: what only a Concat of channels reads is computed where that would copy it, to the
// same bits, on a backend that can; what somebody else reads, too, or an op without a place, or one
// with a residual, is copied.
func TestPlanJoins(t *testing.T) {
	b := &placing{Backend: ref.New(ref.WithPoison())}
	g := ad.NewGraph(b)
	defer g.Close()
	f := func(seed uint32, shape ...int) value {
		return g.Const(tensor.FromSlice(g.Scope(), normal(seed, shape...).Data, shape...))
	}
	x, w3, w1 := f(1, 2, 9, 8, 5), f(2, 7, 3, 3, 5), f(3, 4, 1, 1, 5)
	bias, one := f(4, 7), tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	pad := one
	pad.PadTop, pad.PadLeft, pad.PadBottom, pad.PadRight = 1, 1, 1, 1
	large := func() value { return ad.Conv2DBiasAct(x, w3, bias, nil, true, pad) }
	small := func() value { return ad.Conv2DBiasAct(x, w1, nil, nil, false, one) }
	for name, c := range map[string]struct {
		f      func() []value
		placed int
	}{
		"both": {func() []value { return []value{ad.Concat(3, large(), small())} }, 2},
		"both of two": {func() []value {
			y := ad.Concat(-1, small(), large(), small())
			return []value{ad.ReLU(y), ad.Concat(3, large(), large())}
		}, 5},
		"read twice": {func() []value {
			y := large()
			return []value{ad.Concat(3, y, small()), ad.Neg(y)}
		}, 0},
		"an output, too": {func() []value {
			y := large()
			return []value{ad.Concat(3, y, small()), y}
		}, 0},
		"twice the same": {func() []value {
			y := large()
			return []value{ad.Concat(3, y, y)}
		}, 0},
		"another op":   {func() []value { return []value{ad.Concat(3, large(), ad.Neg(x))} }, 0},
		"the input":    {func() []value { return []value{ad.Concat(3, large(), x)} }, 0},
		"another axis": {func() []value { return []value{ad.Concat(0, large(), large())} }, 0},
		"with a residual": {func() []value {
			r := ad.Conv2DBiasAct(x, w1, nil, small(), false, one)
			return []value{ad.Concat(3, large(), r)}
		}, 0},
	} {
		g.NoGrad(func() {
			ys, p := g.Plan(x, c.f)
			if p == nil {
				t.Fatalf("%s: no plan", name)
			}
			for range 2 {
				b.placed = 0
				for i, y := range p.Run(x) {
					planned(t, y, ys[i])
				}
				if b.placed != c.placed {
					t.Errorf("%s: %d convolutions found a place, expected %d", name, b.placed, c.placed)
				}
			}
		})
	}
}

// placing is ref with a place for convolutions, which it counts.
type placing struct {
	*ref.Backend
	placed int
}

func (b *placing) Conv2DPlace(y *tensor.Tensor, at int, x, w, bias *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	b.placed++
	s := tensor.NewScope(b)
	defer s.Close()
	size := append(y.Shape()[:3].Clone(), w.Dim(0))
	part, one := s.New(y.DType(), size...), []int{1, 1, 1, 1}
	b.Conv2DBiasAct(part, x, w, bias, nil, relu, p)
	b.CopyRegion(y, part, tensor.Region{DstStart: []int{0, 0, 0, at}, DstStep: one,
		SrcStart: make([]int, 4), SrcStep: one, Size: size})
}
