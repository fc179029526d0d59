package nn

import "afterimage/autodiff"

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

// A convNormKey finds a pass's folded weight and bias in Derived.
type convNormKey struct {
	conv      *Conv2D
	bn        *BatchNorm2D
	recording bool
}

type weightBias struct{ weight, bias *autodiff.Value }

// folded is the pass with bn's scale and shift inside the convolution.
func (l *Conv2D) folded(c *Ctx, bn *BatchNorm2D, x, res *autodiff.Value,
	relu bool) *autodiff.Value {
	f := Derived(c, convNormKey{l, bn, c.Graph.Recording()}, func() weightBias {
		scale, shift := bn.Fold(c)
		each := autodiff.Reshape(scale, scale.Dim(0), 1, 1, 1)
		w := autodiff.Mul(effectiveWeight(c, l.Weight, l.Norm), each)
		if l.Bias != nil {
			shift = c.hoist(autodiff.Add(shift, autodiff.Mul(c.Value(l.Bias), scale)))
		}
		return weightBias{c.hoist(w), shift}
	})
	return autodiff.Conv2DBiasAct(x, f.weight, f.bias, res, relu, l.Attr)
}
