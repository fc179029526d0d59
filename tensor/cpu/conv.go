package cpu

import (
	"afterimage/tensor"
	"afterimage/tensor/cpu/conv"
	"afterimage/tensor/cpu/vec"
)

// shapeOf joins the extents of x [N H W C] and w [O KH KW C/groups] with the attributes.
func shapeOf(x, w tensor.Shape, p tensor.ConvParams) conv.Shape {
	return conv.Shape{N: x[0], H: x[1], W: x[2], C: x[3], O: w[0], KH: w[1], KW: w[2],
		StrideH: p.StrideH, StrideW: p.StrideW, PadTop: p.PadTop, PadLeft: p.PadLeft,
		PadBottom: p.PadBottom, PadRight: p.PadRight, DilH: p.DilH, DilW: p.DilW, Groups: p.Groups}
}

// A form is a way to compute a direction of a convolution.
type form uint8

const (
	direct form = iota
	winograd
	bf16
)

// form chooses by the shape alone, among what SetWinograd and SetPrecision allow.
func (b *Backend) form(s conv.Shape, d conv.Direction) form {
	few := b.winograd && s.Winograd(d)
	switch {
	case b.bf16 && s.BF16(d) && !(few && s.WinogradBeatsBF16(d)):
		return bf16
	case few:
		return winograd
	}
	return direct
}

// ConvFLOPs counts the operations of direction d of a convolution of x with w, which have these
// extents, in the form that b computes it in: conv.Shape.FLOPs or WinogradFLOPs.
func (b *Backend) ConvFLOPs(d conv.Direction, x, w tensor.Shape, p tensor.ConvParams) float64 {
	s := shapeOf(x, w, p)
	if b.form(s, d) == winograd {
		return s.WinogradFLOPs(d)
	}
	return s.FLOPs()
}

// Limits for joining convolutions with resampling, by measurement of 3×3 filters against Winograd's
// form with the pass that enlarges or averages: on 4×4 pixels the gradient of the weights takes
// three times as long, and Winograd's form gains with the channels, which the joined one does not.
const (
	joinedPixels   = 64
	joinedChannels = 96
)

// JoinsResampling is true from 64 pixels on, 8×8 or 4×16, where Winograd's form is used up to 96
// channels; see tensor.Resampler.
func (b *Backend) JoinsResampling(h, w, in, out int) bool {
	return h*w >= joinedPixels && (!b.winograd || b.bf16 || max(in, out) <= joinedChannels)
}

// Conv2D is the forward convolution; see tensor.Backend.
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	b.Conv2DBiasAct(y, x, w, nil, nil, false, p)
}

// Conv2DBiasAct is the forward convolution with an epilogue; see tensor.Backend.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	if !f32(y, x, w, bias, res) || x.Size() == 0 || w.Size() == 0 {
		b.ref.Conv2DBiasAct(y, x, w, bias, res, relu, p)
		return
	}
	s := shapeOf(x.Shape(), w.Shape(), p)
	filter, kept := weights(w)
	e := conv.Epilogue{Bias: host(bias), Res: host(res), ReLU: relu, Kept: kept}
	switch b.form(s, conv.DirForward) {
	case bf16:
		s.ForwardBF16(b.pool, host(y), host(x), filter, e)
	case winograd:
		s.ForwardWinograd(b.pool, host(y), host(x), filter, e)
	default:
		s.Forward(b.pool, host(y), host(x), filter, e)
	}
	spent(w)
}

// Conv2DChain is the forward convolution with a chain behind it, at the store where the direct form
// computes it; see tensor.ConvChainer.
func (b *Backend) Conv2DChain(y, x, w, bias, res *tensor.Tensor, p tensor.ConvParams, gate bool,
	steps ...tensor.UnaryStep) {
	s := shapeOf(x.Shape(), w.Shape(), p)
	var e conv.Epilogue
	if !end(&e, gate, steps) || !f32(y, x, w, bias, res) || x.Size() == 0 || w.Size() == 0 ||
		b.form(s, conv.DirForward) != direct {
		b.Conv2DBiasAct(y, x, w, bias, res, false, p)
		b.UnaryChain(y, y, gate, steps...)
		return
	}
	filter, kept := weights(w)
	e.Bias, e.Res, e.Kept = host(bias), host(res), kept
	s.Forward(b.pool, host(y), host(x), filter, e)
	spent(w)
}

