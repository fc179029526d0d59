package attack

import (
	"fmt"
	"math"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/tensor"
)

// A Model maps images in [0, 1] to logits; *models.Classifier is one.
type Model interface {
	Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value
}

// Norm is the norm that bounds a perturbation.
type Norm uint8

// The norms.
const (
	Linf Norm = iota // the largest absolute change of one value
	L2               // the Euclidean norm over one image
)

// String returns "linf" or "l2".
func (n Norm) String() string {
	if n == Linf {
		return "linf"
	}
	return "l2"
}

// Objective is what an attack maximises for each image.
type Objective uint8

// The objectives: see package loss.
const (
	CrossEntropy Objective = iota
	Margin                 // Carlini and Wagner's max_{i≠y} zᵢ − z_y
	DLR                    // difference of logits ratio
)

// String returns "ce", "margin" or "dlr".
func (o Objective) String() string { return [...]string{"ce", "margin", "dlr"}[o] }

func (o Objective) each(logits *autodiff.Value, labels *tensor.Tensor) *autodiff.Value {
	switch o {
	case Margin:
		return loss.EachMargin(logits, labels)
	case DLR:
		return loss.EachDLR(logits, labels)
	default:
		return loss.EachCrossEntropy(logits, labels, 0)
	}
}

// Config describes a gradient attack.
type Config struct {
	Norm        Norm
	Eps         float64 // radius, in pixel units: 8.0/255
	StepSize    float64 // pixel units; 0 means 2.5·Eps/Steps
	Steps       int     // gradient steps, ≥ 1
	RandomStart bool    // uniform in the L∞ ball; on the L2 sphere
	Objective   Objective
	UseBest     bool // return each image's iterate of largest objective, not the last one
	Restarts    int  // more tries of Evaluate on the images that still stand, with RandomStart
}

// Step returns the size of a gradient step, in pixel units: StepSize or its default.
func (c Config) Step() float64 {
	if c.StepSize != 0 {
		return c.StepSize
	}
	return 2.5 * c.Eps / float64(c.Steps)
}

// FGSM is PGD's one signed step to the surface of the L∞ ball, x + eps·sign(g) in [0, 1].
//
// Source: Goodfellow et al., "Explaining and harnessing adversarial examples", ICLR 2015.
func FGSM(eps float64) Config { return Config{Norm: Linf, Eps: eps, StepSize: eps, Steps: 1} }

// FastFGSM is one signed step of 1.25·eps from a uniform random start in the L∞ ball, projected to
// the ball and [0, 1]: what adversarial training takes where PGD is too slow.
//
// Source: Wong et al., "Fast is better than free", ICLR 2020.
func FastFGSM(eps float64) Config {
	return Config{Norm: Linf, Eps: eps, StepSize: 1.25 * eps, Steps: 1, RandomStart: true}
}

// PGD returns images, allocated in s, that maximise the objective near x by projected gradient
// ascent: x [N H W C] in [0, 1], labels I32 [N].
//
//	L∞: x ← x + StepSize·sign(g), clamped to [x₀−Eps, x₀+Eps] and [0, 1]; sign(0) = 0.
//	L2: x ← x + StepSize·g/(‖g‖ + 1e-10), its change from x₀ scaled back to norm Eps, then [0, 1].
//
// with g the gradient of the image's own objective, whatever the batch's size.
//
// The random start is stream key at step, I32: of one element, for the batch as a whole, or one for
// each image, whose start is then the same in any batch. Both may be zero without RandomStart.
// Panics with *tensor.Error if a field of cfg is out of range or shapes do not fit.
//
// Source: Madry et al., ICLR 2018; conventions of MadryLab/robustness.
func PGD(s *tensor.Scope, m Model, x, labels *tensor.Tensor, cfg Config, key tensor.Key,
	step *tensor.Tensor) *tensor.Tensor {
	cfg.check(x, labels, step)
	work := s.Child()
	defer work.Close()
	p := newBall(work, cfg, x)
	cur := p.start(key, step)
	var best *bestIterate
	if cfg.UseBest {
		best = newBest(work, x)
	}
	net := nn.NewInference(p.b) // batch norms are folded into weights once for all steps
	defer net.Close()
	for range cfg.Steps {
		cur = p.iterate(net, m, cur, labels, best)
	}
	if best != nil {
		each := objective(work, m, cur, labels, cfg.Objective)
		best.offer(cur, each)
		cur = best.x
	}
	out := s.Like(x)
	out.Assign(cur)
	return out
}

