package vec

import "math"

// SGDParams are the scalars of one SGD step, in PyTorch's convention.
type SGDParams struct {
	LR          float32 // learning rate
	Momentum    float32 // mu
	WeightDecay float32 // L2: added to the gradient as WeightDecay·p
	Nesterov    bool    // step along g + mu·buf instead of buf
}

// SGD updates the parameters p and the momentum buffer buf in place from the gradient g:
//
//	g   = g + wd·p
//	buf = mu·buf + g
//	p   = p - lr·(g + mu·buf if Nesterov, else buf)
//
// A zero buf at the first step gives buf = g, as torch.optim.SGD with dampening 0 does.
// With Momentum = 0 buf may be nil: then p = p - lr·g.
func SGD(p, buf, g []float32, o SGDParams) {
	sameLen("SGD", len(p), len(g))
	if buf != nil || o.Momentum != 0 {
		sameLen("SGD", len(p), len(buf))
	}
	if buf == nil {
		// p - lr·(g + wd·p) by the same kernel would need a buffer: two passes are as clear.
		if o.WeightDecay != 0 {
			MulScalar(p, p, 1-o.LR*o.WeightDecay)
		}
		AXPY(p, -o.LR, g)
		return
	}
	active.sgd(p, buf, g, o)
}

// AdamParams are the scalars of one Adam step, in PyTorch's convention.
type AdamParams struct {
	LR             float32 // learning rate
	Beta1, Beta2   float64 // decays: 1 - Beta must be rounded once, from the exact difference
	Eps            float32 // added to the root, outside of it
	WeightDecay    float32 // L2: added to the gradient as WeightDecay·p
	DecoupledDecay float32 // AdamW: p is first multiplied by 1 - LR·DecoupledDecay
	Correction1    float32 // 1 - Beta1^t, t counting from 1
	Correction2    float32 // 1 - Beta2^t
}

// Adam updates the parameters p and the moments m and v in place from the gradient g:
//
//	p = p·(1 - lr·decoupled)
//	g = g + wd·p
//	m = beta1·m + (1-beta1)·g
//	v = beta2·v + (1-beta2)·g²
//	p = p - (lr/c1)·m / (√v/√c2 + eps)
//
// (Kingma and Ba 2015; torch.optim.Adam, and AdamW with DecoupledDecay.)
func Adam(p, m, v, g []float32, o AdamParams) {
	sameLen("Adam", len(p), len(m), len(v), len(g))
	active.adam(p, m, v, g, o)
}

// EMA moves the running average: avg[i] = decay·avg[i] + (1-decay)·p[i], evaluated as
// avg + (1-decay)·(p - avg), which leaves avg alone where it equals p.
func EMA(avg, p []float32, decay float32) {
	sameLen("EMA", len(avg), len(p))
	active.ema(avg, p, decay)
}

func sgdGo(p, buf, g []float32, o SGDParams) {
	for i, w := range p {
		d := g[i] + o.WeightDecay*w
		b := o.Momentum*buf[i] + d
		buf[i] = b
		if o.Nesterov {
			b = d + o.Momentum*b
		}
		p[i] = w - o.LR*b
	}
}

// adamScalars are the derived constants, rounded once from float64.
type adamScalars struct {
	shrink, wd, b1, a1, b2, a2, step, rootScale, eps float32
}

func (o AdamParams) scalars() adamScalars {
	return adamScalars{
		shrink:    float32(1 - float64(o.LR)*float64(o.DecoupledDecay)),
		wd:        o.WeightDecay,
		b1:        float32(o.Beta1),
		a1:        float32(1 - o.Beta1),
		b2:        float32(o.Beta2),
		a2:        float32(1 - o.Beta2),
		step:      float32(float64(o.LR) / float64(o.Correction1)),
		rootScale: float32(1 / math.Sqrt(float64(o.Correction2))),
		eps:       o.Eps,
	}
}

func adamGo(p, m, v, g []float32, o AdamParams) {
	s := o.scalars()
	for i, w := range p {
		w *= s.shrink
		d := g[i] + s.wd*w
		a := s.b1*m[i] + s.a1*d
		b := s.b2*v[i] + s.a2*(d*d)
		m[i], v[i] = a, b
		root := float32(math.Sqrt(float64(b)))
		p[i] = w - s.step*a/(root*s.rootScale+s.eps)
	}
}

func emaGo(avg, p []float32, decay float32) {
	a := float32(1 - float64(decay))
	for i, v := range p {
		avg[i] += a * (v - avg[i])
	}
}
