package cpu

import (
	"math"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// tile is one chunk of one tensor of a multi-tensor update.
type tile struct{ k, lo, hi int }

// tiles cuts all tensors into chunks, so that one fork-join serves a whole network.
func tiles(ts []*tensor.Tensor) []tile {
	var out []tile
	for k, t := range ts {
		for lo := 0; lo < t.Size(); lo += chunk {
			out = append(out, tile{k, lo, min(lo+chunk, t.Size())})
		}
	}
	return out
}

// SGD updates parameters in place; see tensor.Backend.
func (b *Backend) SGD(p tensor.SGDParams, params, grads, buf []*tensor.Tensor, lr *tensor.Tensor) {
	if !f32(params...) {
		b.ref.SGD(p, params, grads, buf, lr)
		return
	}
	o := vec.SGDParams{LR: host(lr)[0], Momentum: float32(p.Momentum),
		WeightDecay: float32(p.WeightDecay), Nesterov: p.Nesterov}
	ts := tiles(params)
	b.pool.Run(len(ts), func(i int) {
		t := ts[i]
		var m []float32
		if buf != nil {
			m = host(buf[t.k])[t.lo:t.hi]
		}
		vec.SGD(host(params[t.k])[t.lo:t.hi], m, host(grads[t.k])[t.lo:t.hi], o)
	})
}

// Adam updates parameters in place; see tensor.Backend.
func (b *Backend) Adam(
	p tensor.AdamParams, params, grads, m, v []*tensor.Tensor, lr, step *tensor.Tensor,
) {
	if !f32(params...) {
		b.ref.Adam(p, params, grads, m, v, lr, step)
		return
	}
	t := float64(tensor.Host[int32](step)[0])
	o := vec.AdamParams{LR: host(lr)[0], Beta1: p.Beta1, Beta2: p.Beta2, Eps: float32(p.Eps),
		DecoupledDecay: float32(p.WeightDecay),
		Correction1:    float32(1 - math.Pow(p.Beta1, t)), Correction2: float32(1 - math.Pow(p.Beta2, t))}
	ts := tiles(params)
	b.pool.Run(len(ts), func(i int) {
		t := ts[i]
		at := func(list []*tensor.Tensor) []float32 { return host(list[t.k])[t.lo:t.hi] }
		vec.Adam(at(params), at(m), at(v), at(grads), o)
	})
}

// Lerp moves running averages in place; see tensor.Backend.
func (b *Backend) Lerp(dst, src []*tensor.Tensor, decay *tensor.Tensor) {
	if !f32(dst...) {
		b.ref.Lerp(dst, src, decay)
		return
	}
	d, ts := host(decay)[0], tiles(dst)
	b.pool.Run(len(ts), func(i int) {
		t := ts[i]
		vec.EMA(host(dst[t.k])[t.lo:t.hi], host(src[t.k])[t.lo:t.hi], d)
	})
}

// Blend moves every dst to where its own part and that of src lead; see tensor.Backend. These are a
// network's running statistics, some thousand numbers in all.
func (b *Backend) Blend(dst, src []*tensor.Tensor, keep, add []float64) {
	if !f32(dst...) {
		b.ref.Blend(dst, src, keep, add)
		return
	}
	ts := tiles(dst)
	b.pool.Run(len(ts), func(i int) {
		t := ts[i]
		d, s := host(dst[t.k])[t.lo:t.hi], host(src[t.k])[t.lo:t.hi]
		if keep[t.k] == 0 {
			vec.MulScalar(d, s, float32(add[t.k]))
			return
		}
		k, a := float32(keep[t.k]), float32(add[t.k])
		for j, x := range s {
			d[j] = float32(k*d[j]) + float32(a*x)
		}
	})
}

// SquaredNorm adds up the squares of all elements of all tensors, tile by tile; see tensor.Backend.
func (b *Backend) SquaredNorm(dst *tensor.Tensor, xs []*tensor.Tensor) {
	if !f32(dst) || !f32(xs...) {
		b.ref.SquaredNorm(dst, xs)
		return
	}
	ts := tiles(xs)
	sums, total := make([]float64, len(ts)), 0.0
	b.pool.Run(len(ts), func(i int) {
		x := host(xs[ts[i].k])[ts[i].lo:ts[i].hi]
		sums[i] = vec.Dot(x, x)
	})
	for _, s := range sums {
		total += s
	}
	host(dst)[0] = float32(total)
}
