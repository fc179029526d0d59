package explore_test

import (
	"fmt"
	"slices"

	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/nn/data"

	"gonum.org/v1/gonum/mat"
)

// brightness is a classifier of ten classes that looks at one thing: its first logit is the image's
// brightness, the others never change. Its inverter paints grey of that brightness.
type brightness struct{}

func (brightness) Ask(m metrics.Images) explore.Answer {
	z, f := mat.NewDense(m.N, 10, slices.Repeat([]float64{0.5}, 10*m.N)), mat.NewDense(m.N, 1, nil)
	for i := range m.N {
		mean := 0.0
		for _, v := range m.In(metrics.Unit).At(i) {
			mean += float64(v) / float64(m.Size())
		}
		z.Set(i, 0, mean)
		f.Set(i, 0, mean)
	}
	return explore.Answer{Logits: z, Features: f}
}

func (brightness) Paint(a explore.Answer, _ explore.Noise) metrics.Images {
	n, _ := a.Logits.Dims()
	pix := make([]float32, n*32*32*3)
	for i := range pix {
		pix[i] = float32(a.Logits.At(i/(32*32*3), 0))
	}
	return metrics.NewImages(n, 32, 32, 3, metrics.Unit, pix)
}

// How much of a scene can be painted back from its brightness alone?
func Example() {
	set, err := data.Open("scenes", "", data.Options{Test: 100})
	if err != nil {
		panic(err)
	}
	e, err := explore.Evaluate(brightness{}, set.Test, explore.Options{Images: 100, Seed: 1})
	if err != nil {
		panic(err)
	}
	fmt.Println("the class is kept in", e.OneDraw.Agreement.Value)
	fmt.Println("better than chance:", e.OneDraw.Retrieval.Mean.Hi < 50)
	// Output:
	// the class is kept in 1
	// better than chance: true
}
