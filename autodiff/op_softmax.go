package autodiff

import (
	"math"

	"afterimage/tensor"
)

// Softmax computes y = exp(x − max)/Σ along the last axis of x [… K]. VJP: dx = y·(dy − Σ dy·y).
// Panics if x has no axis.
func Softmax(x *Value) *Value {
	checkSoftmax("Softmax", x)
	return apply(softmaxOp{}, x)
}

type softmaxOp struct{}

func (softmaxOp) Name() string { return "Softmax" }
func (softmaxOp) Needs() Needs { return needsOut }

func (softmaxOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Like(in[0])
	s.Backend().Softmax(false, y, in[0])
	return y, nil
}

func (softmaxOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	y := n.Out()
	return []*Value{Mul(y, Sub(dy, SumKeep(Mul(dy, y), -1)))}
}

// LogSoftmax computes y = x − max − log Σ exp(x − max) along the last axis of x [… K].
// VJP: dx = dy − exp(y)·Σ dy. Panics if x has no axis.
func LogSoftmax(x *Value) *Value {
	checkSoftmax("LogSoftmax", x)
	return apply(logSoftmaxOp{}, x)
}

type logSoftmaxOp struct{}

func (logSoftmaxOp) Name() string { return "LogSoftmax" }
func (logSoftmaxOp) Needs() Needs { return needsOut }

func (logSoftmaxOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	y := s.Like(in[0])
	s.Backend().Softmax(true, y, in[0])
	return y, nil
}

func (logSoftmaxOp) VJP(n *Node, dy *Value, _ []bool) []*Value {
	return []*Value{Sub(dy, Mul(Exp(n.Out()), SumKeep(dy, -1)))}
}

func checkSoftmax(op string, x *Value) {
	floats(op, "x", x)
	if x.Rank() == 0 {
		misuse(op, "x has no axis", "x", x)
	}
}

// CrossEntropy computes, for each sample, loss[n] = −Σₖ target[n,k]·log softmax(logits)[n,k], with
// logits and target [N K]. The target is a distribution, one-hot or soft (label smoothing, mixup,
// distillation), and may itself want a gradient. A class that was masked out, its logit −Inf,
// counts nothing where target is 0, neither in the loss nor in a gradient; where it is not, the
// loss is +Inf. Panics if the shapes differ.
func CrossEntropy(logits, target *Value) *Value {
	floats("CrossEntropy", "logits target", logits, target)
	if logits.Rank() != 2 || !target.Shape().Equal(logits.Shape()) {
		misuse("CrossEntropy", "expected logits and target [N K]", "logits target", logits, target)
	}
	if _, ok := logits.graph.Backend().(tensor.LossFuser); ok {
		return apply(crossEntropyOp{}, logits, target)
	}
	return crossEntropy([]*Value{logits, target})
}

// crossEntropy is the definition.
func crossEntropy(in []*Value) *Value {
	return in[0].graph.compose(func() *Value {
		target, logp := in[1], LogSoftmax(in[0])
		masked := Mul(Equal(target, zeroOf(target)), Equal(logp, target.graph.Scalar(logp.DType(),
			math.Inf(-1))))
		return Neg(Sum(Mul(target, Where(masked, zeroOf(logp), logp)), 1))
	})
}

// crossEntropyOp is the kernel, which saves the log-softmax. The target's gradient and gradients of
// gradients are the definition's.
type crossEntropyOp struct{}

func (crossEntropyOp) Name() string { return "CrossEntropy" }
func (crossEntropyOp) Needs() Needs { return Needs{All: true} }

func (crossEntropyOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	loss, logp := s.New(in[0].DType(), in[0].Dim(0)), s.Like(in[0])
	s.Backend().(tensor.LossFuser).CrossEntropy(loss, logp, in[0], in[1])
	return loss, tensors{logp}
}

func (o crossEntropyOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if n.HigherOrder() || need[1] {
		return compositeVJP(n.in, dy, need, crossEntropy)
	}
	g := n.Graph()
	dx := g.newValue(g.scope.New(dy.DType(), n.In(0).Shape()...), o.Name())
	g.Backend().(tensor.LossFuser).CrossEntropyGrad(dx.t, dy.Tensor(), n.Saved(0).Tensor(),
		n.In(1).Tensor())
	return []*Value{dx, nil}
}
