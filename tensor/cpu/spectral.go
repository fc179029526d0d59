package cpu

import (
	"math"

	"afterimage/tensor"
	"afterimage/tensor/cpu/vec"
)

// Power iterations of a whole network share four regions: a row vector times every matrix, in
// chunks of rows; the vectors' norms; every matrix times its vector; these norms. A matrix is read
// twice, since its second use needs all of the first; a thread begins with the same chunks in both
// and finds those in its cache that fit.

// A powerStep is one matrix of a call of PowerIterate.
type powerStep struct {
	w, u, v, next []float32
	sigma         []float32
	eps           float64
	grain, chunks int       // rows in a chunk, and chunks
	sums          []float64 // [chunks, K]: what each chunk adds to Mᵀu
	product       []float64 // [R]: Mv
}

// A powerChunk is a run of rows of one matrix.
type powerChunk struct{ step, lo, hi int }

// PowerIterate makes one power iteration for each weight; see tensor.SpectralFuser.
func (b *Backend) PowerIterate(next, v, sigma, w, u []*tensor.Tensor, eps []float64) {
	if !f32(w...) || !f32(u...) {
		b.ref.PowerIterate(next, v, sigma, w, u, eps)
		return
	}
	steps, chunks, total := b.powerSteps(next, v, sigma, w, u, eps)
	all := b.doubles(total)
	for i, rest := 0, all; i < len(steps); i++ {
		n, rows := steps[i].chunks*len(steps[i].v), len(steps[i].u)
		steps[i].sums, steps[i].product, rest = rest[:n], rest[n:n+rows], rest[n+rows:]
	}
	b.pool.Run(len(chunks), func(i int) {
		c := chunks[i]
		s := &steps[c.step]
		k := len(s.v)
		acc := s.sums[c.lo/s.grain*k:][:k]
		clear(acc)
		vec.ColSumWeighted(acc, s.w[c.lo*k:c.hi*k], s.u[c.lo:c.hi])
	})
	b.pool.Run(len(steps), func(i int) { steps[i].right() })
	b.pool.Run(len(chunks), func(i int) {
		c := chunks[i]
		s := &steps[c.step]
		k := len(s.v)
		for r := c.lo; r < c.hi; r++ {
			s.product[r] = vec.Dot(s.w[r*k:(r+1)*k], s.v)
		}
	})
	b.pool.Run(len(steps), func(i int) { steps[i].left() })
	b.giveBack(all)
}

// powerSteps describes the matrices, their chunks, and how many sums all chunks have.
func (b *Backend) powerSteps(next, v, sigma, w, u []*tensor.Tensor, eps []float64) (
	steps []powerStep, chunks []powerChunk, total int) {
	steps = make([]powerStep, len(w))
	for i := range w {
		s := powerStep{w: host(w[i]), u: host(u[i]), v: host(v[i]), next: host(next[i]),
			sigma: host(sigma[i]), eps: eps[i]}
		rows := len(s.u)
		s.grain = rowGrain(rows, len(s.v))
		s.chunks = (rows + s.grain - 1) / s.grain
		total += s.chunks*len(s.v) + rows
		for lo := 0; lo < rows; lo += s.grain {
			chunks = append(chunks, powerChunk{i, lo, min(rows, lo+s.grain)})
		}
		steps[i] = s
	}
	return steps, chunks, total
}

// rowGrain is how many of a matrix's rows make a chunk: whole groups of the vector loops.
func rowGrain(rows, cols int) int {
	grain := (chunk/max(cols, 1) + columnRows - 1) / columnRows * columnRows
	return max(1, min(rows, max(grain, columnRows)))
}

// right adds up the chunks of Mᵀu and makes v of it.
func (s *powerStep) right() {
	k := len(s.v)
	sum := s.sums[:k]
	if s.chunks == 0 {
		clear(s.v)
		return
	}
	for i := 1; i < s.chunks; i++ {
		vec.AddDoubles(sum, s.sums[i*k:][:k])
	}
	for i, x := range sum {
		s.v[i] = float32(x)
	}
	normalise(s.v, s.v, s.eps)
}

// left makes the next u of Mv, and σ, whose sum is cut into the chunks of rows.
func (s *powerStep) left() {
	for r, x := range s.product {
		s.next[r] = float32(x)
	}
	normalise(s.next, s.next, s.eps)
	total := 0.0
	for lo := 0; lo < len(s.next); lo += s.grain {
		sum := 0.0
		for r := lo; r < min(lo+s.grain, len(s.next)); r++ {
			sum += float64(s.next[r]) * s.product[r]
		}
		total += sum
	}
	s.sigma[0] = float32(total)
}

// normalise computes dst = x/max(‖x‖, eps).
func normalise(dst, x []float32, eps float64) {
	norm := math.Max(math.Sqrt(vec.Dot(x, x)), eps)
	vec.MulScalar(dst, x, float32(1/norm))
}

// SpectralQuotient divides a weight by σ; see tensor.SpectralFuser.
func (b *Backend) SpectralQuotient(y, w, sigma *tensor.Tensor) {
	if !f32(y, sigma, w) {
		b.ref.SpectralQuotient(y, w, sigma)
		return
	}
	d, m, s := host(y), host(w), host(sigma)[0]
	b.split(len(d), chunk, func(lo, hi int) { vec.DivScalar(d[lo:hi], m[lo:hi], s) })
}

// SpectralQuotientGrad is the gradient of SpectralQuotient for w; see tensor.SpectralFuser.
func (b *Backend) SpectralQuotientGrad(dw, dy, w, u, v, sigma *tensor.Tensor) {
	if !f32(dw, dy, w, u, v, sigma) || w.Size() == 0 {
		b.ref.SpectralQuotientGrad(dw, dy, w, u, v, sigma)
		return
	}
	out, g, m, us, vs, s := host(dw), host(dy), host(w), host(u), host(v), float64(host(sigma)[0])
	k := len(vs)
	inner := b.rowSum(len(us), k, func(r int) float64 {
		return vec.Dot(g[r*k:(r+1)*k], m[r*k:(r+1)*k])
	})
	b.split(len(us), rowGrain(len(us), k), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			vec.AXPBY(out[r*k:(r+1)*k], float32(1/s), g[r*k:(r+1)*k],
				float32(-inner/(s*s)*float64(us[r])), vs)
		}
	})
}

// rowSum adds f over rows of cols elements: chunks of rows, added in order.
func (b *Backend) rowSum(rows, cols int, f func(r int) float64) float64 {
	grain := rowGrain(rows, cols)
	part := b.doubles((rows + grain - 1) / grain)
	b.split(rows, grain, func(lo, hi int) {
		sum := 0.0
		for r := lo; r < hi; r++ {
			sum += f(r)
		}
		part[lo/grain] = sum
	})
	total := 0.0
	for _, p := range part {
		total += p
	}
	b.giveBack(part)
	return total
}
