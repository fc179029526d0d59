package metrics

import (
	"fmt"
	"testing"

	"gonum.org/v1/gonum/mat"

	"afterimage/bench/pytorch/golden"
	"afterimage/tensor"
)

// metricsTol bounds what double precision leaves of eigenproblems of five features, solved here by
// symmetric ones and by SciPy as a general root, and of windows summed in another order.
const metricsTol = 1e-13

// TestGolden compares with SciPy, scikit-learn and scikit-image; made by bench/pytorch/metrics.py.
func TestGolden(t *testing.T) {
	golden.OnlyDouble(t, "testdata/metrics.safetensors", metricsTol, func(r *golden.Run) {
		rows := func(name string) *mat.Dense {
			x := r.Array(name)
			return mat.NewDense(x.Shape[0], x.Shape[1], x.Float64s())
		}
		a, b := rows("in/a"), rows("in/b")
		value := func(a, b *mat.Dense) float64 {
			f, err := Frechet("golden", a, b)
			if err != nil {
				t.Fatal(err)
			}
			return f.Value
		}
		r.CompareFloats("frechet", []float64{value(a, b), value(b, a)})
		_, d := a.Dims()
		n, _ := b.Dims() // the smaller sample: KID takes the first as many of the other
		kid, _ := KID(a.Slice(0, n, 0, d).(*mat.Dense), b, 1, n, tensor.NewKey(1, "kid"))
		r.CompareFloats("KID", []float64{kid})
		for _, k := range []int{3, 5} {
			p, q := PrecisionRecall(a, b, k)
			r.CompareFloats(fmt.Sprintf("precision, recall k=%d", k), []float64{p, q})
		}
		p, q := images(r, "in/p"), images(r, "in/q")
		r.CompareFloats("PSNR", PSNR(p, q))
		r.CompareFloats("SSIM uniform", SSIM(p, q, SSIMUniform))
		r.CompareFloats("SSIM Gaussian", SSIM(p, q, SSIMGaussian))
	})
}

// images returns an array as images in [0, 1]; the file's values are single precision.
func images(r *golden.Run, name string) Images {
	x := r.Array(name)
	pix := make([]float32, x.Len())
	for i, v := range x.Float64s() {
		pix[i] = float32(v)
	}
	s := x.Shape
	return NewImages(s[0], s[1], s[2], s[3], Unit, pix)
}
