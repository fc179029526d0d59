package bench

import (
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// openPeak is the multiply-add peak of the backend's threads; its rate is the bound itself.
func openPeak(b *cpu.Backend, _ Spec) (job, error) {
	return job{peak: func() float64 { return Peak(b) }, close: func() {}}, nil
}

// openCopy copies args bytes, half of them read and half written.
func openCopy(b *cpu.Backend, s Spec) (job, error) {
	c := newCopier(b, s.Args["bytes"])
	return job{run: func() error { c.once(); return nil }, close: c.close}, nil
}

func openMatMul(b *cpu.Backend, s Spec) (job, error) {
	m, n, k := s.Args["m"], s.Args["n"], s.Args["k"]
	scope := tensor.NewScope(b)
	x, y, dst := draw(scope, "a", m, k), draw(scope, "b", k, n), scope.New(tensor.F32, m, n)
	p := tensor.MatMulParams{}
	if s.Args["transb"] == 1 {
		y, p.TransB = draw(scope, "b", n, k), true
	}
	return scoped(scope, func() { b.MatMul(dst, x, y, p) }), nil
}

// openConv is one of the three directions, in whatever form the backend chooses for the shape;
// without a number of groups there is one.
func openConv(b *cpu.Backend, s Spec) (job, error) {
	a, groups := s.Args, max(1, s.Args["groups"])
	scope := tensor.NewScope(b)
	p := tensor.ConvParams{StrideH: a["s"], StrideW: a["s"], PadTop: a["p"], PadLeft: a["p"],
		PadBottom: a["p"], PadRight: a["p"], DilH: 1, DilW: 1, Groups: groups}
	oh, ow := p.Out(a["h"], a["h"], a["k"], a["k"])
	x := draw(scope, "x", a["n"], a["h"], a["h"], a["c"])
	w := draw(scope, "w", a["o"], a["k"], a["k"], a["c"]/groups)
	y := draw(scope, "y", a["n"], oh, ow, a["o"])
	return scoped(scope, func() {
		switch s.Kind {
		case "conv-forward", "depthwise-forward":
			b.Conv2D(y, x, w, p)
		case "conv-input-grad", "depthwise-input-grad":
			b.Conv2DInputGrad(x, y, w, p)
		case "conv-weight-grad", "depthwise-weight-grad":
			b.Conv2DWeightGrad(w, x, y, p)
		}
	}), nil
}

// openElement is what touches every number once, on three activations.
func openElement(b *cpu.Backend, s Spec) (job, error) {
	n, h, c := s.Args["n"], s.Args["h"], s.Args["c"]
	scope := tensor.NewScope(b)
	x, y := draw(scope, "x", n, h, h, c), draw(scope, "y", n, h, h, c)
	w, sum := scope.Like(x), scope.New(tensor.F32, 1, 1, 1, c)
	return scoped(scope, func() {
		switch s.Kind {
		case "relu":
			b.Unary(tensor.ReLU, tensor.Attr{}, w, x)
		case "relu-grad":
			b.Binary(tensor.ReLUMask, w, x, y)
		case "add":
			b.Binary(tensor.Add, w, x, y)
		case "tanh":
			b.Unary(tensor.Tanh, tensor.Attr{}, w, x)
		case "bias-grad":
			b.Reduce(tensor.Sum, sum, x, []int{0, 1, 2})
		}
	}), nil
}

func openPool(b *cpu.Backend, s Spec) (job, error) {
	n, h, c := s.Args["n"], s.Args["h"], s.Args["c"]
	scope := tensor.NewScope(b)
	p := nn.Window(2, 2, 0)
	switch s.Kind {
	case "maxpool3s2":
		p = nn.Window(3, 2, 1)
	case "global-avgpool":
		p = nn.Window(h, h, 0)
	}
	oh, _ := p.Out(h, h)
	x, half := draw(scope, "x", n, h, h, c), draw(scope, "y", n, oh, oh, c)
	idx := scope.New(tensor.I32, n, oh, oh, c)
	if s.Kind == "maxpool2-grad" {
		b.MaxPool(half, idx, x, p) // the gradient goes where the maxima were
	}
	return scoped(scope, func() {
		switch s.Kind {
		case "avgpool2", "global-avgpool":
			b.AvgPool(half, x, p)
		case "avgpool2-grad":
			b.AvgPoolGrad(x, half, p)
		case "maxpool2", "maxpool3s2":
			b.MaxPool(half, idx, x, p)
		case "maxpool2-grad":
			b.PoolScatter(x, half, idx)
		case "upsample2":
			b.Upsample(x, half, 2)
		case "upsample2-grad":
			b.UpsampleGrad(half, x, 2)
		}
	}), nil
}

func openSoftmax(b *cpu.Backend, s Spec) (job, error) {
	scope := tensor.NewScope(b)
	x := draw(scope, "x", s.Args["n"], s.Args["c"])
	y := scope.Like(x)
	return scoped(scope, func() { b.Softmax(false, y, x) }), nil
}
