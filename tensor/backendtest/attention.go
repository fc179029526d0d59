package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// attentions are [B L M D E]: one of each, tails around tiles of 16, 32 and 64 rows, widths that
// are no multiple of 16 bytes, more values than a tile holds, and a generator's block.
var attentions = [][5]int{{1, 1, 1, 1, 1}, {2, 20, 37, 5, 9}, {1, 33, 65, 24, 96},
	{2, 3, 130, 16, 33}, {1, 70, 31, 64, 136}, {3, 64, 16, 8, 32}}

// attentionFamily tests the kernels of a tensor.AttentionFuser on the operands that it takes.
func attentionFamily(f *family) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.BF16} {
		for _, s := range attentions {
			if !f.attends(dt, s) {
				continue
			}
			f.checkIn(fmt.Sprint(s), dt, func(e *env) { attentionCase(e, s, normal(0, 1)) })
		}
		s := [5]int{1, 9, 11, 4, 8}
		if !f.attends(dt, s) {
			continue
		}
		for i, v := range []float64{math.NaN(), math.Inf(1), 60} { // 60: a row of one probability
			f.checkIn(fmt.Sprintf("specials %d", i), dt, func(e *env) {
				attentionCase(e, s, spiked(normal(0, 1), 6, v))
			})
		}
	}
}

// attends reports whether the backend under test takes operands of such a type and shape.
func (f *family) attends(dt tensor.DType, s [5]int) bool {
	b, ok := f.s.one.Backend.(tensor.AttentionFuser)
	if !ok {
		return false
	}
	scope := tensor.NewScope(f.s.one)
	defer scope.Close()
	return b.FusesAttention(scope.New(dt, s[0], s[1], s[3]), scope.New(dt, s[0], s[2], s[3]),
		scope.New(dt, s[0], s[2], s[4]))
}

// attentionCase runs both directions, backward once with all gradients and once with each alone.
// The queries are drawn from g.
func attentionCase(e *env, s [5]int, g gen) {
	b, l, m, d, width := s[0], s[1], s[2], s[3], s[4]
	a := attending{q: e.in(g, b, l, d), k: e.in(normal(0, 1), b, m, d),
		v: e.in(normal(0.5, 1), b, m, width), dy: e.in(normal(0, 1), b, l, width),
		scale: 1 / math.Sqrt(float64(d)), grid: e.grid}
	y, lse := e.out(b, l, width), e.outChannels(b, l)
	fuser := e.Backend.(tensor.AttentionFuser)
	fuser.Attention(y, lse, a.q, a.k, a.v, a.scale)
	e.want("y", y, a.within(func(m attentionBounds) []float64 { return m.y }))
	e.want("lse", lse, a.within(func(m attentionBounds) []float64 { return m.lse }))
	for only := range 4 {
		grads := []*tensor.Tensor{e.out(b, l, d), e.out(b, m, d), e.out(b, m, width)}
		for i := range grads {
			if only > 0 && i != only-1 {
				grads[i] = nil
			}
		}
		fuser.AttentionGrad(grads[0], grads[1], grads[2], a.dy, y, lse, a.q, a.k, a.v, a.scale)
		for i, grad := range grads {
			if grad == nil {
				continue
			}
			e.want(fmt.Sprintf("%s, only %d", []string{"dq", "dk", "dv"}[i], only), grad,
				a.within(func(m attentionBounds) []float64 { return [][]float64{m.dq, m.dk, m.dv}[i] }))
		}
	}
}

// attending holds a case's operands.
type attending struct {
	q, k, v, dy *tensor.Tensor
	scale       float64
	grid        tensor.DType
}

// attentionBounds are sums of absolute values for each result.
type attentionBounds struct{ y, lse, dq, dk, dv []float64 }

// within bounds the error relative to a sum of absolute values. An error of a score, which is
// relative to Σ|q·k|, is one of its probability; in BF16 probabilities and gradients of scores are
// rounded, as is the y that delta is made of, each to half of roundBF16.
func (a attending) within(pick func(attentionBounds) []float64) tolerance {
	return tolerance{k: kSum, mag: func() []float64 { return pick(a.bounds()) }}
}

func (a attending) bounds() attentionBounds {
	q, k, v, dy := a.q.Floats(), a.k.Floats(), a.v.Floats(), a.dy.Floats()
	l, m, d, width := a.q.Dim(1), a.k.Dim(1), a.q.Dim(2), a.v.Dim(2)
	r := attentionBounds{make([]float64, len(dy)), make([]float64, len(q)/d), make([]float64, len(q)),
		make([]float64, len(k)), make([]float64, len(v))}
	for row := range r.lse {
		at := row / l * m // the sample's first key
		p, size := a.probabilities(q[row*d:(row+1)*d], k[at*d:(at+m)*d])
		g, delta := dy[row*width:(row+1)*width], 0.0
		r.lse[row] = 1 + size
		size++
		if a.grid == tensor.BF16 {
			size += roundBF16 / (kSum * epsilon(a.grid))
		}
		for j := range p {
			for e, x := range v[(at+j)*width : (at+j+1)*width] {
				r.y[row*width+e] += size * p[j] * math.Abs(x)
				r.dv[(at+j)*width+e] += size * p[j] * math.Abs(g[e])
				delta += p[j] * math.Abs(x*g[e])
			}
		}
		for j := range p {
			ds := delta
			for e, x := range v[(at+j)*width : (at+j+1)*width] {
				ds += math.Abs(x * g[e])
			}
			ds *= size * p[j] * a.scale
			for i := range d {
				r.dq[row*d+i] += ds * math.Abs(k[(at+j)*d+i])
				r.dk[(at+j)*d+i] += ds * math.Abs(q[row*d+i])
			}
		}
	}
	return r
}

// probabilities returns softmax(scale·q·kᵀ) for one query, and the largest Σ|scale·q·k|.
func (a attending) probabilities(q, k []float64) (p []float64, size float64) {
	p = make([]float64, len(k)/len(q))
	top, sum := math.Inf(-1), 0.0
	for j := range p {
		sizes := 0.0
		for i, x := range q {
			p[j] += a.scale * x * k[j*len(q)+i]
			sizes += a.scale * math.Abs(x*k[j*len(q)+i])
		}
		top, size = max(top, p[j]), max(size, sizes)
	}
	for j := range p {
		p[j] = math.Exp(p[j] - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p, size
}
