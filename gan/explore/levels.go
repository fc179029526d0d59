package explore

import (
	"fmt"
	"math"

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
	levels := []float64{-2, -1, -0.5, 0, 0.5, 1, 2}
	var columns []metrics.Images
	captions := make([]string, len(levels))
	for k, v := range levels {
		columns = append(columns, l.paint(affine(l.answer.Logits, 1, v*unit)))
		captions[k] = signed(v) + " std"
	}
	r := l.sweep(levels, levels, columns, captions, "shift of all logits (std)", false)
	change := metrics.MSE8(columns[0], columns[len(columns)-1])
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
	doublings := make([]float64, len(factors))
	var columns []metrics.Images
	captions := make([]string, len(factors))
	for k, f := range factors {
		doublings[k] = math.Log2(f)
		columns = append(columns, l.paint(affine(l.answer.Logits, f, 0)))
		captions[k] = fmt.Sprintf("×%g", f)
	}
	r := l.sweep(factors, doublings, columns, captions, "factor on all logits", true)
	base := columns[2]
	c := l.content()
	baseFeatures := c.features(base)
	curve := Curve{Name: "content distance", XLabel: "factor on all logits",
		YLabel: "8×8 error after matching", LogX: true, X: factors}
	for k, f := range factors {
		m := match(columns[k], base)
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

// sweep measures contrast and sharpness at each level, and their slope over positions for each
// image.
func (l *lab) sweep(levels, positions []float64, columns []metrics.Images, captions []string,
	xLabel string, logX bool) *Result {
	r := &Result{}
	per := "per std"
	if logX {
		per = "per doubling"
	}
	for _, m := range []struct {
		name string
		of   func(metrics.Images) []float64
	}{{"RMS contrast", metrics.Contrast}, {"gradient", metrics.Gradient}} {
		c := Curve{Name: m.name, XLabel: xLabel, YLabel: m.name, LogX: logX, X: levels}
		values := make([][]float64, len(levels))
		for k, images := range columns {
			values[k] = m.of(images)
			c.Y = append(c.Y, metrics.Mean(values[k], l.key(m.name)))
		}
		r.Curves = append(r.Curves, c)
		r.Stats = append(r.Stats, l.stat(m.name+" slope", per, "", slopes(positions, values)))
	}
	shown := []metrics.Images{l.images.Slice(0, l.Pictures)}
	for _, c := range columns {
		shown = append(shown, c.Slice(0, l.Pictures))
	}
	r.Sheet = &report.Sheet{Columns: append([]string{"original"}, captions...),
		Rows: byImage(shown, l.Pictures)}
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
