package explore

import (
	"slices"
	"testing"

	"afterimage/gan/metrics"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

const (
	fakeClasses = 4
	fakeSide    = 16
)

// fakeSet returns n images of random 2×2 blocks whose upper left 8×8 quarter tells the class: image
// i is of class i mod 4. The labels of the images in wrong are one too high.
func fakeSet(t testing.TB, n int, wrong ...int) data.Dataset {
	t.Helper()
	rng := tensor.NewRNG(tensor.NewKey(7, "test/images"), 0)
	pix := make([]uint8, n*fakeSide*fakeSide*3)
	labels := make([]int32, n)
	for i := range n {
		labels[i] = int32(i % fakeClasses)
		for y := 0; y < fakeSide; y += 2 {
			for x := 0; x < fakeSide; x += 2 {
				for c := range 3 {
					v := uint8(rng.IntN(256))
					if x < 8 && y < 8 {
						v = uint8(40 + 50*labels[i])
					}
					for k := range 4 {
						pix[((i*fakeSide+y+k/2)*fakeSide+x+k%2)*3+c] = v
					}
				}
			}
		}
	}
	for _, i := range wrong {
		labels[i] = (labels[i] + 1) % fakeClasses
	}
	m, err := data.NewMemory(data.Images{Name: "fake", Classes: []string{"a", "b", "c", "d"},
		H: fakeSide, W: fakeSide, C: 3, Pixels: pix, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// unlabelled returns the images of ds without their labels, as a folder without subfolders has
// them.
func unlabelled(t testing.TB, ds data.Dataset) data.Dataset {
	t.Helper()
	h, w, c := ds.Size()
	pix, labels := make([]uint8, ds.Len()*h*w*c), make([]int32, ds.Len())
	for i := range labels {
		ds.Read(i, pix[i*h*w*c:(i+1)*h*w*c])
		labels[i] = data.Unlabeled
	}
	m, err := data.NewMemory(data.Images{Name: "unlabelled", H: h, W: w, C: c, Pixels: pix,
		Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A seer reads the class off the upper left corner. Its features are the 8×8 means.
type seer struct{}

func (seer) Ask(m metrics.Images) Answer {
	m = m.In(metrics.Unit)
	z := mat.NewDense(m.N, fakeClasses, nil)
	for i := range m.N {
		level := float64(m.At(i)[0])
		for c := range fakeClasses {
			d := level - (40+50*float64(c))/255
			z.Set(i, c, 1-10*d*d+0.01*float64(i%7))
		}
	}
	return Answer{z, metrics.BlockMeans(m, metrics.Grid)}
}

// A fakePainter paints by a function of the answer and the draw.
type fakePainter struct {
	seer
	paint func(a Answer, n Noise) metrics.Images
}

func (p fakePainter) Paint(a Answer, n Noise) metrics.Images { return p.paint(a, n) }

// A tenfold is a painter whose classifier tells ten classes apart, and answers with the first ones.
type tenfold struct{ Painter }

func (p tenfold) Ask(m metrics.Images) Answer {
	a := p.Painter.Ask(m)
	n, k := a.Logits.Dims()
	const never = -10 // below what a seer says
	z := mat.NewDense(n, 10, slices.Repeat([]float64{never}, 10*n))
	z.Slice(0, n, 0, k).(*mat.Dense).Copy(a.Logits)
	return Answer{z, a.Features}
}

// oracle paints the true images, whatever it is told.
func oracle(ds data.Dataset) Painter {
	return fakePainter{paint: func(a Answer, _ Noise) metrics.Images {
		n, _ := a.Logits.Dims()
		m, _ := Load(ds, 0, n)
		return m
	}}
}

// average paints the mean image of the class that the answer names.
func averagePainter(ds data.Dataset) Painter {
	return fakePainter{paint: func(a Answer, _ Noise) metrics.Images {
		return classMeans(ds, ds.Len(), a.Classes())
	}}
}

// stripes paints vertical stripes around grey whose amplitude is 0.2 + 0.01 times the mean logit.
func stripes(a Answer, _ Noise) metrics.Images {
	n, k := a.Logits.Dims()
	pix := make([]float32, n*fakeSide*fakeSide*3)
	for i := range pix {
		amplitude := 0.2 + 0.01*mat.Sum(a.Logits.RowView(i/(fakeSide*fakeSide*3)))/float64(k)
		sign := 1 - 2*float64(i/3%2)
		pix[i] = float32(min(max(0.5+sign*amplitude, 0), 1))
	}
	return metrics.NewImages(n, fakeSide, fakeSide, 3, metrics.Unit, pix)
}
