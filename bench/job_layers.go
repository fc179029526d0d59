package bench

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// layerJob runs f on a graph of its own each time: x is its input, learn what it learns. With grad
// the gradients of x and learn follow, from a cotangent of random numbers.
func layerJob(scope *tensor.Scope, x *tensor.Tensor, learn nn.Params, grad bool,
	f func(c *nn.Ctx, x *autodiff.Value) *autodiff.Value) job {
	b := scope.Backend()
	var dy *tensor.Tensor
	return scoped(scope, func() {
		g := autodiff.NewGraph(b)
		defer g.Close()
		c := nn.NewCtx(g, nn.Train, learn)
		if !grad {
			g.NoGrad(func() { f(c, g.Const(x)) })
			return
		}
		leaf := g.Leaf(x)
		y := f(c, leaf)
		if dy == nil {
			dy = draw(scope, "dy", y.Shape()...)
		}
		autodiff.Grad(y, append([]*autodiff.Value{leaf}, c.Values(learn)...),
			autodiff.WithCotangent(g.Const(dy)))
	})
}

// openNorm is batch normalisation in training mode as nn has it, with ReLU and a residual input if
// args say so.
func openNorm(b *cpu.Backend, s Spec) (job, error) {
	n, h, c := s.Args["n"], s.Args["h"], s.Args["c"]
	scope := tensor.NewScope(b)
	l := nn.NewBatchNorm2D(c)
	nn.Init(scope, l, seed)
	x := draw(scope, "x", n, h, h, c)
	learn := nn.Trainable(l)
	res := &nn.Param{Shape: tensor.Shape{n, h, h, c}}
	if s.Args["add"] == 1 {
		res.T = draw(scope, "res", n, h, h, c)
		learn = append(learn, nn.Named{Name: "res", Param: res})
	}
	return layerJob(scope, x, learn, s.Args["grad"] == 1,
		func(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value {
			switch {
			case s.Args["add"] == 1:
				return l.ForwardReLU(ctx, x, ctx.Value(res))
			case s.Args["relu"] == 1:
				return l.ForwardReLU(ctx, x, nil)
			}
			return l.Forward(ctx, x)
		}), nil
}

// openCondNorm is BigGAN's conditional normalisation with ReLU: gain and shift of each sample from
// two spectrally normalised products, whose power iterations are made together, as in a generator.
func openCondNorm(b *cpu.Backend, s Spec) (job, error) {
	n, h, c, d := s.Args["n"], s.Args["h"], s.Args["c"], s.Args["cond"]
	scope := tensor.NewScope(b)
	l := nn.NewConditionalBatchNorm(nn.CondNormConfig{Channels: c, Cond: d, Spectral: true})
	nn.Init(scope, l, seed)
	x, cond := draw(scope, "x", n, h, h, c), draw(scope, "cond", n, d)
	return layerJob(scope, x, nn.Trainable(l), s.Args["grad"] == 1,
		func(ctx *nn.Ctx, x *autodiff.Value) *autodiff.Value {
			nn.PowerIterate(ctx, l)
			return l.ForwardReLU(ctx, x, ctx.Graph.Const(cond))
		}), nil
}

func openAttention(b *cpu.Backend, s Spec) (job, error) {
	n, h, c := s.Args["n"], s.Args["h"], s.Args["c"]
	scope := tensor.NewScope(b)
	l := nn.NewSelfAttention(c, 0, nil)
	nn.Init(scope, l, seed)
	return layerJob(scope, draw(scope, "x", n, h, h, c), nn.Trainable(l), s.Args["grad"] == 1,
		l.Forward), nil
}

// openCrossEntropy is a loss with its gradient.
func openCrossEntropy(b *cpu.Backend, s Spec) (job, error) {
	n, c := s.Args["n"], s.Args["c"]
	scope := tensor.NewScope(b)
	x := draw(scope, "x", n, c)
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i % c)
	}
	labels := tensor.FromSlice(scope, list, n)
	return scoped(scope, func() {
		g := autodiff.NewGraph(b)
		defer g.Close()
		leaf := g.Leaf(x)
		autodiff.Grad(loss.CrossEntropy(leaf, labels, 0), []*autodiff.Value{leaf})
	}), nil
}

// openOptimizer is one update of tensors of the given sizes.
func openOptimizer(b *cpu.Backend, s Spec) (job, error) {
	scope := tensor.NewScope(b)
	var params nn.Params
	var grads []*tensor.Tensor
	for i, n := range s.Lists["sizes"] {
		p := &nn.Param{Shape: tensor.Shape{n}, T: draw(scope, "p", n)}
		params = append(params, nn.Named{Name: fmt.Sprintf("p%d", i), Param: p})
		grads = append(grads, draw(scope, "g", n))
	}
	var opt optim.Optimizer
	var ema *optim.EMA
	switch s.Kind {
	case "sgd":
		opt = optim.NewSGD(scope, params, optim.SGDConfig{Momentum: 0.9, WeightDecay: 5e-4})
	case "adam", "adam-ema":
		opt = optim.NewAdam(scope, params, optim.AdamConfig{Beta1: 0.5, Beta2: 0.999, Eps: 1e-8})
	}
	if s.Kind == "ema" || s.Kind == "adam-ema" {
		ema = optim.NewEMA(scope, params, optim.EMAConfig{Decay: 0.999})
	}
	t := 0
	return scoped(scope, func() {
		t++
		if opt != nil {
			g := autodiff.NewGraph(b)
			defer g.Close()
			values := make([]*autodiff.Value, len(grads))
			for i, d := range grads {
				values[i] = g.Const(d)
			}
			opt.Begin(t, 1e-6) // small: thousands of updates must leave numbers of ordinary size
			opt.Update(values)
		}
		if ema != nil {
			ema.Begin(t)
			ema.Update()
		}
	}), nil
}

// openSpectral makes the power iteration and the quotient of every matrix of a network.
func openSpectral(b *cpu.Backend, s Spec) (job, error) {
	scope := tensor.NewScope(b)
	var norms []*nn.SpectralNorm
	var buffers nn.Params // whose vectors u lead to the norms
	for i, rows := range s.Lists["rows"] {
		cols := s.Lists["cols"][i]
		w := &nn.Param{Shape: tensor.Shape{rows, cols}, T: draw(scope, "w", rows, cols)}
		n := nn.NewSpectralNorm(w, 0)
		n.U.T = draw(scope, "u", rows)
		norms, buffers = append(norms, n), append(buffers, nn.Named{Param: n.U})
	}
	return scoped(scope, func() {
		g := autodiff.NewGraph(b)
		defer g.Close()
		u := nn.NewUpdates(b)
		g.NoGrad(func() {
			c := nn.NewCtx(g, nn.Train)
			c.Updates = u
			nn.PowerIterate(c, &buffers)
			for _, n := range norms {
				n.Weight(c)
			}
		})
		u.Apply()
	}), nil
}
