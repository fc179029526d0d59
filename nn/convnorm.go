package nn

import (
	"afterimage/autodiff"
	"afterimage/tensor"
)

// A convolution and the batch normalisation behind it. With running statistics the latter is a
// scale and a shift of each channel, which move into the convolution,
//
//	w′ = w·scale,  b′ = b·scale + shift,
//
// and what remains is one pass over memory, whose gradient needs none for the scale: an attack
// makes many such passes through one network. With batch statistics the two follow one another.

// ConvNorm returns bn(conv(x)).
func ConvNorm(c *Ctx, conv *Conv2D, bn *BatchNorm2D, x *autodiff.Value) *autodiff.Value {
	if !c.batchStatistics() {
		return conv.folded(c, bn, x, nil, false)
	}
	h := conv.Forward(c, x)
	y := bn.Forward(c, h)
	h.Done()
	return y
}

// ConvNormReLU returns max(bn(conv(x)) + res, 0), with res of the result's shape or nil.
func ConvNormReLU(c *Ctx, conv *Conv2D, bn *BatchNorm2D, x, res *autodiff.Value) *autodiff.Value {
	if !c.batchStatistics() {
		return conv.folded(c, bn, x, res, true)
	}
	h := conv.Forward(c, x)
	y := bn.ForwardReLU(c, h, res)
	h.Done()
	return y
}

// A convNormKey finds an Inference's folded weight, in dt, and bias in Derived.
type convNormKey struct {
	conv      *Conv2D
	bn        *BatchNorm2D
	dt        tensor.DType
	recording bool
}

type weightBias struct{ weight, bias *autodiff.Value }

// folded is the pass with bn's scale and shift inside the convolution. Outside of an Inference w′
// is computed for the call and gone after its last use: kept for a pass, the weights would be there
// twice.
func (l *Conv2D) folded(c *Ctx, bn *BatchNorm2D, x, res *autodiff.Value,
	relu bool) *autodiff.Value {
	if c.lasting {
		f := Derived(c, convNormKey{l, bn, x.DType(), c.Graph.Recording()}, func() weightBias {
			w := c.hoistWeight(func() *autodiff.Value { return l.foldedWeight(c, bn, x.DType()) },
				l.Weight)
			if l.Bias == nil {
				return weightBias{w, l.foldedBias(c, bn)}
			}
			return weightBias{w, c.hoist(l.foldedBias(c, bn))}
		})
		return autodiff.Conv2DBiasAct(x, f.weight, f.bias, res, relu, l.Attr)
	}
	w := l.foldedWeight(c, bn, x.DType())
	defer w.Done()
	return autodiff.Conv2DBiasAct(x, w, l.foldedBias(c, bn), res, relu, l.Attr)
}

// foldedWeight computes w′ in dt.
func (l *Conv2D) foldedWeight(c *Ctx, bn *BatchNorm2D, dt tensor.DType) *autodiff.Value {
	scale, _ := bn.Fold(c)
	w := effectiveWeight(c, l.Weight, l.Spectral, scale.DType())
	defer c.spent(w, l.Weight)
	return finished(autodiff.Mul(w, autodiff.Reshape(scale, scale.Dim(0), 1, 1, 1)), dt)
}

// foldedBias computes b′.
func (l *Conv2D) foldedBias(c *Ctx, bn *BatchNorm2D) *autodiff.Value {
	scale, shift := bn.Fold(c)
	if l.Bias == nil {
		return shift
	}
	return autodiff.Add(shift, autodiff.Mul(c.Value(l.Bias), scale))
}
