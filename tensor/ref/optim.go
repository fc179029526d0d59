package ref

import (
	"math"

	"afterimage/tensor"
)

// SGD updates every parameter in place: g += wd·p; buf = momentum·buf + g;
// p −= lr·(nesterov ? g + momentum·buf : buf). buf starts as zeros; it is nil when momentum is 0.
func (b *Backend) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	rate := float64(tensor.Host[float32](lr)[0])
	for i, w := range params {
		var m *tensor.Tensor
		if buf != nil {
			m = buf[i]
		}
		switch w.DType() {
		case tensor.F32:
			sgdLoop[float32](p, w, grads[i], m, rate)
		case tensor.F64:
			sgdLoop[float64](p, w, grads[i], m, rate)
		default:
			panic(badDType("SGD", w, grads[i]))
		}
	}
}

func sgdLoop[T tensor.Float](p tensor.SGDParams, w, grad, buf *tensor.Tensor, lr float64) {
	ws, gs := tensor.Host[T](w), tensor.Host[T](grad)
	var ms []T
	if buf != nil {
		ms = tensor.Host[T](buf)
	}
	for i := range ws {
		g := float64(gs[i]) + p.WeightDecay*float64(ws[i])
		step := g
		if buf != nil {
			m := p.Momentum*float64(ms[i]) + g
			ms[i] = T(m)
			step = m
			if p.Nesterov {
				step = g + p.Momentum*m
			}
		}
		ws[i] = T(float64(ws[i]) - lr*step)
	}
}

// Adam updates every parameter in place, with t = step = 1, 2, …:
//
//	p −= lr·wd·p;  m = β₁·m + (1−β₁)·g;  v = β₂·v + (1−β₂)·g²
//	p −= lr · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + eps)
//
// Source: Kingma and Ba, 2015, algorithm 1; decay as in Loshchilov and Hutter, 2019 (AdamW).
func (b *Backend) Adam(p tensor.AdamParams, params, grads, m, v []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	rate, t := float64(tensor.Host[float32](lr)[0]), float64(tensor.Host[int32](step)[0])
	for i, w := range params {
		switch w.DType() {
		case tensor.F32:
			adamLoop[float32](p, w, grads[i], m[i], v[i], rate, t)
		case tensor.F64:
			adamLoop[float64](p, w, grads[i], m[i], v[i], rate, t)
		default:
			panic(badDType("Adam", w, grads[i]))
		}
	}
}

func adamLoop[T tensor.Float](p tensor.AdamParams, w, grad, m, v *tensor.Tensor, lr, t float64) {
	ws, gs := tensor.Host[T](w), tensor.Host[T](grad)
	ms, vs := tensor.Host[T](m), tensor.Host[T](v)
	c1, c2 := 1-math.Pow(p.Beta1, t), 1-math.Pow(p.Beta2, t)
	for i := range ws {
		g := float64(gs[i])
		m1 := p.Beta1*float64(ms[i]) + (1-p.Beta1)*g
		v1 := p.Beta2*float64(vs[i]) + (1-p.Beta2)*g*g
		ms[i], vs[i] = T(m1), T(v1)
		w1 := float64(ws[i]) * (1 - lr*p.WeightDecay)
		ws[i] = T(w1 - lr*(m1/c1)/(math.Sqrt(v1/c2)+p.Eps))
	}
}

// SGDShadow is SGD, then the rounding; see tensor.Shadower.
func (b *Backend) SGDShadow(p tensor.SGDParams, params, grads, buf, shadows []*tensor.Tensor,
	lr *tensor.Tensor,
) {
	b.SGD(p, params, grads, buf, lr)
	b.roundAll(shadows, params)
}

// AdamShadow is Adam, then the rounding; see tensor.Shadower.
func (b *Backend) AdamShadow(p tensor.AdamParams, params, grads, m, v, shadows []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	b.Adam(p, params, grads, m, v, lr, step)
	b.roundAll(shadows, params)
}

// roundAll writes what there is of shadows.
func (b *Backend) roundAll(shadows, params []*tensor.Tensor) {
	for i, half := range shadows {
		if half != nil {
			b.Cast(half, params[i])
		}
	}
}

// Lerp moves every dst toward src in place: dst += (1 − decay)·(src − dst).
func (b *Backend) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	rate := 1 - float64(tensor.Host[float32](decay)[0])
	for i, d := range dst {
		switch d.DType() {
		case tensor.F32:
			lerpLoop[float32](d, src[i], rate)
		case tensor.F64:
			lerpLoop[float64](d, src[i], rate)
		default:
			panic(badDType("Lerp", d, src[i]))
		}
	}
}

// Blend computes dst = keep·dst + add·src for every pair.
func (b *Backend) Blend(dst, src []*tensor.Tensor, keep, add []float64) {
	for i, d := range dst {
		old, next := d.Floats(), src[i].Floats()
		for k, x := range next {
			next[k] = add[i] * x
			if keep[i] != 0 {
				next[k] += keep[i] * old[k]
			}
		}
		store(d, next)
	}
}

// SquaredNorm adds up the squares of all elements of all tensors; see tensor.Backend.
func (b *Backend) SquaredNorm(dst *tensor.Tensor, xs []*tensor.Tensor) {
	total := 0.0
	for _, x := range xs {
		for _, v := range x.Floats() {
			total += v * v
		}
	}
	store(dst, []float64{total})
}

func lerpLoop[T tensor.Float](dst, src *tensor.Tensor, rate float64) {
	d := tensor.Host[T](dst)
	for i, v := range tensor.Host[T](src) {
		d[i] = T(float64(d[i]) + rate*(float64(v)-float64(d[i])))
	}
}
