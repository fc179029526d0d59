package lpips_test

import (
	"fmt"

	"afterimage/gan/metrics"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A metric compares batches pair by pair. Its weights usually come from Open; here they are drawn,
// which gives no meaningful distance, but still 0 for equal images.
func Example() {
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	m := lpips.New(b, lpips.Squeeze)
	nn.Init(s, nn.Join(m.Backbone(), m.Linear()), 1)

	dark := metrics.FromBytes(1, 32, 32, 3, make([]uint8, 32*32*3))
	white := metrics.NewImages(1, 32, 32, 3, metrics.Signed, ones(32*32*3))
	fmt.Println(m.Distance(dark, dark)[0], m.Distance(dark, white)[0] > 0)
	// Output: 0 true
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}
