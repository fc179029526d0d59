package metrics

import "math"

// luma returns the brightness of image i [H W] in [0, 1]: ITU-R BT.601 weights (0.299, 0.587,
// 0.114) for three channels, the mean of the channels otherwise.
func (m Images) luma(i int) []float64 {
	px := make([]float64, m.Size())
	m.unit(i, px)
	out := make([]float64, m.H*m.W)
	for j := range out {
		p := px[j*m.C : (j+1)*m.C]
		if m.C == 3 {
			out[j] = 0.299*p[0] + 0.587*p[1] + 0.114*p[2]
		} else {
			out[j] = Average(p)
		}
	}
	return out
}

// Contrast returns the RMS contrast of each image: the population standard deviation of its
// brightness in [0, 1] (BT.601 luma). Range [0, 0.5]. Source: Peli 1990.
func Contrast(m Images) []float64 {
	m.check("metrics.Contrast")
	out := make([]float64, m.N)
	for i := range out {
		y := m.luma(i)
		mu, sum := Average(y), 0.0
		for _, v := range y {
			sum += (v - mu) * (v - mu)
		}
		out[i] = math.Sqrt(sum / float64(len(y)))
	}
	return out
}

// Gradient returns the mean gradient magnitude of each image's brightness, a measure of
// sharpness: the mean of √(dx² + dy²) over the (H−1)(W−1) pixels that have a right and a lower
// neighbour, with forward differences, in units of [0, 1] per pixel.
// It panics if the image has a side of one pixel.
func Gradient(m Images) []float64 {
	const op = "metrics.Gradient"
	m.check(op)
	if m.H < 2 || m.W < 2 {
		fail(op, "an image of %d×%d has no gradient", m.H, m.W)
	}
	out := make([]float64, m.N)
	for i := range out {
		y, sum := m.luma(i), 0.0
		for r := range m.H - 1 {
			for c := range m.W - 1 {
				p := y[r*m.W+c]
				sum += math.Hypot(y[r*m.W+c+1]-p, y[(r+1)*m.W+c]-p)
			}
		}
		out[i] = sum / float64((m.H-1)*(m.W-1))
	}
	return out
}
