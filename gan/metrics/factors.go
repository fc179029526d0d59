package metrics

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

// A FactorRegressor reads known factors of a scene (position, size, colours, light, angle) off its
// picture. It is fitted once on real images and then applied unchanged to reconstructions: what it
// still finds there is what the code kept, and its R² on held-out real images is the ceiling.
type FactorRegressor struct {
	Names []string // of the factors, in column order
	probe *Probe
}

// FitFactors fits the factors [n, len(names)] of the images. Give an angle as the pair cos(kθ),
// sin(kθ), k the order of the shape's symmetry: an angle itself jumps where it wraps.
// It panics if shapes do not fit, n < 10, or 16 does not divide H and W.
func FitFactors(m Images, factors *mat.Dense, names []string,
	key tensor.Key) (*FactorRegressor, error) {
	n, q := factors.Dims()
	if n != m.N || q != len(names) {
		fail("metrics.FitFactors", "%d images, factors [%d %d], %d names", m.N, n, q, len(names))
	}
	p, err := FitProbe(SceneFeatures(m), factors, ProbeConfig{Features: 384, Key: key})
	if err != nil {
		return nil, err
	}
	return &FactorRegressor{names, p}, nil
}

// Read returns the factors found in the images, [n, factors].
func (r *FactorRegressor) Read(m Images) *mat.Dense { return r.probe.Predict(SceneFeatures(m)) }

// SceneFeatures describes images by their 8×8 block means followed by what separates an object
// from its background on the 16×16 grid of block means. With b the mean colour of the border cells
// and w the squared distance of each cell's colour to b:
//
//	b (C numbers), object colour Σw·colour/Σw (C), border deviation, log Σw,
//	centroid x, y, and the second moments xx, xy, yy about it
//
// all in units of [0, 1]; [N, 8·8·C + 2·C + 7]. It panics unless 16 divides H and W.
func SceneFeatures(m Images) *mat.Dense {
	const g = 16
	coarse, fine := BlockMeans(m, Grid), BlockMeans(m, g)
	_, d := coarse.Dims()
	out := NewDense(m.N, d+2*m.C+7)
	for i := range m.N {
		row := out.RawRowView(i)
		copy(row, coarse.RawRowView(i))
		objectMoments(fine.RawRowView(i), g, m.C, row[d:])
	}
	return out
}

// objectMoments writes the 2·c + 7 object features of one grid [g g c] into dst.
func objectMoments(cells []float64, g, c int, dst []float64) {
	border, object := dst[:c], dst[c:2*c]
	count := float64(4 * (g - 1))
	eachBorder(g, func(i int) {
		for k := range c {
			border[k] += cells[i*c+k] / count
		}
	})
	spread := 0.0
	eachBorder(g, func(i int) { spread += squaredDistance(cells[i*c:(i+1)*c], border) / count })
	const floor = 1e-6 // a picture of one colour has no object: its centroid is the middle
	w := make([]float64, g*g)
	sum := 0.0
	for i := range w {
		w[i] = squaredDistance(cells[i*c:(i+1)*c], border) + floor
		sum += w[i]
	}
	var x, y, xx, xy, yy float64
	at := func(i int) (px, py float64) {
		return (float64(i%g) + 0.5) / float64(g), (float64(i/g) + 0.5) / float64(g)
	}
	for i, v := range w {
		px, py := at(i)
		x, y = x+v*px/sum, y+v*py/sum
		for k := range c {
			object[k] += v * cells[i*c+k] / sum
		}
	}
	for i, v := range w {
		px, py := at(i)
		xx += v * (px - x) * (px - x) / sum
		xy += v * (px - x) * (py - y) / sum
		yy += v * (py - y) * (py - y) / sum
	}
	copy(dst[2*c:], []float64{math.Sqrt(spread), math.Log(sum), x, y, xx, xy, yy})
}

// eachBorder calls f with the index of every cell on the rim of a g×g grid, once.
func eachBorder(g int, f func(i int)) {
	for r := range g {
		for c := range g {
			if r == 0 || c == 0 || r == g-1 || c == g-1 {
				f(r*g + c)
			}
		}
	}
}
