package nn

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// PyTorch's defaults of batch normalisation.
const (
	DefaultBatchNormEps      = 1e-5
	DefaultBatchNormMomentum = 0.1 // the weight of the new value in the running average
)

// BatchNorm2D normalises every channel over batch and image: x [N H W C],
//
//	y = γ·(x − μ)/√(σ² + eps) + β.
//
// In training μ and σ² (biased: divided by n = N·H·W) are the batch's, and the running statistics
// move by Momentum toward μ and the unbiased variance σ²·n/(n−1). In evaluation they are the
// running statistics, folded into one scale and shift.
//
// Parameters: "weight" γ, "bias" β, buffers "running_mean", "running_var", all [C].
//
// Source: Ioffe and Szegedy, ICML 2015; conventions of torch.nn.BatchNorm2d.
type BatchNorm2D struct {
	Weight, Bias  *Param
	Mean, Var     *Param
	Eps, Momentum float64
}

// NewBatchNorm2D declares a layer for the given number of channels with PyTorch's defaults.
func NewBatchNorm2D(channels int) *BatchNorm2D {
	if channels <= 0 {
		panic(&tensor.Error{Op: "NewBatchNorm2D",
			Reason: fmt.Sprintf("channels %d must be positive", channels)})
	}
	mean, variance := newRunningStats(channels)
	return &BatchNorm2D{
		Weight: &Param{Shape: tensor.Shape{channels}, Init: Constant(1), NoWD: true},
		Bias:   &Param{Shape: tensor.Shape{channels}, Init: Constant(0), NoWD: true},
		Mean:   mean, Var: variance,
		Eps: DefaultBatchNormEps, Momentum: DefaultBatchNormMomentum,
	}
}

func newRunningStats(channels int) (mean, variance *Param) {
	buffer := func(v float64) *Param {
		return &Param{Shape: tensor.Shape{channels}, Init: Constant(v), Buffer: true, NoWD: true}
	}
	return buffer(0), buffer(1)
}

// Params yields weight, bias, running_mean, running_var.
func (l *BatchNorm2D) Params() iter.Seq2[string, *Param] {
	return Params{{"weight", l.Weight}, {"bias", l.Bias},
		{"running_mean", l.Mean}, {"running_var", l.Var}}.Params()
}

// Forward returns the normalised x.
func (l *BatchNorm2D) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	if c.batchStatistics() {
		y, stats := autodiff.BatchNorm(x, c.Value(l.Weight), c.Value(l.Bias), l.Eps)
		l.record(c, stats)
		return y
	}
	scale, shift := l.Fold(c)
	return autodiff.ScaleShift(x, scale, shift, nil, false)
}

// ForwardReLU returns max(y + res, 0) in one pass over memory, with res of x's shape or nil.
func (l *BatchNorm2D) ForwardReLU(c *Ctx, x, res *autodiff.Value) *autodiff.Value {
	if c.batchStatistics() {
		y, stats := autodiff.BatchNormReLU(x, c.Value(l.Weight), c.Value(l.Bias), res, l.Eps)
		l.record(c, stats)
		return y
	}
	scale, shift := l.Fold(c)
	return autodiff.ScaleShift(x, scale, shift, res, true)
}

// A foldKey finds a pass's folded scale and shift in Derived.
type foldKey struct {
	l         *BatchNorm2D
	recording bool
}

type scaleShift struct{ scale, shift *autodiff.Value }

// Fold returns the evaluation form y = x·scale + shift, each [C]: scale = γ/√(var + eps),
// shift = β − mean·scale, with the running statistics. It is computed once for each pass.
func (l *BatchNorm2D) Fold(c *Ctx) (scale, shift *autodiff.Value) {
	f := Derived(c, foldKey{l, c.Graph.Recording()}, func() scaleShift {
		inv := runningInvStd(c, l.Var, l.Eps)
		scale := autodiff.Mul(c.Value(l.Weight), inv)
		shift := autodiff.Sub(c.Value(l.Bias), autodiff.Mul(c.Value(l.Mean), scale))
		return scaleShift{c.hoist(scale), c.hoist(shift)}
	})
	return f.scale, f.shift
}

func (l *BatchNorm2D) record(c *Ctx, stats autodiff.BatchStats) {
	c.recordStats(l.Mean, l.Var, stats, l.Momentum)
}

