package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// NoiseSplit says how much of a generator's variation comes from the noise rather than from the
// code. The values are averages over the 8×8 block means, in units of [0, 1] squared.
type NoiseSplit struct {
	Noise []float64 // per image: sample variance over its draws
	Image float64   // sample variance over the images of one draw, averaged over draws
	Ratio float64   // mean of Noise over Image: 0, noise does nothing; 1, the code does nothing
}

// NoiseVariance splits the variation of several draws of the same n images. All draws share
// one shape; draw k holds image i painted from code i with noise k.
// It panics with fewer than two draws or two images, or if shapes differ.
func NoiseVariance(draws []Images) NoiseSplit {
	const op = "metrics.NoiseVariance"
	if len(draws) < 2 || draws[0].N < 2 {
		fail(op, "expected at least two draws of at least two images, got %d draws", len(draws))
	}
	blocks := make([]*mat.Dense, len(draws))
	for k, d := range draws {
		sameShape(op, draws[0], d)
		blocks[k] = BlockMeans(d, Grid)
	}
	n, dim := blocks[0].Dims()
	s := NoiseSplit{Noise: make([]float64, n)}
	line := make([]float64, len(draws))
	for i := range n {
		for j := range dim {
			for k, b := range blocks {
				line[k] = b.At(i, j)
			}
			s.Noise[i] += variance(line) / float64(dim)
		}
	}
	col := make([]float64, n)
	for _, b := range blocks {
		for j := range dim {
			mat.Col(col, j, b)
			s.Image += variance(col) / float64(dim*len(blocks))
		}
	}
	s.Ratio = Average(s.Noise) / s.Image
	return s
}

// variance returns the sample variance (n−1) in two passes.
func variance(x []float64) float64 {
	m, sum := Average(x), 0.0
	for _, v := range x {
		sum += (v - m) * (v - m)
	}
	return sum / float64(len(x)-1)
}

// Average returns the mean of x; Mean is it with its interval.
func Average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// MeanPairwiseDistance returns the mean root-mean-square pixel distance over all pairs of images,
// in units of [0, 1]. A generator that has collapsed paints one picture and falls towards 0;
// compare with the value of as many real images. It panics with fewer than two images.
func MeanPairwiseDistance(m Images) float64 {
	const op = "metrics.MeanPairwiseDistance"
	m.check(op)
	if m.N < 2 {
		fail(op, "expected at least two images, got %d", m.N)
	}
	a, _ := m.Range.affine()
	sum := 0.0
	for i := range m.N {
		for j := range i {
			x, y, sq := m.At(i), m.At(j), 0.0
			for k, v := range x {
				d := a * float64(v-y[k])
				sq += d * d
			}
			sum += math.Sqrt(sq / float64(len(x)))
		}
	}
	return sum / float64(m.N*(m.N-1)/2)
}
