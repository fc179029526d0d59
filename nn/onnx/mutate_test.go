package onnx

import (
	"os"
	"path/filepath"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/figures"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Operator cases with random attributes, missing operands and inputs of other shapes and values are
// errors of Import or Run, or results: operators check what they are given, and nothing panics.
func TestDamagedGraphsDoNotPanic(t *testing.T) {
	root := figures.Data(t, "no ONNX cases to damage")
	files, err := filepath.Glob(filepath.Join(root, "onnx", "*", "*", "model.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases below %s: %v", root, err)
	}
	const rounds = 3
	r := tensor.NewRNG(tensor.NewKey(1, "onnx/damage"), 0)
	ran, fine := 0, 0
	for range rounds {
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Decode(f, data)
			if err != nil {
				t.Fatal(err)
			}
			damage(r, m.proto.graph)
			inputs := damagedInputs(r, m.proto.graph)
			ran++
			if runDamaged(t, f, m, inputs) {
				fine++
			}
		}
	}
	if fine == 0 || fine == ran {
		t.Errorf("%d of %d damaged graphs ran: the damage is too strong or has no effect", fine, ran)
	}
}

// runDamaged reports whether a graph imports and runs; a panic fails the test.
func runDamaged(t *testing.T, file string, m *Model, inputs map[string]*Value) bool {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v", filepath.Base(filepath.Dir(file)), p)
		}
	}()
	s := tensor.NewScope(ref.New())
	defer s.Close()
	g, err := Import(s, m, Options{})
	if err != nil {
		return false
	}
	ag := autodiff.NewGraph(ref.New())
	defer ag.Close()
	_, err = g.Run(ag, inputs)
	return err == nil
}

// damage changes attributes of nodes and drops operands.
func damage(r *tensor.RNG, g *graphProto) {
	for _, n := range g.nodes {
		for i := range n.attrs {
			a := &n.attrs[i]
			if r.IntN(3) > 0 {
				continue
			}
			switch k := r.IntN(3); {
			case len(a.ints) > 0 && k == 0:
				a.ints[r.IntN(len(a.ints))] = int64(r.IntN(9) - 3)
			case len(a.ints) > 0 && k == 1:
				a.ints = a.ints[:r.IntN(len(a.ints)+1)]
			case len(a.ints) > 0:
				a.ints = append(a.ints, int64(r.IntN(4)))
			case a.t == nil && a.s == "":
				a.i = int64(r.IntN(12) - 4)
			}
		}
		if len(n.in) > 0 && r.IntN(4) == 0 {
			n.in[r.IntN(len(n.in))] = ""
		}
	}
}

// damagedInputs returns random inputs, often of other extents and ranks than the graph declares,
// and makes the graph accept them.
func damagedInputs(r *tensor.RNG, g *graphProto) map[string]*Value {
	in := map[string]*Value{}
	for i := range g.inputs {
		v := &g.inputs[i]
		shape := append([]int{}, v.shape...)
		for k := range shape {
			if shape[k] < 0 || r.IntN(5) == 0 {
				shape[k] = r.IntN(5)
			}
		}
		switch k := r.IntN(8); {
		case k == 0:
			shape = append(shape, 1+r.IntN(3))
		case k == 1 && len(shape) > 0:
			shape = shape[1:]
		}
		v.shape = nil
		a := newArray(v.elem, shape...)
		for k := range a.I {
			a.I[k] = v.elem.wrap(int64(r.IntN(7) - 2))
		}
		for k := range a.F {
			a.F[k] = r.Normal()
		}
		in[v.name] = Host(a)
	}
	return in
}
