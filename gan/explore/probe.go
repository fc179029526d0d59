package explore

import (
	"fmt"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

const probeText = "A small regression from a code to the 8×8 block means of the image, fitted on " +
	"training images in closed form: what a small regressor already recovers from the label, " +
	"from the logits, from the features they are computed from. **It takes seconds and is a " +
	"lower bound: a generator may reach more.** R² is the share of the held-out images' " +
	"variance explained; retrieval is among the other test images of the predicted class."

// probe regresses the 8×8 means from the label, the logits and the features.
func probe(l *lab) (*Result, error) {
	if l.Train == nil {
		return nil, tensor.Refuse("explore: probe: it is fitted on training images: none were given")
	}
	n := l.TrainImages
	if n == 0 {
		n = 10000
	}
	if n = min(n, l.Train.Len()); n < 10 {
		return nil, tensor.Refuse("explore: probe: %d training images: expected at least 10", n)
	}
	target, code, _ := askAll(l.Train, n, l.Network)
	all := survey(l.Test, l.Test.Len(), l.Network, nil)
	lineup := metrics.FirstN(l.Images, all.predicts)
	truth := metrics.BlockMeans(l.images, metrics.Grid)
	k := width(code.Logits)
	r := &Result{}
	sheet := []report.SheetRow{
		{Caption: "original", Images: report.Pictures(l.images.Slice(0, l.Pictures))},
		{Caption: "8×8", Images: coarse(truth, l.Pictures, l.images.H)}}
	for _, c := range []struct {
		name      string
		fit, test *mat.Dense
	}{
		{"label", metrics.OneHot(code.Classes(), k), metrics.OneHot(l.answer.Classes(), k)},
		{"logits", code.Logits, l.answer.Logits},
		{"features", code.Features, l.answer.Features},
	} {
		if c.fit == nil {
			continue // the classifier has no features
		}
		key := tensor.NewKey(l.Seed, "explore/probe")
		p, err := metrics.FitProbe(c.fit, target, metrics.ProbeConfig{Key: key})
		if err != nil {
			return nil, err
		}
		y := p.Predict(c.test)
		rank := metrics.Retrieval(y, all.blocks, lineup)
		med := l.stat("retrieval, median, "+c.name, "%", "lower", rank)
		med.Median, med.Estimate = true, metrics.Median(metrics.Defined(rank), l.key("rank"))
		r2 := Stat{Name: "R², " + c.name, Better: "higher",
			Estimate: metrics.PooledR2(y, truth, columns(width(truth)), l.key("r2"))}
		r.Stats = append(r.Stats, r2, med, l.stat("retrieval, mean, "+c.name, "%", "lower", rank),
			l.stat("8×8 error, "+c.name, "", "lower", metrics.RowMSE(y, truth)))
		sheet = append(sheet, report.SheetRow{Caption: "from " + c.name,
			Images: coarse(y, l.Pictures, l.images.H)})
	}
	r.Sheet = &report.Sheet{Rows: sheet, Columns: numbers(l.Pictures), Lead: true}
	return r, nil
}

func columns(n int) []int { return cycle(n, 0) }

func numbers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}
