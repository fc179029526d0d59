//go:build linux && amd64 && cgo

package cuda

import (
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/onnx"
	"afterimage/tensor"
)

// TestRecordNetworks wants a pass and its gradient recorded of networks that need numbers of the
// host's in between, once it has run call by call, and the same bytes replayed: imported ones, and
// a generator that puts zeros between pixels.
func TestRecordNetworks(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	for _, file := range []string{"decoder", "residual", "transformer"} {
		m, err := onnx.Open("../nn/onnx/testdata/" + file + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		c, err := onnx.NewClassifier(s, m, onnx.ClassifierOptions{})
		if err != nil {
			t.Fatal(err)
		}
		size := c.InputSize()
		replaysPass(t, b, s, file, []int{1, size, size, 3},
			func(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value { return c.Forward(ctx, x) })
	}
	cfg := gan.Slim32(1, 4)
	cfg.Upsample = "zero"
	g := gan.NewGenerator(cfg)
	nn.Init(s, g, 1)
	replaysPass(t, b, s, "generator", []int{2, cfg.ZDim},
		func(ctx *nn.Ctx, z *autodiff.Value) *autodiff.Value {
			return g.Forward(ctx, z, ctx.Graph.Zeros(tensor.F32, 2, cfg.Cond))
		})
}

// replaysPass is TestRecordNetworks for one network on an input of a shape.
func replaysPass(t *testing.T, b *Backend, s *tensor.Scope, name string, shape []int,
	forward func(*nn.Ctx, *autodiff.Value) *autodiff.Value,
) {
	t.Helper()
	x, dx := s.New(tensor.F32, shape...), s.New(tensor.F32, shape...)
	b.Random(tensor.Normal, tensor.NewKey(1, name), x, s.Zeros(tensor.I32, 1))
	work := func() {
		g := autodiff.NewGraph(b)
		defer g.Close()
		in := g.Leaf(x)
		y := autodiff.Sum(autodiff.Square(forward(nn.NewCtx(g, nn.Train), in)))
		dx.Assign(autodiff.Grad(y, []*autodiff.Value{in})[0].Tensor())
	}
	work()
	want := dx.Floats()
	b.Fill(dx, 0)
	r, err := b.Record(work)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer r.Close()
	t.Logf("%s: %d launches and copies", name, r.Nodes())
	if r.Replay(); !slices.Equal(dx.Floats(), want) || want[0] == 0 {
		t.Errorf("%s: other bytes replayed than call by call", name)
	}
}
