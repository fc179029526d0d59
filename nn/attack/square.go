package attack

import (
	"fmt"
	"math"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/tensor"
)

// SquareConfig describes the Square attack in the L∞ norm.
type SquareConfig struct {
	Eps     float64 // radius, in pixel units
	Queries int     // forward passes for each image, the start included; 5000 in AutoAttack
	PInit   float64 // first fraction of the image that a square covers; 0 means 0.8
}

// Square returns images, allocated in s, that the model misclassifies where random search finds
// such: it changes one square of pixels at a time by ±2·Eps, cut to the ball and [0, 1], and keeps
// the change when the margin z_y − max_{i≠y} zᵢ falls. It uses scores only, no gradient: a check
// against gradients that lead nowhere. x [N H W C] in [0, 1], labels I32 [N].
//
// The start is vertical stripes of ±Eps for each channel. The side of the square is
// round(√(p·H·W)), at least 1, with p halved at iterations 10, 50, 200, 500, 1000, 2000, 4000,
// 6000, 8000. An image that is misclassified is left as it is. Image i's random numbers are stream
// key at iteration t; number[i], or i where number is nil, tells the images apart, so that a
// batch's composition changes nothing.
//
// Source: Andriushchenko et al., "Square attack", ECCV 2020; schedule as in AutoAttack.
func Square(s *tensor.Scope, m Model, x, labels *tensor.Tensor, cfg SquareConfig, key tensor.Key,
	number []int32) *tensor.Tensor {
	if cfg.PInit == 0 {
		cfg.PInit = 0.8
	}
	if x.Rank() != 4 || x.DType() != tensor.F32 || cfg.Eps < 0 || cfg.Queries < 1 {
		panic(&tensor.Error{Op: "attack.Square",
			Operands: []tensor.Operand{tensor.Describe("x", x)},
			Reason: fmt.Sprintf("expected F32 images [N H W C], Eps %g ≥ 0, Queries %d ≥ 1",
				cfg.Eps, cfg.Queries)})
	}
	q := &squareSearch{m: m, cfg: cfg, key: key, number: number, labels: labels,
		n: x.Dim(0), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), x0: tensor.ToHost[float32](x)}
	q.best = append([]float32(nil), q.x0...)
	q.margin = q.score(s, q.best)
	for t := range cfg.Queries {
		try := append([]float32(nil), q.best...)
		busy := false
		for i := range q.n {
			if q.stands(i) {
				busy = true
				q.propose(try, i, t)
			}
		}
		if !busy {
			break
		}
		q.accept(try, q.score(s, try), t)
	}
	return tensor.FromSlice(s, q.best, x.Shape()...)
}

// EvaluateSquare reports for each image whether the model's answer is right and survives Square.
// first is the batch's first image's number in the data set.
func EvaluateSquare(s *tensor.Scope, m Model, x, labels *tensor.Tensor, cfg SquareConfig,
	key tensor.Key, first int) []bool {
	square := func(w *tensor.Scope, x, labels *tensor.Tensor, _ int, at []int32) *tensor.Tensor {
		return Square(w, m, x, labels, cfg, key, numbers(first, at))
	}
	return evaluate(s, m, x, labels, 1, square)
}

// A squareSearch is the host's side of the attack: images as float32 NHWC in [0, 1].
type squareSearch struct {
	m          Model
	cfg        SquareConfig
	key        tensor.Key
	number     []int32
	labels     *tensor.Tensor
	n, h, w, c int
	x0, best   []float32
	margin     []float64 // z_y − max_{i≠y} zᵢ of best
}

// score returns the margin z_y − max_{i≠y} zᵢ of every image.
func (q *squareSearch) score(s *tensor.Scope, images []float32) []float64 {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	x := g.Const(tensor.FromSlice(g.Scope(), images, q.n, q.h, q.w, q.c))
	v := loss.EachMargin(q.m.Forward(nn.NewCtx(g, nn.Eval), x), q.labels).Tensor().Floats()
	for i := range v {
		v[i] = -v[i]
	}
	return v
}

// stands reports whether image i is not yet misclassified. A tie stands: it may still be decided
// for the label.
func (q *squareSearch) stands(i int) bool { return q.margin[i] >= 0 }

// propose writes iteration t's candidate for image i into try.
func (q *squareSearch) propose(try []float32, i, t int) {
	number := uint64(i)
	if q.number != nil {
		number = uint64(q.number[i])
	}
	rng := tensor.NewRNG(runKey(q.key, int(number)+1), uint32(t))
	sign := func() float64 { return float64(2*rng.IntN(2) - 1) }
	if t == 0 {
		for x := range q.w {
			for ch := range q.c {
				d := q.cfg.Eps * sign()
				for y := range q.h {
					q.set(try, q.at(i, y, x, ch), d)
				}
			}
		}
		return
	}
	side := int(math.Round(math.Sqrt(q.fraction(t) * float64(q.h*q.w))))
	side = min(max(side, 1), min(q.h, q.w))
	top, left := rng.IntN(q.h-side+1), rng.IntN(q.w-side+1)
	for ch := range q.c {
		d := 2 * q.cfg.Eps * sign()
		for y := top; y < top+side; y++ {
			for x := left; x < left+side; x++ {
				p := q.at(i, y, x, ch)
				q.set(try, p, float64(q.best[p])-float64(q.x0[p])+d)
			}
		}
	}
}

// fraction returns the share of the image that a square covers at iteration t ≥ 1.
func (q *squareSearch) fraction(t int) float64 {
	p := q.cfg.PInit
	for _, at := range []int{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000} {
		if t > at {
			p /= 2
		}
	}
	return p
}

func (q *squareSearch) at(i, y, x, ch int) int { return ((i*q.h+y)*q.w+x)*q.c + ch }

// set writes x0 + d at position p, with d cut to the ball and the result to [0, 1].
func (q *squareSearch) set(try []float32, p int, d float64) {
	d = min(max(d, -q.cfg.Eps), q.cfg.Eps)
	try[p] = float32(min(max(float64(q.x0[p])+d, 0), 1))
}

// accept takes over the candidates whose margin fell; the start is taken in any case.
func (q *squareSearch) accept(try []float32, margin []float64, t int) {
	size := q.h * q.w * q.c
	for i, v := range margin {
		if q.stands(i) && (t == 0 || v < q.margin[i]) {
			q.margin[i] = v
			copy(q.best[i*size:(i+1)*size], try[i*size:(i+1)*size])
		}
	}
}
