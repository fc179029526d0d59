package autodiff_test

import (
	"math"
	"slices"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
)

// checkpointed runs f in a Checkpoint.
func checkpointed(f fn) fn {
	return func(g graph, in []value) value {
		return g.Checkpoint(func() value { return f(g, in) })
	}
}

// bits returns f's value and the gradients of its elements' weighted sum, as they are.
func bits(t *testing.T, f fn, at []input) [][]float64 {
	g, in := open(t, at)
	y := f(g, in).Keep()
	u := g.Const(tensor.FromSlice(g.Scope(), normal(9, y.Shape()...).Data, y.Shape()...))
	out := [][]float64{nil}
	for _, d := range ad.Grad(y, in, ad.WithCotangent(u)) {
		out = append(out, d.Tensor().Floats())
	}
	out[0] = y.Tensor().Floats()
	return out
}

func sameBits(t *testing.T, f, g fn, at []input) {
	t.Helper()
	a, b := bits(t, f, at), bits(t, g, at)
	for i := range a {
		if !slices.EqualFunc(a[i], b[i], func(x, y float64) bool {
			return math.Float64bits(x) == math.Float64bits(y)
		}) {
			t.Errorf("tensor %d (0: value, then gradients) has other bits:\n%v\n%v", i, a[i], b[i])
		}
	}
}

// TestCheckpointOfEveryOp: each op of the table as the last one of a Checkpoint, and between others
// in it, has its bits and its derivatives to order 2.
func TestCheckpointOfEveryOp(t *testing.T) {
	each(t, func(t *testing.T, s sample) {
		if s.kind == constant {
			g, in := open(t, s.in)
			if checkpointed(s.f)(g, in).NeedsGrad() {
				t.Error("a constant came out asking for a gradient")
			}
			return
		}
		between := func(g graph, in []value) value {
			moved := make([]value, len(in))
			for i, v := range in {
				moved[i] = ad.Add(v, ad.Scale(ad.Square(v), 1e-3))
			}
			return ad.Tanh(ad.Scale(s.f(g, moved), 0.1))
		}
		for _, f := range []fn{s.f, between} {
			sameBits(t, f, checkpointed(f), s.in)
			gradcheck.Check(t, checkpointed(f), s.in)
		}
	})
}

// blocks is a small network of n blocks that share two parameters and a condition.
func blocks(n int, wrap func(g graph, f func() value) value) fn {
	return func(g graph, in []value) value {
		h, w, c := in[0], in[1], ad.Tanh(in[2])
		for range n {
			x := h
			h = wrap(g, func() value {
				a := ad.Tanh(ad.MatMul(x, w, false, false))
				b := ad.MatMul(ad.Mul(ad.Mul(a, c), c), w, false, true)
				a.Done()
				return ad.Add(b, ad.Scale(x, 0.7))
			})
			x.Done()
		}
		return h
	}
}

func plain(_ graph, f func() value) value         { return f() }
func tidy(g graph, f func() value) value          { return g.Tidy(f) }
func checkpointing(g graph, f func() value) value { return g.Checkpoint(f) }
func nestedCheckpoint(g graph, f func() value) value {
	return g.Checkpoint(func() value { return ad.Scale(g.Checkpoint(f), 1) })
}

func blockInputs() []input { return []input{normal(1, 3, 4), normal(2, 4, 5), normal(3, 3, 5)} }

// TestCheckpointedBlocks: what reaches the parameters that all blocks share is added up in the
// order of a pass without Checkpoint.
func TestCheckpointedBlocks(t *testing.T) {
	at := blockInputs()
	for _, wrap := range []func(graph, func() value) value{tidy, checkpointing} {
		sameBits(t, blocks(5, plain), blocks(5, wrap), at)
	}
	scaled := func(g graph, f func() value) value { return ad.Scale(f(), 1) }
	sameBits(t, blocks(3, scaled), blocks(3, nestedCheckpoint), at)
	gradcheck.Check(t, blocks(2, checkpointing), at)
	gradcheck.Check(t, blocks(2, nestedCheckpoint), at)
}

