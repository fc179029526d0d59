package onnx

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A channel shuffle between convolutions becomes one node without permutes around it, and so do
// three nodes that look like one where the Reshape cuts images as well: values and gradients of
// order 1 and 2 stay.
func TestChannelShuffle(t *testing.T) {
	for name, c := range map[string]struct{ cut, back []int64 }{
		"shuffle":      {[]int64{-1, 2, 3, 4, 4}, []int64{-1, 6, 4, 4}},
		"other images": {[]int64{-1, 2, 6, 4, 2}, []int64{-1, 12, 4, 2}},
	} {
		s := newSketch(17, []int{-1, 3, 4, 4})
		w := func(name string, shape ...int) string {
			return s.floats(name, shape, normals(name, tensor.Shape(shape).Size())...)
		}
		s.node("Conv", "c1", []string{"x0", w("w1", 6, 3, 1, 1)})
		s.node("Reshape", "cut", []string{"c1", s.longs("to", c.cut...)})
		s.node("Transpose", "swap", []string{"cut"}, ints("perm", 0, 2, 1, 3, 4))
		s.node("Reshape", "back", []string{"swap", s.longs("from", c.back...)})
		s.node("Conv", "y", []string{"back", w("w2", 2, int(c.back[1]), 1, 1)})
		m := s.model(t, "y")
		run := func(o Options) (values [3][]float64, count map[string]int) {
			o.DType, o.ChannelsLast = tensor.F64, true
			g := importIn(t, m, o)
			ag := autodiff.NewGraph(ref.New())
			defer ag.Close()
			x := ag.Leaf(tensor.FromSlice(ag.Scope(), normals("image", 2*4*4*3), 2, 4, 4, 3))
			y := eval(t, g, ag, []*autodiff.Value{x}, "y").Float().Keep()
			in := []*autodiff.Value{x}
			d := autodiff.Grad(autodiff.Sum(autodiff.Exp(y)), in, autodiff.CreateGraph())[0].Keep()
			dd := autodiff.Grad(autodiff.Sum(autodiff.Square(d)), in)[0]
			return [3][]float64{y.Tensor().Floats(), d.Tensor().Floats(), dd.Tensor().Floats()}, g.Count()
		}
		want, _ := run(Options{Plain: true})
		got, count := run(Options{})
		for i := range want {
			if d := apart(got[i], want[i]); !(d <= layoutTol) {
				t.Errorf("%s: order %d is %g away", name, i, d)
			}
		}
		if count["ChannelShuffle"] != 1 || count["Reshape"] != 0 || count["Transpose"] > 1 {
			t.Errorf("%s: nodes %v, expected one shuffle and a permute of the result", name, count)
		}
	}
}