func (c Config) check(x, labels, step *tensor.Tensor) {
	reason := ""
	switch {
	case c.Eps < 0 || c.StepSize < 0:
		reason = fmt.Sprintf("Eps %g and StepSize %g must not be negative", c.Eps, c.StepSize)
	case c.Steps < 1:
		reason = fmt.Sprintf("Steps %d must be at least 1", c.Steps)
	case c.Norm > L2 || c.Objective > DLR:
		reason = "unknown Norm or Objective"
	case x.Rank() != 4 || labels.Rank() != 1 || labels.Dim(0) != x.Dim(0):
		reason = "expected images [N H W C] and labels [N]"
	case c.RandomStart && step == nil:
		reason = "RandomStart needs a step"
	case c.RandomStart && step.Size() != 1 && step.Size() != x.Dim(0):
		reason = fmt.Sprintf("step has %d elements: expected 1 or one for each image", step.Size())
	}
	if reason != "" {
		panic(&tensor.Error{Op: "attack.PGD", Reason: reason, Operands: []tensor.Operand{
			tensor.Describe("x", x), tensor.Describe("labels", labels)}})
	}
}

// A ball is the set an attack may search: near x0 and inside [0, 1].
type ball struct {
	cfg    Config
	scope  *tensor.Scope // owns the iterates
	b      tensor.Backend
	x0     *tensor.Tensor
	lo, hi *tensor.Tensor // the box of the L∞ ball cut with [0, 1]; nil for L2
}

func newBall(s *tensor.Scope, cfg Config, x *tensor.Tensor) *ball {
	p := &ball{cfg: cfg, scope: s, b: s.Backend(), x0: x}
	if cfg.Norm == Linf {
		p.lo, p.hi = s.Like(x), s.Like(x)
		p.b.Unary(tensor.Affine, tensor.Attr{A: 1, B: -cfg.Eps}, p.lo, x)
		p.b.Unary(tensor.Affine, tensor.Attr{A: 1, B: cfg.Eps}, p.hi, x)
		p.clampPixels(p.lo)
		p.clampPixels(p.hi)
	}
	return p
}

// start returns the first iterate, owned by p.scope.
func (p *ball) start(key tensor.Key, step *tensor.Tensor) *tensor.Tensor {
	x := p.scope.Like(p.x0)
	switch {
	case !p.cfg.RandomStart:
		x.Assign(p.x0)
	case p.cfg.Norm == Linf:
		p.random(tensor.Uniform, key, x, step)
		p.b.Unary(tensor.Affine, tensor.Attr{A: 2 * p.cfg.Eps, B: -p.cfg.Eps}, x, x)
		p.b.Binary(tensor.Add, x, x, p.x0)
		p.project(x)
	default:
		p.random(tensor.Normal, key, x, step)
		p.scaleRows(x, x, func(norm *tensor.Tensor) { // eps/‖x‖
			p.b.Unary(tensor.Recip, tensor.Attr{}, norm, norm)
			p.b.Unary(tensor.Affine, tensor.Attr{A: p.cfg.Eps}, norm, norm)
		})
		p.b.Binary(tensor.Add, x, x, p.x0)
		p.clampPixels(x)
	}
	return x
}

// random fills x from the stream key: as a whole, or image i at step[i]. It reads nothing back.
func (p *ball) random(d tensor.Dist, key tensor.Key, x, step *tensor.Tensor) {
	if step.Size() == 1 {
		p.b.Random(d, key, x, step)
		return
	}
	s := p.scope.Child()
	defer s.Close()
	size, shape := []int{1, 1, 1, 1}, x.Shape().Clone()
	copy(size[1:], shape[1:])
	row, at := s.New(x.DType(), size...), s.New(tensor.I32, 1)
	one, zero := []int{1}, []int{0, 0, 0, 0}
	for i := range shape[0] {
		p.b.CopyRegion(at, step, tensor.Region{DstStart: zero[:1], DstStep: one,
			SrcStart: []int{i}, SrcStep: one, Size: one})
		p.b.Random(d, key, row, at)
		p.b.CopyRegion(x, row, tensor.Region{DstStart: []int{i, 0, 0, 0},
			DstStep: []int{1, 1, 1, 1}, SrcStart: zero, SrcStep: []int{1, 1, 1, 1}, Size: size})
	}
}

