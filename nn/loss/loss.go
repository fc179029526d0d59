package loss

import (
	"fmt"
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// Targets returns the rows (1−smoothing)·onehot(label) + smoothing/K, [N K], of logits' dtype: the
// smoothed mass falls on the true class too. labels is I32 [N], smoothing in [0, 1). A label
// outside [0, K) has no one-hot row: its onehot is 0.
//
// Panics unless logits are [N K], labels I32 [N] and smoothing is in its range. Labels are not
// read, as they lie on the device; PyTorch refuses one outside [0, K).
//
// Source: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.
func Targets(logits *autodiff.Value, labels *tensor.Tensor, smoothing float64) *autodiff.Value {
	check("Targets", logits, labels)
	if !(smoothing >= 0 && smoothing < 1) {
		panic(&tensor.Error{Op: "Targets",
			Operands: []tensor.Operand{tensor.Describe("logits", logits.Tensor())},
			Reason:   fmt.Sprintf("smoothing must be in [0, 1), got %g", smoothing)})
	}
	k := logits.Dim(1)
	t := autodiff.OneHot(logits.Graph(), labels, k, logits.DType())
	if smoothing == 0 {
		return t
	}
	return autodiff.Affine(t, 1-smoothing, smoothing/float64(k))
}

// EachCrossEntropy returns −Σ target·log softmax(logits) for each row, [N], never negative; logits
// are [N K], labels I32 [N], and target is that of Targets, under its conditions. Without smoothing
// a label outside [0, K) thus has loss and gradient 0. A logit may be −Inf, which takes its class
// out; see autodiff.CrossEntropy.
func EachCrossEntropy(logits *autodiff.Value, labels *tensor.Tensor,
	smoothing float64) *autodiff.Value {
	return autodiff.CrossEntropy(logits, Targets(logits, labels, smoothing))
}

// CrossEntropy returns the mean of EachCrossEntropy over the batch, [].
func CrossEntropy(logits *autodiff.Value, labels *tensor.Tensor,
	smoothing float64) *autodiff.Value {
	return autodiff.Mean(EachCrossEntropy(logits, labels, smoothing))
}

// SoftCrossEntropy returns the mean cross-entropy for target rows [N K], as mixup makes them. Its
// gradient is (softmax·Σtarget − target)/N.
func SoftCrossEntropy(logits, target *autodiff.Value) *autodiff.Value {
	return autodiff.Mean(autodiff.CrossEntropy(logits, target))
}

// MSE returns the mean of (x − y)² over all elements, []. Shapes are broadcast.
func MSE(x, y *autodiff.Value) *autodiff.Value {
	return autodiff.Mean(autodiff.Square(autodiff.Sub(x, y)))
}

// L1 returns the mean of |x − y| over all elements, []; its derivative is 0 where they are equal.
// Shapes are broadcast.
func L1(x, y *autodiff.Value) *autodiff.Value {
	return autodiff.Mean(autodiff.Abs(autodiff.Sub(x, y)))
}

// HingeDiscriminator returns mean max(1 − real, 0) + mean max(1 + fake, 0) for a discriminator's
// outputs on real and generated images, [N] each; the result is [], never negative. A score beyond
// its margin, or exactly on it, gets no gradient.
//
// Source: Lim and Ye, "Geometric GAN", 2017; Miyato et al., ICLR 2018.
func HingeDiscriminator(real, fake *autodiff.Value) *autodiff.Value {
	onReal := autodiff.Mean(autodiff.ReLU(autodiff.Affine(real, -1, 1)))
	onFake := autodiff.Mean(autodiff.ReLU(autodiff.AddScalar(fake, 1)))
	return autodiff.Add(onReal, onFake)
}

// HingeGenerator returns −mean fake, [], what a generator minimises against HingeDiscriminator. It
// is linear: a generator is never told that it has done enough.
func HingeGenerator(fake *autodiff.Value) *autodiff.Value {
	return autodiff.Scale(autodiff.Mean(fake), -1)
}

// EachKL returns KL(softmax p ‖ softmax q) = Σ softmax(p)·(log softmax p − log softmax q) for each
// row of two logit matrices [N K]: [N], never negative but for rounding. Both get gradients. A
// class that p's logit −Inf takes out counts nothing; one that only q's takes out makes it +Inf.
// It is the regulariser of TRADES.
//
// Source: Zhang et al., "Theoretically principled trade-off between robustness and accuracy",
// ICML 2019.
func EachKL(p, q *autodiff.Value) *autodiff.Value {
	logp, logq := autodiff.LogSoftmax(p), autodiff.LogSoftmax(q)
	zero := zeroLike(p)
	out := autodiff.Equal(logp, p.Graph().Scalar(p.DType(), math.Inf(-1)))
	diff := autodiff.Sub(autodiff.Where(out, zero, logp), autodiff.Where(out, zero, logq))
	return autodiff.Sum(autodiff.Mul(autodiff.Softmax(p), diff), 1)
}

// EachMargin returns max_{i≠y} zᵢ − z_y for each row, [N]: positive where the row is misclassified.
// Attacks maximise it. The first maximum wins and gets the whole gradient. A logit may be −Inf: it
// is no other's maximum, and as z_y makes the margin +Inf. logits are [N K] with K ≥ 2, labels
// I32 [N]; panics on other shapes.
//
// Source: Carlini and Wagner, "Towards evaluating the robustness of neural networks", S&P 2017.
func EachMargin(logits *autodiff.Value, labels *tensor.Tensor) *autodiff.Value {
	check("EachMargin", logits, labels)
	t := target(logits, labels)
	other := pick(logits, largest(logits, t))
	return autodiff.Sub(other, pick(logits, t))
}

// EachDLR returns −(z_y − max_{i≠y} zᵢ)/(z₍₁₎ − z₍₃₎ + 1e-12) for each row, [N], with z₍ₖ₎ the k-th
// largest logit: a margin that does not change when logits are scaled. A logit may be −Inf as in
// EachMargin; a row with fewer than three others has none to scale by, and DLR 0 if z_y is one of
// them. Panics with fewer than 3 classes, and on shapes as EachMargin does.
//
// Source: Croce and Hein, AutoAttack, ICML 2020, equation 6.
func EachDLR(logits *autodiff.Value, labels *tensor.Tensor) *autodiff.Value {
	check("EachDLR", logits, labels)
	if logits.Dim(1) < 3 {
		panic(&tensor.Error{Op: "EachDLR",
			Operands: []tensor.Operand{tensor.Describe("logits", logits.Tensor())},
			Reason:   "needs at least 3 classes"})
	}
	first := largest(logits)
	third := largest(logits, first, largest(logits, first))
	spread := autodiff.AddScalar(autodiff.Sub(pick(logits, first), pick(logits, third)), dlrGuard)
	return autodiff.Div(EachMargin(logits, labels), spread)
}

// dlrGuard is the reference implementation's guard against three equal logits.
const dlrGuard = 1e-12

// target returns the one-hot rows of labels.
func target(logits *autodiff.Value, labels *tensor.Tensor) *autodiff.Value {
	return autodiff.OneHot(logits.Graph(), labels, logits.Dim(1), logits.DType())
}

// pick returns the logit of each row that a one-hot mask names; a product with the mask would make
// NaN of the others' infinities.
func pick(logits, mask *autodiff.Value) *autodiff.Value {
	return autodiff.Sum(autodiff.Where(mask, logits, zeroLike(logits)), 1)
}

// zeroLike returns the constant 0 of x's dtype.
func zeroLike(x *autodiff.Value) *autodiff.Value { return x.Graph().Scalar(x.DType(), 0) }

// largest returns the one-hot rows of the largest logit outside the given one-hot masks.
func largest(logits *autodiff.Value, without ...*autodiff.Value) *autodiff.Value {
	g, b := logits.Graph(), logits.Graph().Backend()
	s := g.Scope()
	z := logits.Tensor()
	if len(without) > 0 {
		lowest := s.Full(z.DType(), math.Inf(-1), z.Shape()...)
		rest := s.Like(z)
		b.Select(rest, without[0].Tensor(), lowest, z)
		for _, m := range without[1:] {
			b.Select(rest, m.Tensor(), lowest, rest)
		}
		z = rest
	}
	best := s.New(tensor.I32, z.Dim(0))
	b.ArgMax(best, z)
	return autodiff.OneHot(g, best, z.Dim(1), z.DType())
}

// check panics unless logits are [N K] and labels I32 [N].
func check(op string, logits *autodiff.Value, labels *tensor.Tensor) {
	s := logits.Shape()
	if len(s) == 2 && labels.DType() == tensor.I32 && labels.Shape().Equal(s[:1]) {
		return
	}
	panic(&tensor.Error{Op: op,
		Operands: []tensor.Operand{tensor.Describe("logits", logits.Tensor()),
			tensor.Describe("labels", labels)},
		Reason: fmt.Sprintf("expected logits [N K] and labels [N] i32, got %v and %v",
			s, labels.Shape())})
}