// TestCheckpointPenalty: the gradient of a gradient's norm through several blocks.
func TestCheckpointPenalty(t *testing.T) {
	penalty := func(wrap func(graph, func() value) value) fn {
		f := blocks(2, wrap)
		return func(g graph, in []value) value {
			d := ad.Grad(ad.Sum(ad.Square(f(g, in))), in[:1], ad.CreateGraph())[0]
			return ad.Add(ad.Sum(ad.Square(d)), ad.Sum(in[1]))
		}
	}
	gradcheck.Same(t, penalty(plain), penalty(checkpointing), blockInputs())
	gradcheck.Check(t, penalty(checkpointing), blockInputs(), gradcheck.Order(1))
}

// TestCheckpointHolds: of ten blocks of four tensors each, the inputs stay, and while the pass runs
// the inside of one.
func TestCheckpointHolds(t *testing.T) {
	const depth, inside = 10, 4
	m, g, x, used := metered(t)
	net := func(wrap func(graph, func() value) value) value {
		h := x
		for range depth {
			in := h
			h = wrap(g, func() value {
				v := in
				for range inside {
					v = ad.Tanh(v)
				}
				return v
			})
		}
		return ad.Sum(h)
	}
	y := net(checkpointing)
	expectUnits(t, "after the forward pass", used(), depth)
	m.peak = 0
	d := ad.Grad(y, []value{x})[0]
	expectUnits(t, "after the backward pass", used(), 1)
	// The block's inside, but for its result, which is there; dy and the temporaries of one VJP.
	expectUnits(t, "at the peak of the backward pass", float64(m.peak)/unit-1, depth+inside-1+4)
	near(t, "the gradient", d.Tensor().Floats()[3], ad.Grad(net(plain), []value{x})[0].Tensor().
		Floats()[3])
	d.Done()
}

// TestCheckpointForgetsTheOutput: a last op that does not read its output lets it go before the
// pass arrives.
func TestCheckpointForgetsTheOutput(t *testing.T) {
	_, g, x, used := metered(t)
	h := g.Checkpoint(func() value { return ad.Affine(ad.Tanh(x), 2, 1) })
	y := ad.Sum(h) // does not read h again
	h.Done()
	expectUnits(t, "after the forward pass", used(), 0)
	d := ad.Grad(y, []value{x})[0]
	th := math.Tanh(0.5)
	near(t, "the gradient", d.Tensor().Floats()[0], 2*(1-th*th))
}

func TestCheckpointComputesOnce(t *testing.T) {
	g, in := scalars(t, 0.3, 0.4)
	calls, replays, outside := 0, 0, 0
	var scale value
	f := func() value {
		calls++
		if g.Replaying() {
			replays++
		}
		if scale == nil {
			g.Outside(func() {
				outside++
				scale = ad.Exp(in[1])
			})
		}
		return ad.Tanh(ad.Mul(in[0], scale))
	}
	ops := g.Ops()
	y := g.Checkpoint(f)
	if calls != 1 || replays != 0 || g.Replaying() || g.Ops() != ops+3 {
		t.Fatalf("%d calls, %d of them replays, %d ops", calls, replays, g.Ops()-ops)
	}
	want := ad.Grad(ad.Tanh(ad.Mul(in[0], ad.Exp(in[1]))), in)
	for pass, option := range [][]ad.GradOption{{ad.Retain()}, {ad.CreateGraph()}, nil} {
		for i, d := range ad.Grad(y, in, option...) {
			near(t, "a gradient", d.Item(), want[i].Item())
		}
		if calls != pass+2 || replays != pass+1 || outside != 1 {
			t.Errorf("pass %d: %d calls, %d of them replays, %d times outside", pass, calls, replays,
				outside)
		}
	}
	refused(t, "Retain", func() { ad.Grad(y, in) })
	near(t, "scale, made outside", ad.Neg(scale.Keep()).Item(), -math.Exp(0.4))
}