// runningInvStd returns 1/√(var + eps).
func runningInvStd(c *Ctx, variance *Param, eps float64) *autodiff.Value {
	v := c.Value(variance)
	return autodiff.Div(c.Graph.Scalar(v.DType(), 1), autodiff.Sqrt(autodiff.AddScalar(v, eps)))
}

// batchStatistics reports whether normalisation layers use the batch's own statistics.
func (c *Ctx) batchStatistics() bool { return c.Train || c.Standing != nil }

// recordStats hands a batch's statistics to whoever collects them.
func (c *Ctx) recordStats(mean, variance *Param, stats autodiff.BatchStats, momentum float64) {
	if c.inPart {
		panic(&tensor.Error{Op: "Ctx.Parts",
			Reason: "a layer inside takes batch statistics, and a part is no batch: use Block"})
	}
	if c.Graph.Replaying() {
		return // they were recorded when the block ran first
	}
	if c.Standing != nil {
		c.Standing.add(mean, stats.Mean)
		c.Standing.add(variance, stats.Variance)
		return
	}
	n := float64(stats.Count)
	if stats.Count < 2 {
		panic(&tensor.Error{Op: "BatchNorm2D",
			Reason: fmt.Sprintf("training needs at least 2 values "+
				"for each channel, got %d: use a larger batch or evaluation mode", stats.Count)})
	}
	if c.Updates != nil {
		c.Updates.Average(mean, c.outlive(stats.Mean), momentum, 1)
		c.Updates.Average(variance, c.outlive(stats.Variance), momentum, n/(n-1))
	}
}

// StandingStats replaces running statistics by averages over a number of batches of one frozen
// network: BigGAN's standing statistics. Put it into the Ctx of evaluation passes; normalisation
// layers then use their batch's statistics and add them here. Apply writes the averages of the
// means and of the biased variances to the running statistics.
//
// Source: Brock et al., ICLR 2019, section C.1, averaged as in its authors' PyTorch code.
type StandingStats struct {
	scope *tensor.Scope
	list  []*standing
}

type standing struct {
	p     *Param
	sum   *tensor.Tensor
	count int
}

// NewStandingStats returns an empty collection that allocates on b.
func NewStandingStats(b tensor.Backend) *StandingStats {
	return &StandingStats{scope: tensor.NewScope(b)}
}

func (s *StandingStats) add(p *Param, t *tensor.Tensor) {
	for _, e := range s.list {
		if e.p == p {
			s.scope.Backend().Binary(tensor.Add, e.sum, e.sum, t)
			e.count++
			return
		}
	}
	sum := s.scope.Like(t)
	sum.Assign(t)
	s.list = append(s.list, &standing{p, sum, 1})
}

// Apply writes the averages to the parameters and empties the collection.
func (s *StandingStats) Apply() {
	b := s.scope.Backend()
	for _, e := range s.list {
		b.Unary(tensor.Affine, tensor.Attr{A: 1 / float64(e.count)}, e.p.T, e.sum)
	}
	s.scope.Close()
	s.scope, s.list = tensor.NewScope(b), nil
}

// Normalize maps every channel of an image x [N H W C] with values in [0, 1] to (x − Mean)/Std. It
// stands inside a model, so that attacks work in pixel units. It has no parameters.
type Normalize struct{ Mean, Std []float64 }

// Params yields nothing.
func (n *Normalize) Params() iter.Seq2[string, *Param] { return Params(nil).Params() }

// A normalizeKey finds a pass's constants in Derived.
type normalizeKey struct{ n *Normalize }

// Forward returns the normalised images; without Mean and Std, x itself. Panics if x has another
// number of channels than Mean and Std.
func (n *Normalize) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	if len(n.Mean) == 0 && len(n.Std) == 0 {
		return x
	}
	if ch := x.Dim(-1); ch != len(n.Mean) || ch != len(n.Std) {
		panic(&tensor.Error{Op: "Normalize", Operands: []tensor.Operand{tensor.Describe("x",
			x.Tensor())},
			Reason: fmt.Sprintf("Mean has %d and Std %d channels", len(n.Mean), len(n.Std))})
	}
	k := Derived(c, normalizeKey{n}, func() scaleShift {
		scale, shift := make([]float64, len(n.Std)), make([]float64, len(n.Std))
		for i, s := range n.Std {
			scale[i], shift[i] = 1/s, -n.Mean[i]/s
		}
		return scaleShift{c.constants(x.DType(), scale), c.constants(x.DType(), shift)}
	})
	return autodiff.ScaleShift(x, k.scale, k.shift, nil, false)
}
