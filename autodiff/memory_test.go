package autodiff_test

import (
	"math"
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A meter is ref with a high-water mark.
type meter struct {
	*ref.Backend
	peak int
}

func (m *meter) Alloc(bytes int) (tensor.Buffer, error) {
	buf, err := m.Backend.Alloc(bytes)
	m.peak = max(m.peak, m.Outstanding())
	return buf, err
}

// unit is the size of the one kind of large tensor in these tests; all others together are far
// smaller than slack.
const (
	elems = 1000
	unit  = 8 * elems
	slack = unit / 2
)

// metered returns a graph with one leaf of elems elements; used counts what else is allocated, in
// units.
func metered(t *testing.T) (m *meter, g graph, x value, used func() float64) {
	m = &meter{Backend: ref.New(ref.WithPoison())}
	host := tensor.NewScope(m)
	g = ad.NewGraph(m)
	x = g.Leaf(host.Full(tensor.F64, 0.5, elems))
	base := m.Outstanding()
	t.Cleanup(func() {
		g.Close()
		if n := m.Outstanding(); n != base {
			t.Errorf("%d bytes are left after Close", n-base)
		}
		host.Close()
	})
	return m, g, x, func() float64 { return float64(m.Outstanding()-base) / unit }
}

// chain applies tanh(0.9·h + 0.1) depth times. The tanh outputs are wanted by VJPs, the affine
// outputs by nobody.
func chain(h value, depth int) value {
	for range depth {
		a := ad.Affine(h, 0.9, 0.1)
		h = ad.Tanh(a)
		a.Done()
	}
	return ad.Sum(h)
}

func expectUnits(t *testing.T, what string, got, atMost float64) {
	t.Helper()
	if got > atMost+float64(slack)/unit {
		t.Errorf("%s: %.1f tensors are held, expected at most %g", what, got, atMost)
	}
}

func TestForwardHoldsWhatIsWanted(t *testing.T) {
	const depth = 20
	m, _, x, used := metered(t)
	y := chain(x, depth)
	expectUnits(t, "after the forward pass", used(), depth)
	m.peak = 0
	d := ad.Grad(y, []value{x})[0]
	expectUnits(t, "after the backward pass", used(), 1)
	// Of the chain's tensors at most all are alive, with dy, and the temporaries of one VJP: 1−y²,
	// dy·(1−y²), y².
	expectUnits(t, "at the peak of the backward pass", float64(m.peak)/unit-1, depth+4)
	d.Done()
	expectUnits(t, "after the gradient was freed", used(), 0)
}

// TestMemoryFalls looks at the memory each time the pass goes through one point of the chain.
func TestMemoryFalls(t *testing.T) {
	const depth = 10
	_, _, x, used := metered(t)
	var seen []float64
	h := x
	for range depth {
		h = ad.Probe(ad.Tanh(h), func() { seen = append(seen, used()) })
	}
	ad.Grad(ad.Sum(h), []value{x})
	if len(seen) != depth {
		t.Fatalf("the pass went by %d times", len(seen))
	}
	for i := 1; i < depth; i++ {
		if seen[i] > seen[i-1]-1 {
			t.Errorf("step %d: %.1f tensors, one step before %.1f", i, seen[i], seen[i-1])
		}
	}
}

func TestRetainHolds(t *testing.T) {
	_, _, x, used := metered(t)
	y := chain(x, 5)
	before := used()
	ad.Grad(y, []value{x}, ad.Retain())[0].Done()
	expectUnits(t, "after a pass that retains", used(), before)
	if used() < before {
		t.Error("Retain freed something")
	}
}

// TestHigherOrderMemory: a recorded pass holds only what the next VJPs declared, and the last pass
// gives everything back.
func TestHigherOrderMemory(t *testing.T) {
	const depth = 10
	_, _, x, used := metered(t)
	d := ad.Grad(chain(x, depth), []value{x}, ad.CreateGraph())[0]
	// Per layer: y; recorded for dy·(1−y²): both factors. The rest, y² and what was scaled, is
	// gone.
	expectUnits(t, "after a recorded pass", used(), 3*depth+2)
	dd := ad.Grad(ad.Sum(ad.Square(d)), []value{x})[0]
	expectUnits(t, "after the second pass", used(), 3) // x's two gradients, and the square
	dd.Tensor()
}

func TestFrozenFactorsAreNotHeld(t *testing.T) {
	_, g, x, used := metered(t)
	w := g.Const(x.Tensor())
	h := ad.Scale(x, 2)
	y := ad.Sum(ad.Mul(h, w)) // h would be read for the gradient of w alone
	h.Done()
	expectUnits(t, "a product with a constant", used(), 1) // the product, which is not Done
	ad.Grad(y, []value{x})
}

func TestTidy(t *testing.T) {
	_, g, x, used := metered(t)
	block := func(v value) value {
		return g.Tidy(func() value { return ad.Exp(ad.Square(ad.Neg(v))) })
	}
	var y value
	g.NoGrad(func() { y = block(block(x)) })
	expectUnits(t, "two blocks without gradient", used(), 2)
	y.Tensor()
	d := ad.Grad(ad.Sum(block(x)), []value{x})[0]
	near(t, "gradient through a tidy block", d.Tensor().Floats()[0], 2*0.5*math.Exp(0.25))
	h := ad.Neg(x.Detach())
	if g.Tidy(func() value { return h }) != h || h.Freed() {
		t.Error("Tidy freed a value that is not its own")
	}
	refused(t, "test", func() {
		g.Tidy(func() value { panic(&tensor.Error{Op: "test", Reason: "test"}) })
	})
	ad.Neg(h) // the graph's own scope is back
}

// TestRefusalLeavesNothing: what an op allocated before it panicked goes with the graph.
func TestRefusalLeavesNothing(t *testing.T) {
	_, g, x, _ := metered(t)
	bad := ad.Probe(ad.Square(x), func() { panic(&tensor.Error{Op: "test", Reason: "in a VJP"}) })
	refused(t, "in a VJP", func() { ad.Grad(ad.Sum(ad.Exp(bad)), []value{x}, ad.CreateGraph()) })
	refused(t, "test", func() {
		g.Tidy(func() value { ad.Exp(x); panic(&tensor.Error{Op: "test", Reason: "test"}) })
	})
	if y := ad.Square(x); !y.NeedsGrad() {
		t.Error("the graph does not record any more")
	}
}

func TestInferenceFreesAsItGoes(t *testing.T) {
	m, g, x, used := metered(t)
	m.peak = 0
	g.NoGrad(func() {
		v := ad.GELU(x)
		for range 10 {
			next := ad.GELU(v)
			v.Done()
			v = next
		}
	})
	expectUnits(t, "after ten composite ops", used(), 1)
	g.NoGrad(func() {
		image := ad.Reshape(x, 1, 1, elems, 1)
		p := tensor.PoolParams{KH: 1, KW: 1, StrideH: 1, StrideW: 1}
		ad.MaxPool(image, p).Done() // the winners, I32, would be half a unit
	})
	if got := used(); got > 1.25 {
		t.Errorf("max pooling without a gradient leaves %.1f tensors, with the one before", got)
	}
}

// A sum over a fork is made over whatever part nobody else holds: not over a cotangent that two
// inputs share, that was asked for, or that is another one's elements under a second name.
func TestSumsOverwriteNothingShared(t *testing.T) {
	_, _, x, _ := metered(t)
	h := ad.Tanh(x)
	parts := map[string]value{
		"both inputs of an op": ad.Add(ad.Add(h, h), ad.Exp(h)),
		"a view":               ad.Add(ad.Reshape(ad.Reshape(h, 2, elems/2), elems), ad.Square(h)),
		"an op's own result":   ad.Add(ad.Mul(h, h), ad.Mul(ad.Exp(h), h)),
		"the cotangent itself": ad.Add(h, ad.Add(ad.Exp(h), h)),
		"a ReLU's sum":         ad.Mul(ad.ReLU(h), ad.Add(ad.ReLU(h), ad.Exp(h))),
	}
	for name, y := range parts {
		of := []value{x, h, y}
		want := ad.Grad(ad.Sum(ad.Square(y)), of, ad.CreateGraph())
		got := ad.Grad(ad.Sum(ad.Square(y)), of, ad.Retain())
		for i := range of {
			if !slices.Equal(got[i].Tensor().Floats(), want[i].Tensor().Floats()) {
				t.Errorf("%s: gradient %d differs from the recorded one", name, i)
			}
		}
	}
}
