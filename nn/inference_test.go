package nn_test

import (
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A wide is a network of one layer of each kind whose weights an Inference keeps in another form,
// large enough to be given up: x [N 8 8 3] → [N 10].
type wide struct {
	first, plain, up, down *nn.Conv2D // spectrally normalised, with a norm behind it, joined
	norm                   *nn.BatchNorm2D
	last                   *nn.Linear
}

func newWide() *wide {
	conv := func(in, out int, spectral bool) *nn.Conv2D {
		return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: 3, Pad: 1, Spectral: spectral})
	}
	return &wide{conv(3, 96, true), conv(96, 96, false), conv(96, 96, true), conv(96, 96, true),
		nn.NewBatchNorm2D(96), nn.NewLinear(nn.LinearConfig{In: 96, Out: 10, Spectral: true})}
}

func (w *wide) Params() iter.Seq2[string, *nn.Param] {
	return nn.Join(nn.Prefixed("first", w.first), nn.Prefixed("plain", w.plain),
		nn.Prefixed("norm", w.norm), nn.Prefixed("up", w.up), nn.Prefixed("down", w.down),
		nn.Prefixed("last", w.last)).Params()
}

func (w *wide) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	h := nn.ConvNormReLU(c, w.plain, w.norm, w.first.ForwardReLU(c, x, nil), nil)
	h = w.down.ForwardPooled(c, w.up.ForwardUpsampled(c, h))
	return w.last.Forward(c, autodiff.GlobalSumPool(h))
}

// inferred is a network with its memory and its input.
type inferred struct {
	b  *cpu.Backend
	m  nn.Layer
	s  *tensor.Scope
	in map[int]*tensor.Tensor // by batch
}

// infer opens a backend and gives m memory on it, and images for batches of 1 and 3.
func infer(t *testing.T, m nn.Layer, size int, bf16 bool) inferred {
	b := cpu.Open(2)
	t.Cleanup(b.Close)
	if bf16 {
		if err := b.SetPrecision(tensor.BF16); err != nil {
			t.Skip(err)
		}
	}
	n := inferred{b, m, tensor.NewScope(b), map[int]*tensor.Tensor{}}
	t.Cleanup(n.s.Close)
	nn.Init(n.s, m, 1)
	for _, batch := range []int{1, 3} {
		x := make([]float32, batch*size*size*3)
		for i := range x {
			x[i] = float32(i%7) - 3
		}
		n.in[batch] = tensor.FromSlice(n.s, x, batch, size, size, 3)
	}
	return n
}

// alone is a pass of its own.
func (n inferred) alone(batch int) (y []float32) {
	g := autodiff.NewGraph(n.b)
	defer g.Close()
	g.NoGrad(func() {
		y = tensor.ToHost[float32](n.m.Forward(nn.NewCtx(g, nn.Eval), g.Const(n.in[batch])).Tensor())
	})
	return y
}

func networks(t *testing.T) map[string]func() (m nn.Layer, size int) {
	return map[string]func() (nn.Layer, int){
		"resnet20": func() (nn.Layer, int) {
			m, err := models.New("resnet20-cifar", models.Options{InputSize: 16, Classes: 10})
			if err != nil {
				t.Fatal(err)
			}
			return m, 16
		},
		"wide": func() (nn.Layer, int) { return newWide(), 8 },
	}
}

// TestInference: every pass of an Inference gives the bits of a pass of its own, whatever the batch
// of the one before it, and memory stops growing after the first of each; what an Inference owns is
// not there any more.
func TestInference(t *testing.T) {
	for name, build := range networks(t) {
		for what, bf16 := range map[string]bool{" f32": false, " bf16": true} {
			if testing.Short() && (bf16 || name != "wide") {
				continue
			}
			t.Run(name+what, func(t *testing.T) {
				m, size := build()
				n := infer(t, m, size, bf16)
				lent, owned := checkInference(t, n, false), checkInference(t, n, true)
				large := 0
				for _, p := range nn.List(m) {
					if bytes := 4 * p.Param.Shape.Size(); bytes >= 256<<10 {
						large += bytes
					}
				}
				if runtime.GOOS == "linux" && owned != lent-large {
					t.Errorf("%d bytes in use, and %d with %d bytes of large weights owned", lent, owned,
						large)
				}
			})
		}
	}
}

