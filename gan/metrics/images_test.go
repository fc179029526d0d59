package metrics

import (
	"math"
	"strings"
	"testing"

	"afterimage/tensor"
)

// mustPanic checks that f is refused as misuse and that the message holds want.
func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	err := tensor.Try(f)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
}

// randomImages returns n images [h w c] of uniform pixels.
func randomImages(n, h, w, c int, r Range, stream string) Images {
	rng := tensor.NewRNG(tensor.NewKey(1, stream), 0)
	lo := 0.0
	if r == Signed {
		lo = -1
	}
	pix := make([]float32, n*h*w*c)
	for i := range pix {
		pix[i] = float32(rng.Uniform(lo, 1))
	}
	return NewImages(n, h, w, c, r, pix)
}

func near(t *testing.T, name string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %v, want %v ± %g", name, got, want, tol)
	}
}

func TestRangeIsChecked(t *testing.T) {
	nan := float32(math.NaN())
	mustPanic(t, "outside [0, 1]", func() { NewImages(1, 1, 1, 1, Unit, []float32{-0.5}) })
	mustPanic(t, "outside [-1, 1]", func() { NewImages(1, 1, 1, 1, Signed, []float32{1.01}) })
	mustPanic(t, "pixel 0 of image 1 is NaN", func() {
		NewImages(2, 1, 1, 1, Unit, []float32{0, nan})
	})
	mustPanic(t, "unknown range", func() { NewImages(1, 1, 1, 1, 0, []float32{0}) })
	mustPanic(t, "3 pixels do not make", func() { NewImages(1, 1, 1, 1, Unit, make([]float32, 3)) })
	mustPanic(t, "make it with NewImages", func() { MSE(Images{}, Images{}) })
	a, b := randomImages(2, 8, 8, 3, Unit, "a"), randomImages(2, 8, 8, 1, Unit, "b")
	mustPanic(t, "shapes differ", func() { PSNR(a, b) })
	mustPanic(t, "different ranges", func() { MeanImages(a, a.In(Signed)) })
}

func TestConversions(t *testing.T) {
	m := FromBytes(2, 1, 1, 2, []uint8{0, 255, 51, 102})
	s := m.In(Signed)
	for i, want := range []float64{-1, 1, -0.6, -0.2} {
		near(t, "symmetric", float64(s.Pix[i]), want, 1e-7)
	}
	near(t, "back", float64(s.In(Unit).Pix[2]), 0.2, 1e-7)
	if got := m.Select([]int{1, 0, 1}); got.N != 3 || got.Pix[0] != m.Pix[2] || got.Pix[2] != 0 {
		t.Errorf("Select = %+v", got)
	}
	if got := m.Slice(1, 2); got.N != 1 || got.At(0)[1] != m.Pix[3] {
		t.Errorf("Slice = %+v", got)
	}
	mean := MeanImages(m, FromBytes(2, 1, 1, 2, []uint8{255, 255, 51, 0}))
	for i, want := range []float64{0.5, 1, 0.2, 0.2} {
		near(t, "mean", float64(mean.Pix[i]), want, 1e-7)
	}
}

func TestMSEAndPSNR(t *testing.T) {
	a := FromBytes(2, 1, 2, 1, []uint8{0, 0, 255, 0})
	b := FromBytes(2, 1, 2, 1, []uint8{255, 0, 255, 0})
	if got := MSE(a, b); got[0] != 0.5 || got[1] != 0 {
		t.Errorf("MSE = %v, want [0.5 0]", got)
	}
	got := PSNR(a, b)
	near(t, "PSNR", got[0], 10*math.Log10(2), 1e-12)
	if !math.IsInf(got[1], 1) {
		t.Errorf("PSNR of equal images = %v, want +Inf", got[1])
	}
	// The range is part of the batch, so it must not change any measure.
	const tol = 1e-6 // one rounding to float32 per pixel
	x, y := randomImages(3, 16, 16, 3, Unit, "x"), randomImages(3, 16, 16, 3, Unit, "y")
	xs, ys := x.In(Signed), y.In(Signed)
	for i := range 3 {
		near(t, "PSNR", PSNR(xs, y)[i], PSNR(x, y)[i], 1e-5)
		near(t, "SSIM", SSIM(x, ys, SSIMGaussian)[i], SSIM(x, y, SSIMGaussian)[i], tol)
		near(t, "MSE8", MSE8(xs, ys)[i], MSE8(x, y)[i], tol)
		near(t, "contrast", Contrast(xs)[i], Contrast(x)[i], tol)
		near(t, "gradient", Gradient(xs)[i], Gradient(x)[i], tol)
	}
	near(t, "pairs", MeanPairwiseDistance(xs), MeanPairwiseDistance(x), tol)
}

func TestBlockMeans(t *testing.T) {
	pix := make([]uint8, 16*16*3)
	for i := range pix { // channel 1 of the block in row 2, column 5 is white
		y, x, c := i/48, i/3%16, i%3
		if y/2 == 2 && x/2 == 5 && c == 1 {
			pix[i] = 255
		}
	}
	pix[0] = 255 // a quarter of block (0, 0), channel 0
	b := BlockMeans(FromBytes(1, 16, 16, 3, pix), 8)
	if n, d := b.Dims(); n != 1 || d != 192 {
		t.Fatalf("dims [%d %d], want [1 192]", n, d)
	}
	for j, v := range b.RawRowView(0) {
		want := map[int]float64{0: 0.25, (2*8+5)*3 + 1: 1}[j]
		near(t, "block", v, want, 0)
	}
	mustPanic(t, "does not divide", func() { BlockMeans(randomImages(1, 12, 16, 1, Unit, "x"), 8) })
}

func TestBrightnessStatistics(t *testing.T) {
	m := FromBytes(1, 2, 2, 1, []uint8{0, 255, 0, 255})
	near(t, "contrast", Contrast(m)[0], 0.5, 1e-12)
	near(t, "gradient", Gradient(m)[0], 1, 1e-12)
	red := FromBytes(1, 2, 2, 3, []uint8{255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	near(t, "red gradient", Gradient(red)[0], 0.299*math.Sqrt2, 1e-7)
	mustPanic(t, "no gradient", func() { Gradient(FromBytes(1, 1, 1, 1, []uint8{0})) })

	pair := FromBytes(3, 1, 2, 1, []uint8{0, 0, 255, 255, 0, 255})
	near(t, "pairs", MeanPairwiseDistance(pair), (1+2*math.Sqrt(0.5))/3, 1e-12)
	near(t, "collapsed", MeanPairwiseDistance(FromBytes(2, 1, 1, 1, []uint8{9, 9})), 0, 0)
	mustPanic(t, "at least two", func() { MeanPairwiseDistance(pair.Slice(0, 1)) })
}

func TestNoiseVariance(t *testing.T) {
	flat := func(a, b uint8) Images { // two images of one grey each
		pix := make([]uint8, 2*64)
		for i := range 64 {
			pix[i], pix[64+i] = a, b
		}
		return FromBytes(2, 8, 8, 1, pix)
	}
	s := NoiseVariance([]Images{flat(0, 255), flat(51, 255)})
	near(t, "noise of image 0", s.Noise[0], 0.02, 1e-8) // (0.2)²/2
	near(t, "noise of image 1", s.Noise[1], 0, 0)
	near(t, "image", s.Image, (0.5+0.32)/2, 1e-7)
	near(t, "ratio", s.Ratio, 0.01/0.41, 1e-7)
	mustPanic(t, "two draws", func() { NoiseVariance([]Images{flat(0, 1)}) })
}
