package nn

import (
	"afterimage/autodiff"
	"afterimage/tensor"
)

// A network in half the memory
//
// Where the backend asks for it (tensor.HalfKeeper) a network computes in BF16 between two places:
// Enter, in front of its first convolution, and Leave, behind its last block. In front are images
// and noise, behind are pooling, head and loss, all F32. Between them nobody decides anything: a
// layer computes in the dtype of what it is given, on its weights rounded to that, and numbers of a
// channel stay F32 (autodiff.Cast). Weights themselves, their gradients, running statistics, power
// iterations and averages are F32 throughout, so that a checkpoint is the same with and without.
//
// A weight is rounded once for a pass, however often the layer is called in it, and a joined or
// folded filter when it is finished. One that is trained keeps its rounded form from the first pass
// on, where the optimizer's kernel writes it along (KeepRounded): then no pass rounds it.

// Enter returns x as the pass keeps activations: an F32 x in BF16 where Activations says so, x
// itself elsewhere. It is the first thing that a network does.
func (c *Ctx) Enter(x *autodiff.Value) *autodiff.Value {
	if c.Activations != tensor.BF16 || x.DType() != tensor.F32 {
		return x
	}
	return autodiff.Cast(x, tensor.BF16)
}

// Leave returns a BF16 x in F32, any other itself: what a network does with its last activations.
func (c *Ctx) Leave(x *autodiff.Value) *autodiff.Value {
	if x.DType() != tensor.BF16 {
		return x
	}
	return autodiff.Cast(x, tensor.F32)
}

// A roundedWeight key finds a pass's weight in another dtype than its parameter's in Derived.
type roundedWeight struct {
	p         *Param
	dt        tensor.DType
	recording bool
}

// effectiveWeight returns the weight that a layer computes with in dt: the parameter or, with sn,
// its spectrally normalised form. Hand it to spent afterwards.
func effectiveWeight(c *Ctx, weight *Param, sn *SpectralNorm, dt tensor.DType) *autodiff.Value {
	switch p := c.Value(weight); {
	case p.DType() != dt:
		return c.derivedWeight(roundedWeight{weight, dt, c.Graph.Recording()}, weight,
			func() *autodiff.Value { return weightIn(c, weight, sn, dt) })
	case sn != nil:
		return sn.Weight(c)
	default:
		return p
	}
}

// weightIn computes the weight in another dtype than its parameter's.
func weightIn(c *Ctx, weight *Param, sn *SpectralNorm, dt tensor.DType) *autodiff.Value {
	if sn == nil {
		if c.learn[weight] {
			c.rounded = append(c.rounded, weight)
		}
		return autodiff.Cast(c.Value(weight), dt)
	}
	return sn.divided(c, dt) // not Weight, which would be kept as well
}

// KeepRounded makes the parameters of the pass that are learnt, and that layers computed with in
// BF16, keep that form from now on (tensor.KeepShadow). It allocates what outlives the pass.
func (c *Ctx) KeepRounded() {
	for _, p := range c.rounded {
		p.T.KeepShadow()
	}
}

// derivedWeight returns a weight that compute returns from p: one and the same for all calls where
// weights are kept, else a new one for each.
func (c *Ctx) derivedWeight(key any, p *Param, compute func() *autodiff.Value) *autodiff.Value {
	if !c.keeps() {
		return compute()
	}
	return Derived(c, key, func() *autodiff.Value { return c.hoistWeight(compute, p) })
}

// finished returns w in dt and gives w up if that is another value.
func finished(w *autodiff.Value, dt tensor.DType) *autodiff.Value {
	if w.DType() == dt {
		return w
	}
	defer w.Done()
	return autodiff.Cast(w, dt)
}
