package metrics_test

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"afterimage/gan/metrics"
	"afterimage/tensor"
)

// Four grey test images; the reconstruction of the first is a little too dark. How well does it
// pick out its original?
func Example() {
	gallery := flat(40, 80, 120, 160)
	recon := flat(30)

	fmt.Printf("PSNR %.1f dB\n", metrics.PSNR(recon, gallery.Slice(0, 1))[0])
	rank := metrics.Retrieval(
		metrics.BlockMeans(recon, metrics.Grid),
		metrics.BlockMeans(gallery, metrics.Grid),
		metrics.FirstN(1, []int32{0, 0, 0, 0}))
	fmt.Printf("rank %.0f %% (50 is chance)\n", rank[0])

	key := tensor.NewKey(1, "example")
	brightness := mat.Col(nil, 0, metrics.BlockMeans(gallery, 8))
	fmt.Println("mean brightness", metrics.Mean(brightness, key))
	// Output:
	// PSNR 28.1 dB
	// rank 0 % (50 is chance)
	// mean brightness 0.39 [0.24, 0.55]
}

func flat(greys ...uint8) metrics.Images {
	var pix []uint8
	for _, g := range greys {
		for range 64 {
			pix = append(pix, g)
		}
	}
	return metrics.FromBytes(len(greys), 8, 8, 1, pix)
}
