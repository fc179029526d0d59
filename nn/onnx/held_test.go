package onnx

import (
	"path/filepath"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// An uploads counts what is brought to the device.
type uploads struct {
	*cpu.Backend
	n int
}

func (u *uploads) Upload(dst tensor.Buffer, src []byte) {
	u.n++
	u.Backend.Upload(dst, src)
}

// TestBroughtOnce wants a classifier's second pass on images of one size to bring nothing to the
// device and to give the bytes of the first.
func TestBroughtOnce(t *testing.T) {
	host := cpu.Open(1)
	defer host.Close()
	files, err := filepath.Glob("testdata/*.onnx")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	brought := 0
	for _, f := range files {
		b := &uploads{Backend: host}
		s := tensor.NewScope(b)
		m, err := Open(f)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewClassifier(s, m, ClassifierOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x := s.New(tensor.F32, 3, c.InputSize(), c.InputSize(), c.Channels())
		b.Random(tensor.Normal, tensor.NewKey(1, f), x, s.Zeros(tensor.I32, 1))
		pass := func() ([]float64, int) {
			b.n = 0
			g := autodiff.NewGraph(b)
			defer g.Close()
			y := c.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
			return y, b.n
		}
		first, n := pass()
		brought += n
		again, n := pass()
		if n != 0 || !slices.Equal(again, first) {
			t.Errorf("%s: %d uploads in the second pass; the first's bytes: %v", f, n,
				slices.Equal(again, first))
		}
		s.Close()
	}
	if brought == 0 {
		t.Error("no network brought anything")
	}
}

// TestHeldIsBounded wants constants beyond the bound brought for their pass alone.
func TestHeldIsBounded(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	g := &Graph{dtype: tensor.F32}
	g.hold(s)
	ag := autodiff.NewGraph(b)
	defer ag.Close()
	c := &call{node: &node{}, run: &runner{graph: g, g: ag}}
	one := c.bring(tensor.F32, []float64{1, 2}, 2)
	if c.bring(tensor.F32, []float64{1, 2}, 2) != one {
		t.Error("brought twice")
	}
	for name, other := range map[string]*tensor.Tensor{
		"values": c.bring(tensor.F32, []float64{1, 3}, 2), "shape": c.bring(tensor.F32,
			[]float64{1, 2}, 1, 2), "dtype": c.bring(tensor.F64, []float64{1, 2}, 2)} {
		if other == one {
			t.Errorf("other %s: the same tensor", name)
		}
	}
	many := make([]float64, heldLimit-g.held.size+1)
	if c.bring(tensor.F32, many, len(many)) == c.bring(tensor.F32, many, len(many)) {
		t.Error("more than the bound was kept")
	}
}
