package explore

import (
	"slices"
	"testing"

	"afterimage/gan"
	"afterimage/gan/metrics"
	"afterimage/gan/shipped"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// An opened counts the Inferences that are opened of a classifier.
type opened struct {
	gan.Classifier
	times int
}

func (o *opened) Inference(b tensor.Backend) *nn.Inference {
	o.times++
	return o.Classifier.Inference(b)
}

// TestInferenceLastsAsLongAsThePainter: what layers derive from weights is derived for the first
// question and there for the next, whose answer is the same, and goes with the weights.
func TestInferenceLastsAsLongAsThePainter(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	v, err := shipped.Open(s, "scenes-robust")
	if err != nil {
		t.Fatal(err)
	}
	count := &opened{Classifier: v.Conditioner.Model}
	v.Conditioner.Model = count
	p := FromInverter(s, v)
	weights := b.Memory().InUse
	var pictures [2]metrics.Images
	var kept [2]int
	for k := range pictures {
		grey := metrics.NewImages(2, 32, 32, 3, metrics.Unit, slices.Repeat([]float32{0.5}, 2*32*32*3))
		pictures[k] = p.Paint(p.Ask(grey), Noise{1, 0})
		kept[k] = b.Memory().InUse - weights
	}
	if count.times != 1 {
		t.Errorf("%d Inferences opened for two questions, expected 1", count.times)
	}
	if kept[0] <= 0 || kept[1] != kept[0] {
		t.Errorf("%d bytes kept after the first question, %d after the second: expected the same, "+
			"more than 0", kept[0], kept[1])
	}
	if !slices.Equal(pictures[0].Pix, pictures[1].Pix) {
		t.Error("asked again, the painter paints something else")
	}
	s.Close()
	if left := b.Memory().InUse; left != 0 {
		t.Errorf("%d bytes in use after the scope of the weights closed", left)
	}
}
