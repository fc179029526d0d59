package gan

import (
	"math"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// A Condition is what of the classifier's answer the generator and the discriminator are told. The
// three are rungs of a ladder: a label, the logits, the features the logits are computed from.
type Condition string

// The conditions.
const (
	Label    Condition = "label"    // one-hot of the predicted class: the lower rung, the control
	Logits   Condition = "logits"   // the paper's: un-normalised logits
	Features Condition = "features" // penultimate activations: the upper rung
)

// A Conditioner turns images into condition vectors with a frozen classifier in evaluation mode.
//
// Logits and features may be standardised per dimension, y = (z − Mean)/Std, by their moments over
// the training images, so that classifiers with logits of different sizes train their inverters at
// the same speed; Raw leaves them as they are.
type Conditioner struct {
	Model     Classifier
	Kind      Condition
	Mean, Std *nn.Param // [Dim]; 0 and 1 when raw
}

// NewConditioner returns a conditioner whose Mean and Std have no memory yet: nn.Init gives them 0
// and 1, so that it does not standardise until Standardise is called. It returns an error for an
// unknown kind, and for features of a classifier that has none.
func NewConditioner(m Classifier, kind Condition) (*Conditioner, error) {
	c := &Conditioner{Model: m, Kind: kind}
	if kind != Label && kind != Logits && kind != Features {
		return nil, tensor.Refuse("gan: condition %q: expected label, logits or features", kind)
	}
	d := c.Dim()
	if d == 0 {
		return nil, tensor.Refuse("gan: condition %q: %s has no features: its logits are not made by a "+
			"linear layer from one vector an image; use logits or label", kind, m.Arch())
	}
	c.Mean = &nn.Param{Shape: tensor.Shape{d}, Init: nn.Constant(0), Buffer: true}
	c.Std = &nn.Param{Shape: tensor.Shape{d}, Init: nn.Constant(1), Buffer: true}
	return c, nil
}

// Dim returns the width of a condition vector.
func (c *Conditioner) Dim() int {
	if c.Kind == Features {
		return c.Model.FeatureDim()
	}
	return c.Model.Classes()
}

// State lists the standardisation, to be saved with the generator.
func (c *Conditioner) State() nn.Params {
	return nn.Params{{Name: "condition.mean", Param: c.Mean}, {Name: "condition.std", Param: c.Std}}
}

// An Answer is what the classifier says of a batch.
type Answer struct {
	Cond     *tensor.Tensor // [N Dim], standardised
	Logits   *tensor.Tensor // [N K], raw
	Features *tensor.Tensor // [N F], raw; nil if the classifier has none
}

// Ask runs the classifier on x [N H W C] in [0, 1]. The result lives in s.
func (c *Conditioner) Ask(s *tensor.Scope, x *tensor.Tensor) (a Answer) {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	g.NoGrad(func() { a = c.answer(nn.NewCtx(g, nn.Eval), s, x) })
	return a
}

// AskWith is Ask with an Inference of the classifier: from the second call on what layers derive
// from weights is not computed again.
func (c *Conditioner) AskWith(i *nn.Inference, s *tensor.Scope, x *tensor.Tensor) (a Answer) {
	i.Pass(func(ctx *nn.Ctx) { a = c.answer(ctx, s, x) })
	return a
}

// answer asks the classifier in ctx, the result in s.
func (c *Conditioner) answer(ctx *nn.Ctx, s *tensor.Scope, x *tensor.Tensor) (a Answer) {
	g := ctx.Graph
	f, z := c.Model.Features(ctx, g.Const(x))
	if a.Logits = clone(s, z.Tensor()); f != nil {
		a.Features = clone(s, f.Tensor())
	}
	a.Cond = clone(s, c.Of(g, z, f).Tensor())
	return a
}

// Of returns the condition for given logits [N K] and features [N F], as a value of g; features may
// be nil unless they are the condition. Experiments that change logits enter here.
func (c *Conditioner) Of(g *autodiff.Graph, logits, features *autodiff.Value) *autodiff.Value {
	var y *autodiff.Value
	switch c.Kind {
	case Label:
		idx := g.Scope().New(tensor.I32, logits.Dim(0))
		g.Backend().ArgMax(idx, logits.Tensor())
		return autodiff.OneHot(g, idx, logits.Dim(1), logits.DType())
	case Features:
		y = features
	default:
		y = logits
	}
	return autodiff.Div(autodiff.Sub(y, g.Const(c.Mean.T)), g.Const(c.Std.T))
}

// flatSpread is the standard deviation below which a dimension counts as never changing: logits
// vary by tenths, features that are dead by nothing but rounding.
const flatSpread = 1e-6

// Standardise sets Mean and Std to the condition's mean and population standard deviation over ds,
// which it passes to the classifier batch images at a time, unaugmented. A dimension that never
// changes keeps Std 1. Labels are left as they are.
func (c *Conditioner) Standardise(s *tensor.Scope, ds data.Dataset, batch int) {
	if c.Kind == Label {
		return
	}
	d := c.Dim()
	sum, sq := make([]float64, d), make([]float64, d)
	for _, b := range data.Eval(ds, batch, data.Unit) {
		inner := tensor.NewScope(s.Backend())
		a := c.Ask(inner, tensor.FromSlice(inner, b.X, b.Shape()...))
		z := a.Logits
		if c.Kind == Features {
			z = a.Features
		}
		for i, v := range z.Floats() {
			sum[i%d] += v
			sq[i%d] += v * v
		}
		inner.Close()
	}
	n := float64(ds.Len())
	for i := range sum {
		sum[i] /= n
		if sq[i] = math.Sqrt(max(sq[i]/n-sum[i]*sum[i], 0)); sq[i] < flatSpread {
			sq[i] = 1
		}
	}
	c.Mean.T.SetFloats(sum)
	c.Std.T.SetFloats(sq)
}

func clone(s *tensor.Scope, t *tensor.Tensor) *tensor.Tensor {
	y := s.Like(t)
	y.Assign(t)
	return y
}