func TestCheckpointCorners(t *testing.T) {
	g, in := scalars(t, 0.3)
	x := in[0]
	if g.Checkpoint(func() value { return x }) != x {
		t.Error("a function that returns what it was given made something of it")
	}
	c := g.Scalar(tensor.F64, 2)
	if y := g.Checkpoint(func() value { return ad.Exp(c) }); y.NeedsGrad() {
		t.Error("a constant asks for a gradient")
	}
	g.NoGrad(func() {
		if y := g.Checkpoint(func() value { return ad.Exp(x) }); y.NeedsGrad() {
			t.Error("NoGrad recorded a Checkpoint")
		}
	})
	detached := g.Checkpoint(func() value { return ad.Mul(x, ad.Exp(x.Detach())) })
	near(t, "beside a detached factor", ad.Grad(detached, in)[0].Item(), math.Exp(0.3))
	h := ad.Scale(x, 1)
	held := g.Checkpoint(func() value { return ad.Mul(ad.Exp(h), ad.Square(h.Detach())) })
	h.Done()
	near(t, "of an input its owner is done with", ad.Grad(held, in)[0].Item(), math.Exp(0.3)*0.09)
	k := ad.Scale(x, 1)
	given := g.Checkpoint(func() value {
		y := ad.Exp(ad.Square(k))
		k.Done()
		return ad.Scale(y, 2)
	})
	near(t, "of an input that f is done with", ad.Grad(given, in)[0].Item(), 1.2*math.Exp(0.09))
	refused(t, "was freed", func() { ad.Neg(k) })
	unread := g.Checkpoint(func() value { // its last op is not its result's
		y := ad.Exp(x)
		ad.Square(x)
		return y
	})
	near(t, "of a result in the middle", ad.Grad(unread, in)[0].Item(), math.Exp(0.3))
	inner := g.Checkpoint(func() value { // what MaxKeep saves goes with the Tidy
		return g.Tidy(func() value { return ad.MaxKeep(ad.Scale(x, 3)) })
	})
	near(t, "through a Tidy", ad.Grad(inner, in)[0].Item(), 3)
}

func TestCheckpointMisuse(t *testing.T) {
	g, in := scalars(t, 0.3)
	x := in[0]
	refused(t, "inside a Checkpoint", func() {
		g.Checkpoint(func() value { return ad.Grad(ad.Exp(x), in)[0] })
	})
	calls := 0
	changing := func(f ...func(value) value) func() value {
		calls = 0
		return func() value {
			calls++
			return f[min(calls, len(f))-1](x)
		}
	}
	for _, f := range []func(value) value{ad.Neg,
		func(x value) value { return ad.Square(ad.Exp(x)) },
		func(x value) value { return ad.Exp(ad.Reshape(x, 1)) }} {
		y := g.Checkpoint(changing(ad.Exp, f))
		refused(t, "the same every time", func() { ad.Grad(ad.Sum(y), in) })
	}
	h := ad.Scale(x, 2)
	last := g.Checkpoint(func() value { return ad.Tanh(h) })
	h = ad.Scale(x, 3)
	refused(t, "another value", func() { ad.Grad(last, in) })
	y := g.Checkpoint(func() value { return ad.Exp(ad.Neg(x)) })
	near(t, "after all of that", ad.Grad(y, in)[0].Item(), -math.Exp(-0.3))
	if g.Replaying() || !g.Recording() {
		t.Error("a refusal left the graph in the middle of a Checkpoint")
	}
}

// TestCheckpointLetsGo: of a value from before that f declares Done, where nothing is recorded.
func TestCheckpointLetsGo(t *testing.T) {
	g, _ := scalars(t)
	c := ad.Scale(g.Scalar(tensor.F64, 2), 3)
	y := g.Checkpoint(func() value {
		y := ad.Square(c)
		c.Done()
		return y
	})
	near(t, "the result", y.Item(), 36)
	refused(t, "was freed", func() { ad.Neg(c) })
}

// TestCheckpointOwnCotangent: the result may be the cotangent as well; it is read to the end.
func TestCheckpointOwnCotangent(t *testing.T) {
	g, in := scalars(t, 0.5)
	h := g.Checkpoint(func() value { return ad.Affine(ad.Tanh(in[0]), 2, 1) })
	d := ad.Grad(h, in, ad.WithCotangent(h))[0]
	th := math.Tanh(0.5)
	near(t, "the gradient", d.Item(), (2*th+1)*2*(1-th*th))
}
