package explore

import (
	"fmt"
	"math"
	"slices"

	"afterimage/gan/metrics"
	"afterimage/gan/report"

	"gonum.org/v1/gonum/mat"
)

const shiftText = "One constant is added to all logits, in units of their mean standard " +
	"deviation over the images. Softmax, and so the class and its probability, does not change " +
	"at all. **If the picture changes, the generator uses what softmax deletes.** The slopes are " +
	"of RMS contrast and of mean gradient magnitude (sharpness) over the shift."

// shift adds a constant to all logits, which softmax would delete.
func shift(l *lab) (*Result, error) {
	unit := metrics.Average(l.spread())
	var levels []level
	for _, v := range []float64{-2, -1, -0.5, 0, 0.5, 1, 2} {
		levels = append(levels, level{value: v, position: v, caption: signed(v) + " std",
			images: l.paint(affine(l.answer.Logits, 1, v*unit))})
	}
	r := l.sweep(levels, Curve{XLabel: "shift of all logits (std)"}, "per std")
	change := metrics.MSE8(levels[0].images, levels[len(levels)-1].images)
	r.Stats = append(r.Stats, l.stat("8×8 distance, −2 to +2", "", "", change))
	return r, nil
}

// signed writes a level with its sign, a true minus.
func signed(v float64) string {
	switch {
	case v < 0:
		return fmt.Sprintf("−%g", -v)
	case v > 0:
		return fmt.Sprintf("+%g", v)
	}
	return "0"
}

const scaleText = "All logits are multiplied by a factor. The contrast slope is per doubling. " +
	"**Content** is what is left after each colour channel of the picture was given the mean and " +
	"the spread of the picture from the true logits: its distance says whether more than " +
	"contrast changed."

// scale multiplies all logits: whether contrast follows, and whether more than contrast does.
func scale(l *lab) (*Result, error) {
	factors := []float64{0.25, 0.5, 1, 2, 4}
	var levels []level
	for _, f := range factors {
		levels = append(levels, level{value: f, position: math.Log2(f), caption: fmt.Sprintf("×%g", f),
			images: l.paint(affine(l.answer.Logits, f, 0))})
	}
	axis := Curve{XLabel: "factor on all logits", LogX: true}
	r := l.sweep(levels, axis, "per doubling")
	base := levels[slices.Index(factors, 1)].images
	c := l.content()
	baseFeatures := c.features(base)
	curve := axis
	curve.Name, curve.YLabel, curve.X = "content distance", "8×8 error after matching", factors
	for k, f := range factors {
		m := match(levels[k].images, base)
		s := l.stat(fmt.Sprintf("content distance at ×%g, 8×8", f), "", "", metrics.MSE8(m, base))
		curve.Y = append(curve.Y, s.Estimate)
		if f == 1 { // zero by construction
			continue
		}
		r.Stats = append(r.Stats, s)
		if x := c.features(m); x != nil {
			r.Stats = append(r.Stats, l.stat(fmt.Sprintf("content distance at ×%g, features", f),
				"", "", c.byFeatures(x, baseFeatures)))
		}
	}
	r.Curves = append(r.Curves, curve)
	return r, nil
}

// A level is one setting of what is swept, and what was painted under it.
type level struct {
	value    float64 // on the curves' axis
	position float64 // over which slopes are taken
	caption  string
	images   metrics.Images
}

// sweep measures contrast and sharpness at each level, and their slope over positions for each
// image, in units of per. axis is what the curves have in common.
func (l *lab) sweep(levels []level, axis Curve, per string) *Result {
	r := &Result{}
	var positions []float64
	shown, columns := []metrics.Images{l.images.Slice(0, l.Pictures)}, []string{"original"}
	for _, v := range levels {
		axis.X, positions = append(axis.X, v.value), append(positions, v.position)
		shown, columns = append(shown, v.images.Slice(0, l.Pictures)), append(columns, v.caption)
	}
	for _, m := range []struct {
		name string
		of   func(metrics.Images) []float64
	}{{"RMS contrast", metrics.Contrast}, {"gradient", metrics.Gradient}} {
		c := axis
		c.Name, c.YLabel = m.name, m.name
		values := make([][]float64, len(levels))
		for k, v := range levels {
			values[k] = m.of(v.images)
			c.Y = append(c.Y, metrics.Mean(values[k], l.key(m.name)))
		}
		r.Curves = append(r.Curves, c)
		r.Stats = append(r.Stats, l.stat(m.name+" slope", per, "", slopes(positions, values)))
	}
	r.Sheet = &report.Sheet{Columns: columns, Rows: byImage(shown, l.Pictures)}
	return r
}

// slopes returns the least-squares slope of each image's values, values[level][image], over x.
func slopes(x []float64, values [][]float64) []float64 {
	mean := metrics.Average(x)
	den := 0.0
	for _, v := range x {
		den += (v - mean) * (v - mean)
	}
	out := make([]float64, len(values[0]))
	for k, v := range x {
		add(out, values[k], (v-mean)/den)
	}
	return out
}

// affine returns a·z + b.
func affine(z *mat.Dense, a, b float64) *mat.Dense {
	out := mat.DenseCopyOf(z)
	out.Apply(func(_, _ int, v float64) float64 { return a*v + b }, out)
	return out
}

// flat is the spread below which a channel counts as of one colour: a quarter of one of 256 levels.
// Its pattern is rounding and is not blown up.
const flat = 0.25 / 255

// match returns m with the mean and standard deviation of each channel of each image made those of
// like, cut to [0, 1]. A channel without any pattern gets the mean alone.
func match(m, like metrics.Images) metrics.Images {
	out := make([]float32, len(m.Pix))
	size, c := m.Size(), m.C
	for i := range m.N {
		for ch := range c {
			from, to := moments(m.At(i)[ch:], c), moments(like.At(i)[ch:], c)
			gain := 0.0
			if from[1] > flat {
				gain = to[1] / from[1]
			}
			for p := ch; p < size; p += c {
				v := to[0] + gain*(float64(m.Pix[i*size+p])-from[0])
				out[i*size+p] = float32(min(max(v, 0), 1))
			}
		}
	}
	return metrics.NewImages(m.N, m.H, m.W, m.C, metrics.Unit, out)
}

// moments returns mean and standard deviation of every stride-th value.
func moments(x []float32, stride int) [2]float64 {
	sum, n := 0.0, 0
	for i := 0; i < len(x); i += stride {
		sum += float64(x[i])
		n++
	}
	mean, sq := sum/float64(n), 0.0
	for i := 0; i < len(x); i += stride {
		sq += (float64(x[i]) - mean) * (float64(x[i]) - mean)
	}
	return [2]float64{mean, math.Sqrt(sq / float64(n))}
}
