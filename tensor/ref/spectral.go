package ref

import (
	"math"
	"slices"

	"afterimage/tensor"
)

// PowerIterate makes one power iteration for each weight; see tensor.SpectralFuser.
func (b *Backend) PowerIterate(next, v, sigma, w, u []*tensor.Tensor, eps []float64) {
	for i := range w {
		m, us := w[i].Floats(), u[i].Floats()
		rows, cols := len(us), v[i].Size()
		vs := make([]float64, cols)
		for j, a := range m {
			vs[j%cols] += us[j/cols] * a
		}
		store(v[i], normalise(vs, eps[i]))
		vs = v[i].Floats() // as rounded
		product := make([]float64, rows)
		for j, a := range m {
			product[j/cols] += a * vs[j%cols]
		}
		store(next[i], normalise(slices.Clone(product), eps[i]))
		s := 0.0
		for j, x := range next[i].Floats() { // as rounded
			s += x * product[j]
		}
		store(sigma[i], []float64{s})
	}
}

// normalise returns x/max(‖x‖, eps), in place.
func normalise(x []float64, eps float64) []float64 {
	square := 0.0
	for _, a := range x {
		square += a * a
	}
	norm := math.Max(math.Sqrt(square), eps)
	for i := range x {
		x[i] /= norm
	}
	return x
}

// SpectralQuotient divides a weight by σ; see tensor.SpectralFuser.
func (b *Backend) SpectralQuotient(y, w, sigma *tensor.Tensor) {
	m, s := w.Floats(), sigma.Item()
	for j := range m {
		m[j] /= s
	}
	store(y, m)
}

// SpectralQuotientGrad is the gradient of SpectralQuotient for w; see tensor.SpectralFuser.
func (b *Backend) SpectralQuotientGrad(dw, dy, w, u, v, sigma *tensor.Tensor) {
	d, us, vs, s := dy.Floats(), u.Floats(), v.Floats(), sigma.Item()
	inner := 0.0
	for j, a := range w.Floats() {
		inner += d[j] * a
	}
	for j := range d {
		d[j] = d[j]/s - inner/(s*s)*us[j/len(vs)]*vs[j%len(vs)]
	}
	store(dw, d)
}