// Conv2DPlace is the forward convolution into some of y's channels; see tensor.ConvPlacer. Forms
// that cannot write there make a tensor of their own first.
func (b *Backend) Conv2DPlace(y *tensor.Tensor, at int, x, w, bias *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	s := shapeOf(x.Shape(), w.Shape(), p)
	form := b.form(s, conv.DirForward)
	if !f32(y, x, w, bias) || x.Size() == 0 || w.Size() == 0 || y.Size() == 0 || form == bf16 ||
		form == direct && !s.Places() {
		b.placeCopy(y, at, x, w, bias, relu, p)
		return
	}
	filter, kept := weights(w)
	e := conv.Epilogue{Bias: host(bias), ReLU: relu, Kept: kept, Pitch: y.Dim(3)}
	if form == winograd {
		s.ForwardWinograd(b.pool, host(y)[at:], host(x), filter, e)
	} else {
		s.Forward(b.pool, host(y)[at:], host(x), filter, e)
	}
	spent(w)
}

// placeCopy is Conv2DPlace by way of a copy.
func (b *Backend) placeCopy(y *tensor.Tensor, at int, x, w, bias *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	scope := tensor.NewScope(b)
	defer scope.Close()
	size := append(y.Shape()[:3].Clone(), w.Dim(0))
	part := scope.New(y.DType(), size...)
	b.Conv2DBiasAct(part, x, w, bias, nil, relu, p)
	zero, one := make([]int, 4), []int{1, 1, 1, 1}
	b.CopyRegion(y, part, tensor.Region{DstStart: []int{0, 0, 0, at}, DstStep: one, SrcStart: zero,
		SrcStep: one, Size: size})
}

// end gives an epilogue a chain, and reports whether it can: of chains without a loop of their own
// each run of numbers would ask for scratch memory.
func end(e *conv.Epilogue, gate bool, steps []tensor.UnaryStep) bool {
	if s := steps[0]; len(steps) == 1 && !gate && s.Op == tensor.Clamp {
		e.Clamp = &[2]float32{float32(s.Attr.A), float32(s.Attr.B)}
		return true
	}
	if hardSwish(gate, steps) {
		a, b := float32(steps[0].Attr.A), float32(steps[0].Attr.B)
		e.Then = func(y []float32, n, count, step int) { vec.HardSwishRows(y, n, count, step, a, b) }
		return true
	}
	loop := joined(gate, steps)
	if loop == nil {
		return false
	}
	e.Then = func(y []float32, n, count, step int) {
		for r := range count {
			row := y[r*step:][:n]
			loop(row, row)
		}
	}
	return true
}

// Conv2DInputGrad is the adjoint in x; see tensor.Backend.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	if !f32(dx, dy, w) || dy.Size() == 0 || w.Size() == 0 || dx.Size() == 0 {
		b.ref.Conv2DInputGrad(dx, dy, w, p)
		return
	}
	s := shapeOf(dx.Shape(), w.Shape(), p)
	form := b.form(s, conv.DirInputGrad)
	if form == winograd {
		s.InputGradWinograd(b.pool, host(dx), host(dy), host(w))
		return
	}
	filter, kept := weights(w)
	if form == bf16 {
		s.InputGradBF16(b.pool, host(dx), host(dy), filter, kept)
	} else {
		s.InputGrad(b.pool, host(dx), host(dy), filter, kept)
	}
	spent(w)
}

// Conv2DWeightGrad is the adjoint in w; see tensor.Backend.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	if !f32(dw, x, dy) || x.Size() == 0 || dw.Size() == 0 || dy.Size() == 0 {
		b.ref.Conv2DWeightGrad(dw, x, dy, p)
		return
	}
	s := shapeOf(x.Shape(), dw.Shape(), p)
	switch b.form(s, conv.DirWeightGrad) {
	case bf16:
		s.WeightGradBF16(b.pool, host(dw), host(x), host(dy))
	case winograd:
		s.WeightGradWinograd(b.pool, host(dw), host(x), host(dy))
	default:
		s.WeightGrad(b.pool, host(dw), host(x), host(dy))
	}
}
