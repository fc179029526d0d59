package explore

import (
	"fmt"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

const noiseText = "Each image is painted from the same logits with several noise draws. **What " +
	"stays from draw to draw is in the logits; what changes is not.** The noise variance is that " +
	"of the 8×8 block means over draws; the paper reports that noise changes less for a robust " +
	"classifier, so a ratio below 1 of robust to standard agrees with it. Class kept is the " +
	"share of draws that the classifier gives the original's class; the logit error is ‖Φ(x′) − " +
	"z‖ / ‖z‖, to be compared with the same error against another image's logits."

// noise asks how much of the picture the noise decides, and whether it keeps the class.
func noise(l *lab) (*Result, error) {
	n := l.Images
	kept, far, shuffled := make([]float64, n), make([]float64, n), make([]float64, n)
	var small, shown []metrics.Images
	sum, square := make([]float64, n*l.images.Size()), make([]float64, n*l.images.Size())
	others := l.answer.pick(cycle(n, n/2))
	for k := range l.Draws {
		m := l.painter.Paint(l.answer, Noise{l.Seed, k}).In(metrics.Unit)
		a := l.painter.Ask(m)
		add(kept, metrics.Agreement(a.Logits, l.answer.Logits), 1/float64(l.Draws))
		add(far, metrics.LogitDistance(a.Logits, l.answer.Logits), 1/float64(l.Draws))
		add(shuffled, metrics.LogitDistance(a.Logits, others.Logits), 1/float64(l.Draws))
		for i, v := range m.Pix {
			sum[i] += float64(v)
			square[i] += float64(v) * float64(v)
		}
		small, shown = append(small, shrink(m)), append(shown, m.Slice(0, l.Pictures))
	}
	split := metrics.NoiseVariance(small)
	variance := l.stat("noise variance, 8×8 means", "", "lower", split.Noise)
	pixels := l.stat("noise variance, pixels", "", "lower", pixelVariance(sum, square, n, l.Draws))
	share := make([]float64, n)
	for i, v := range split.Noise {
		share[i] = v / split.Image
	}
	relative := l.stat("noise / image variance", "", "lower", share)
	variance.Ratio, pixels.Ratio, relative.Ratio = true, true, true
	r := &Result{Stats: []Stat{variance, pixels, relative,
		l.stat("class kept", "", "higher", kept),
		l.stat("logit error", "", "lower", far),
		l.stat("logit error, another image's logits", "", "", shuffled)}}
	r.Sheet = noiseSheet(l, shown)
	return r, nil
}

// pixelVariance returns, for each image, the sample variance over draws, averaged over its values.
func pixelVariance(sum, square []float64, n, draws int) []float64 {
	out, size, k := make([]float64, n), len(sum)/n, float64(draws)
	for i, s := range sum {
		out[i/size] += max(square[i]-s*s/k, 0) / (k - 1) / float64(size)
	}
	return out
}

// noiseSheet has a row for each image: itself, some draws, the mean of all.
func noiseSheet(l *lab, draws []metrics.Images) *report.Sheet {
	const most = 8
	s := &report.Sheet{Columns: []string{"original"}}
	columns := []metrics.Images{l.images.Slice(0, l.Pictures)}
	for k := range min(most, len(draws)) {
		s.Columns = append(s.Columns, fmt.Sprintf("draw %d", k+1))
		columns = append(columns, draws[k])
	}
	s.Columns = append(s.Columns, fmt.Sprintf("mean of %d", len(draws)))
	columns = append(columns, metrics.MeanImages(draws...))
	s.Rows = byImage(columns, l.Pictures)
	return s
}

// byImage turns columns of pictures into rows captioned with the image's number.
func byImage(columns []metrics.Images, n int) []report.SheetRow {
	var out []report.SheetRow
	for i := range n {
		row := report.SheetRow{Caption: fmt.Sprintf("image %d", i)}
		for _, c := range columns {
			row.Images = append(row.Images, report.Picture(c, i))
		}
		out = append(out, row)
	}
	return out
}

// add adds w·y to x.
func add(x, y []float64, w float64) {
	for i, v := range y {
		x[i] += w * v
	}
}

// cycle returns by, by+1, …, wrapping round at n: a reordering in which, for by from 1 to n−1,
// nothing stays in its place.
func cycle(n, by int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = (i + by) % n
	}
	return out
}

const perturbText = "Gaussian noise is added to the logits, in units of each logit's own " +
	"standard deviation over the images and in absolute units, with the picture's own noise held " +
	"fixed. The distance is between the picture from the disturbed and from the true logits. " +
	"**Both units are given because the answer can depend on them**: a robust classifier's " +
	"logits are smaller."

// perturb asks how far the picture moves when the logits do.
func perturb(l *lab) (*Result, error) {
	levels := []float64{0.25, 0.5, 1, 2}
	std := l.spread()
	one := make([]float64, len(std))
	for i := range one {
		one[i] = 1
	}
	base := l.paint(l.answer.Logits)
	c := l.content()
	baseFeatures := c.features(base)
	r := &Result{}
	s := &report.Sheet{Columns: []string{"original", "true logits"}}
	columns := []metrics.Images{l.images.Slice(0, l.Pictures), base.Slice(0, l.Pictures)}
	for _, unit := range []struct {
		name string
		size []float64
	}{{"std", std}, {"absolute", one}} {
		near := Curve{Name: "8×8 distance, " + unit.name, YLabel: "8×8 error", X: levels, LogX: true,
			XLabel: "noise on the logits (" + unit.name + ")"}
		kept := Curve{Name: "same class, " + unit.name, XLabel: near.XLabel, YLabel: "class kept",
			X: levels, LogX: true}
		for k, sigma := range levels {
			key := tensor.NewKey(l.Seed, "explore/perturb")
			m := l.paint(jitter(l.answer.Logits, unit.size, sigma, key, uint32(k)))
			name := fmt.Sprintf("at %g %s", sigma, unit.name)
			d := l.stat("8×8 distance "+name, "", "lower", metrics.MSE8(m, base))
			a := l.stat("class kept "+name, "", "higher",
				metrics.Agreement(l.painter.Ask(m).Logits, l.answer.Logits))
			r.Stats = append(r.Stats, d, a)
			if f := c.features(m); f != nil {
				r.Stats = append(r.Stats, l.stat("feature distance "+name, "", "lower",
					c.byFeatures(f, baseFeatures)))
			}
			near.Y, kept.Y = append(near.Y, d.Estimate), append(kept.Y, a.Estimate)
			if unit.name == "std" {
				s.Columns = append(s.Columns, fmt.Sprintf("±%g std", sigma))
				columns = append(columns, m.Slice(0, l.Pictures))
			}
		}
		r.Curves = append(r.Curves, near, kept)
	}
	s.Rows = byImage(columns, l.Pictures)
	r.Sheet = s
	return r, nil
}

// jitter returns z + sigma·size·n with n standard normal, one for each element: a pure function of
// (key, step, element).
func jitter(z *mat.Dense, size []float64, sigma float64, key tensor.Key, step uint32) *mat.Dense {
	n, k := z.Dims()
	out := metrics.NewDense(n, k)
	for i := range n {
		for c := range k {
			e := tensor.StdNormal(key.Word(step, uint64(i*k+c)))
			out.Set(i, c, z.At(i, c)+sigma*size[c]*e)
		}
	}
	return out
}
