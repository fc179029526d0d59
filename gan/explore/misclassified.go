package explore

import (
	"fmt"
	"math"
	"slices"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

const misclassifiedText = "Images that the classifier gets wrong, painted from its logits. Each " +
	"is compared with an image of the same true class that it gets right, the one with the " +
	"nearest largest logit, so that neither the class nor the classifier's confidence explains a " +
	"gap. **A gap near 0 says that a wrong answer holds as much of the image as a right one.** " +
	"Against the control, another test image of the predicted class, a negative difference says " +
	"that more than the wrong class came back."

// misclassified asks whether a wrong answer holds as much of the image as a right one.
func misclassified(l *lab) (*Result, error) {
	if i := slices.Index(l.labels, data.Unlabeled); i >= 0 {
		return nil, tensor.Refuse("explore: misclassified: image %d of %s has no label to compare the "+
			"answer with: expected labelled images: put each into the folder of its class", i,
			l.Test.Name())
	}
	if err := sameClasses(l.answer, l.Test); err != nil {
		return nil, fmt.Errorf("explore: misclassified: %w", err)
	}
	pred := l.answer.Classes()
	var wrong, right []int
	for i, c := range pred {
		if c == l.labels[i] {
			right = append(right, i)
		} else {
			wrong = append(wrong, i)
		}
	}
	recon := l.paint(l.answer.Logits)
	err8 := metrics.MSE8(recon, l.images)
	rank := metrics.Retrieval(metrics.BlockMeans(recon, metrics.Grid),
		metrics.BlockMeans(l.images, metrics.Grid), metrics.FirstN(l.Images, pred))
	pairs := l.matchConfidence(wrong, right)
	gap, rankGap := gaps(err8, pairs), gaps(rank, pairs)
	control := l.againstOther(err8, wrong, pred)
	missed := make([]float64, l.Images)
	for _, w := range wrong {
		missed[w] = 100
	}
	r := &Result{Stats: []Stat{
		{Name: "images wrong", Unit: "%", Estimate: metrics.Mean(missed, l.key("wrong"))},
		{Name: "8×8 error, wrong − right", Better: "lower",
			Estimate: metrics.Mean(gap, l.key("gap"))},
		{Name: "retrieval, wrong − right", Unit: "points", Better: "lower",
			Estimate: metrics.Mean(rankGap, l.key("gap"))},
		{Name: "8×8 error, wrong − other image of the predicted class", Better: "lower",
			Estimate: metrics.Mean(control, l.key("control"))},
		{Name: "retrieval of wrong images, mean", Unit: "%", Better: "lower",
			Estimate: metrics.Mean(metrics.Defined(take(rank, wrong)), l.key("rank"))},
	}}
	r.Sheet = l.wrongSheet(recon, wrong, pred)
	return r, nil
}

// matchConfidence pairs each wrong image with a right one of the same true class whose largest
// logit is nearest; a right image serves once.
func (l *lab) matchConfidence(wrong, right []int) [][2]int {
	free := slices.Clone(right)
	var out [][2]int
	for _, w := range wrong {
		best, gap := -1, math.Inf(1)
		for k, r := range free {
			if r < 0 || l.labels[r] != l.labels[w] {
				continue
			}
			d := math.Abs(mat.Max(l.answer.Logits.RowView(r)) - mat.Max(l.answer.Logits.RowView(w)))
			if d < gap {
				best, gap = k, d
			}
		}
		if best >= 0 {
			out = append(out, [2]int{w, free[best]})
			free[best] = -1
		}
	}
	return out
}

// gaps returns x[wrong] − x[right] for the pairs where both are defined.
func gaps(x []float64, pairs [][2]int) []float64 {
	var out []float64
	for _, p := range pairs {
		if d := x[p[0]] - x[p[1]]; finite(d) {
			out = append(out, d)
		}
	}
	return out
}

func take(x []float64, index []int) []float64 {
	out := make([]float64, len(index))
	for i, k := range index {
		out[i] = x[k]
	}
	return out
}

// againstOther returns, for the wrong images, the error of the reconstruction less that of another
// test image of the predicted class.
func (l *lab) againstOther(err8 []float64, wrong []int, pred []int32) []float64 {
	rng := tensor.NewRNG(tensor.NewKey(l.Seed, "explore/misclassified"), 0)
	var out []float64
	for _, w := range wrong {
		var rivals []int
		for i, c := range pred {
			if c == pred[w] && i != w {
				rivals = append(rivals, i)
			}
		}
		if len(rivals) > 0 {
			other := l.images.Select([]int{rivals[rng.IntN(len(rivals))]})
			out = append(out, err8[w]-metrics.MSE8(other, l.images.Slice(w, w+1))[0])
		}
	}
	return out
}

// wrongSheet shows the first wrong images, as many as there are up to twice Pictures, each with two
// draws, of which the first is there already; nil if there is none.
func (l *lab) wrongSheet(first metrics.Images, wrong []int, pred []int32) *report.Sheet {
	wrong = wrong[:min(len(wrong), 2*l.Pictures)]
	if len(wrong) == 0 {
		return nil
	}
	upTo := cycle(wrong[len(wrong)-1]+1, 0) // noise is told by an image's place among all
	second := l.painter.Paint(l.answer.pick(upTo), Noise{l.Seed, 1})
	names := l.Test.Classes()
	s := &report.Sheet{Lead: true, Wrap: l.Pictures}
	for _, row := range []struct {
		caption string
		images  metrics.Images
	}{{"original", l.images}, {"draw 1", first}, {"draw 2", second}} {
		s.Rows = append(s.Rows, report.SheetRow{Caption: row.caption,
			Images: report.Pictures(row.images.Select(wrong))})
	}
	for _, w := range wrong {
		s.Columns = append(s.Columns, fmt.Sprintf("%s→%s", names[l.labels[w]], names[pred[w]]))
	}
	return s
}