// iterate makes one gradient step from cur, which it frees, and shows cur to best.
func (p *ball) iterate(net *nn.Inference, m Model, cur, labels *tensor.Tensor,
	best *bestIterate) *tensor.Tensor {
	var next *tensor.Tensor
	net.Record(func(c *nn.Ctx) {
		x := c.Graph.Leaf(cur)
		each := p.cfg.Objective.each(m.Forward(c, x), labels).Keep()
		grad := autodiff.Grad(autodiff.Sum(each), []*autodiff.Value{x})[0].Tensor()
		if best != nil {
			best.offer(cur, each.Tensor())
		}
		next = p.scope.Like(cur)
		if p.cfg.Norm == Linf {
			p.b.Unary(tensor.Sign, tensor.Attr{}, next, grad)
		} else {
			p.scaleRows(next, grad, func(norm *tensor.Tensor) { // 1/(‖g‖ + 1e-10)
				p.b.Unary(tensor.Affine, tensor.Attr{A: 1, B: gradientGuard}, norm, norm)
				p.b.Unary(tensor.Recip, tensor.Attr{}, norm, norm)
			})
		}
	})
	p.b.Unary(tensor.Affine, tensor.Attr{A: p.cfg.Step()}, next, next)
	p.b.Binary(tensor.Add, next, next, cur)
	p.project(next)
	cur.Free()
	return next
}

// gradientGuard is MadryLab/robustness's guard against a zero gradient.
const gradientGuard = 1e-10

// project moves x to the nearest point of the ball, then into [0, 1]. x0 is in [0, 1], so the
// second moves every value toward x0 and cannot leave the ball.
func (p *ball) project(x *tensor.Tensor) {
	if p.cfg.Norm == Linf {
		p.b.Binary(tensor.Max, x, x, p.lo)
		p.b.Binary(tensor.Min, x, x, p.hi)
		return
	}
	p.b.Binary(tensor.Sub, x, x, p.x0)
	p.scaleRows(x, x, func(norm *tensor.Tensor) { // min(1, eps/‖δ‖)
		p.b.Unary(tensor.Recip, tensor.Attr{}, norm, norm)
		p.b.Unary(tensor.Affine, tensor.Attr{A: p.cfg.Eps}, norm, norm)
		p.b.Unary(tensor.Clamp, tensor.Attr{A: 0, B: 1}, norm, norm)
	})
	p.b.Binary(tensor.Add, x, x, p.x0)
	p.clampPixels(x)
}

func (p *ball) clampPixels(x *tensor.Tensor) {
	p.b.Unary(tensor.Clamp, tensor.Attr{A: 0, B: 1}, x, x)
}

// smallestNorm keeps the reciprocal of a zero change finite; it is far below any norm that matters.
const smallestNorm = 1e-30

// scaleRows sets dst to x with every image multiplied by factor(‖image‖₂); factor works in place on
// the norms, [N 1 1 1]. dst may be x.
func (p *ball) scaleRows(dst, x *tensor.Tensor, factor func(norm *tensor.Tensor)) {
	s := p.scope.Child()
	defer s.Close()
	sq := s.Like(x)
	p.b.Unary(tensor.Square, tensor.Attr{}, sq, x)
	norm := s.New(x.DType(), x.Dim(0), 1, 1, 1)
	p.b.Reduce(tensor.Sum, norm, sq, []int{1, 2, 3})
	p.b.Unary(tensor.Sqrt, tensor.Attr{}, norm, norm)
	p.b.Unary(tensor.Clamp, tensor.Attr{A: smallestNorm, B: math.Inf(1)}, norm, norm)
	factor(norm)
	full := s.Full(x.DType(), 0, x.Shape()...) // broadcast first: dst may only alias an equal shape
	p.b.Binary(tensor.Add, full, full, norm)
	p.b.Binary(tensor.Mul, dst, x, full)
}

// objective returns each image's objective, [N], without a gradient, in memory of s.
func objective(s *tensor.Scope, m Model, x, labels *tensor.Tensor, o Objective) *tensor.Tensor {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	each := o.each(m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)), labels).Tensor()
	out := s.Like(each)
	out.Assign(each)
	return out
}

// A bestIterate remembers each image's iterate of largest objective.
type bestIterate struct {
	scope *tensor.Scope
	x     *tensor.Tensor // [N H W C]
	value *tensor.Tensor // [N 1 1 1]
}

func newBest(s *tensor.Scope, x *tensor.Tensor) *bestIterate {
	best := &bestIterate{scope: s, x: s.Like(x),
		value: s.Full(x.DType(), math.Inf(-1), x.Dim(0), 1, 1, 1)}
	best.x.Assign(x)
	return best
}

// offer takes over the images of x whose objective is strictly larger than the best so far.
func (k *bestIterate) offer(x, each *tensor.Tensor) {
	s := k.scope.Child()
	defer s.Close()
	b := s.Backend()
	value := s.Reshape(each, k.value.Shape()...)
	better := s.Like(k.value)
	b.Binary(tensor.Greater, better, value, k.value)
	mask := s.Zeros(x.DType(), x.Shape()...)
	b.Binary(tensor.Add, mask, mask, better)
	b.Select(k.x, mask, x, k.x)
	b.Binary(tensor.Max, k.value, k.value, value)
}
