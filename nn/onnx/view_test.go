package onnx

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A copying backend counts what its kernels move.
type copying struct {
	*ref.Backend
	copies, permutes int
}

func (c *copying) CopyView(dst, src tensor.View) {
	c.copies++
	c.Backend.CopyView(dst, src)
}

func (c *copying) Permute(dst, x *tensor.Tensor, perm []int) {
	c.permutes++
	c.Backend.Permute(dst, x, perm)
}

// plain hides what a backend can do besides the contract.
type plain struct{ tensor.Backend }

// attentionOf is what exporters make of attention with two heads of 3: x0 [5 2 12] is turned, made
// into queries, keys and values, these cut and turned, and the result turned back.
func attentionOf(t *testing.T) *Model {
	s := newSketch(18, []int{5, 2, 4})
	s.node("Transpose", "first", []string{"x0"}, ints("perm", 1, 0, 2))
	s.node("MatMul", "qkv", []string{"first", s.floats("w", []int{4, 18}, normals("w", 72)...)})
	s.node("Reshape", "parts", []string{"qkv", s.longs("to parts", 2, 5, 3, 2, 3)})
	s.node("Transpose", "turned", []string{"parts"}, ints("perm", 2, 0, 3, 1, 4))
	for i, name := range []string{"q", "k", "v"} {
		s.node("Gather", name, []string{"turned", s.constant("i"+name, longScalar(int64(i)))},
			attrProto{name: "axis", i: 0})
	}
	s.node("Mul", "small q", []string{"q", s.floats("root", nil, 0.7)})
	s.node("Transpose", "kt", []string{"k"}, ints("perm", 0, 1, 3, 2))
	s.node("MatMul", "scores", []string{"small q", "kt"})
	s.node("Softmax", "p", []string{"scores"}, attrProto{name: "axis", i: -1})
	s.node("MatMul", "mixed", []string{"p", "v"})
	s.node("Transpose", "back", []string{"mixed"}, ints("perm", 0, 2, 1, 3))
	s.node("Reshape", "joined", []string{"back", s.longs("to tokens", 2, 5, 6)})
	s.node("Slice", "some", []string{"joined", s.longs("from", 1), s.longs("until", 5),
		s.longs("axes", 1), s.longs("step", 2)})
	s.node("Exp", "e1", []string{"some"})
	s.node("Tanh", "e2", []string{"some"})
	s.node("Add", "y", []string{"e1", "e2"})
	return s.model(t, "y", "kt")
}

func longScalar(v int64) *Array { return &Array{Elem: Int64, I: []int64{v}} }

// Values and gradients of order 1 and 2 are the same whether moves are layouts, or what a backend
// without views makes of them. Without gradients nothing is moved that is not read in order: x0 for
// the linear layer, the tokens that two read, and the keys since they are an output.
func TestViews(t *testing.T) {
	m := attentionOf(t)
	run := func(b tensor.Backend, o Options) (values [4][]float64) {
		o.DType = tensor.F64
		g := importIn(t, m, o)
		ag := autodiff.NewGraph(b)
		defer ag.Close()
		x := ag.Leaf(tensor.FromSlice(ag.Scope(), normals("image", 40), 5, 2, 4))
		out, err := g.Run(ag, map[string]*Value{"x0": Of(x)})
		if err != nil {
			t.Fatal(err)
		}
		y, keys, in := out["y"].Float().Keep(), out["kt"].Array().F, []*autodiff.Value{x}
		d := autodiff.Grad(autodiff.Sum(autodiff.Exp(y)), in, autodiff.CreateGraph())[0].Keep()
		dd := autodiff.Grad(autodiff.Sum(autodiff.Square(d)), in)[0]
		return [4][]float64{y.Tensor().Floats(), d.Tensor().Floats(), dd.Tensor().Floats(),
			keys}
	}
	want := run(plain{ref.New()}, Options{Plain: true})
	for name, got := range map[string][4][]float64{"views": run(ref.New(), Options{}),
		"none": run(plain{ref.New()}, Options{})} {
		for i := range want {
			if d := apart(got[i], want[i]); !(d <= layoutTol) {
				t.Errorf("%s: result %d is %g away", name, i, d)
			}
		}
	}
	b := &copying{Backend: ref.New()}
	g := importIn(t, m, Options{DType: tensor.F64})
	ag := autodiff.NewGraph(b)
	defer ag.Close()
	x := ag.Const(tensor.FromSlice(ag.Scope(), normals("image", 40), 5, 2, 4))
	if _, err := g.Run(ag, map[string]*Value{"x0": Of(x)}); err != nil {
		t.Fatal(err)
	}
	if b.copies != 3 || b.permutes != 0 {
		t.Errorf("%d copies and %d permutes, expected 3 and 0", b.copies, b.permutes)
	}
}

// Where a view has to be gathered after all nobody reads it on the host: the pass can be planned.
func TestViewsPlanned(t *testing.T) {
	s := newSketch(18, []int{5, 2, 4})
	s.node("Transpose", "turned", []string{"x0"}, ints("perm", 1, 0, 2))
	s.node("Reshape", "flat", []string{"turned", s.longs("to", 10, 4)}) // no layout of x0
	s.node("Exp", "y", []string{"flat"})
	g := importIn(t, s.model(t, "y"), Options{DType: tensor.F64})
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	x := ag.Const(tensor.FromSlice(ag.Scope(), normals("image", 40), 5, 2, 4))
	ag.NoGrad(func() {
		ys, p := ag.Plan(x, func() []*autodiff.Value {
			out, err := g.Run(ag, map[string]*Value{"x0": Of(x)})
			if err != nil {
				t.Fatal(err)
			}
			return []*autodiff.Value{out["y"].Float()}
		})
		if p == nil {
			t.Fatal("no plan")
		}
		want := ys[0].Tensor().Floats()
		if got := p.Run(x)[0].Tensor().Floats(); !slices.Equal(got, want) {
			t.Errorf("%v, expected %v", got, want)
		}
	})
}