// checkInference returns the bytes in use after the passes.
func checkInference(t *testing.T, n inferred, own bool) int {
	t.Helper()
	want := map[int][]float32{1: n.alone(1), 3: n.alone(3)}
	i := nn.NewInference(n.b)
	defer i.Close()
	if own {
		i.Own(nn.List(n.m), func(p nn.Named) { nn.Redraw(p, 1) })
	}
	var kept int
	for pass, batch := range []int{3, 3, 1, 1, 3, 3, 1} {
		var got []float32
		i.Pass(func(c *nn.Ctx) {
			got = tensor.ToHost[float32](n.m.Forward(c, c.Graph.Const(n.in[batch])).Tensor())
		})
		if !slices.Equal(got, want[batch]) {
			t.Fatalf("pass %d, batch %d, differs from a pass of its own", pass, batch)
		}
		if inUse := n.b.Memory().InUse; pass == 2 {
			kept = inUse
		} else if pass > 2 && inUse != kept {
			t.Errorf("pass %d: %d bytes in use, %d before", pass, inUse, kept)
		}
	}
	i.Close()
	for batch, y := range want {
		if !slices.Equal(n.alone(batch), y) {
			t.Errorf("after Close, batch %d: the parameters are others", batch)
		}
	}
	return kept
}

// TestInferenceOwnsNoOthers: parameters that are written again with other values are an error of
// whoever reads them.
func TestInferenceOwnsNoOthers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nothing is given up here")
	}
	n := infer(t, newWide(), 8, false)
	i := nn.NewInference(n.b)
	defer i.Close()
	i.Own(nn.List(n.m), func(p nn.Named) { nn.Redraw(p, 2) })
	i.Pass(func(c *nn.Ctx) { n.m.Forward(c, c.Graph.Const(n.in[1])) })
	for range 2 {
		err := tensor.Try(func() { n.alone(1) })
		var e *tensor.Error
		if !errors.As(err, &e) || !strings.Contains(e.Reason, "gave other values") {
			t.Errorf("weights that came back as others: %v", err)
		}
	}
}

// TestRecord: gradients on an Inference's graph have the bits of those on a graph of their own, in
// every pass; from the second on no weights are computed, and Close leaves nothing behind.
func TestRecord(t *testing.T) {
	for name, build := range networks(t) {
		t.Run(name, func(t *testing.T) {
			m, size := build()
			n := infer(t, m, size, false)
			gradient := func(c *nn.Ctx) []float32 {
				x := c.Graph.Leaf(n.in[3])
				y := autodiff.Sum(autodiff.Square(m.Forward(c, x)))
				return tensor.ToHost[float32](autodiff.Grad(y, []*autodiff.Value{x})[0].Tensor())
			}
			g := autodiff.NewGraph(n.b)
			want := gradient(nn.NewCtx(g, nn.Eval))
			g.Close()
			before := n.b.Memory().InUse
			i := nn.NewInference(n.b)
			var ops []int
			for range 3 {
				i.Record(func(c *nn.Ctx) {
					was := c.Graph.Ops()
					if got := gradient(c); !slices.Equal(got, want) {
						t.Error("other gradients than on a graph of their own")
					}
					ops = append(ops, c.Graph.Ops()-was)
				})
			}
			i.Close()
			if ops[1] >= ops[0] || ops[2] != ops[1] {
				t.Errorf("%v operations a pass: expected fewer after the first", ops)
			}
			if after := n.b.Memory().InUse; after != before {
				t.Errorf("%d bytes left behind", after-before)
			}
		})
	}
}
