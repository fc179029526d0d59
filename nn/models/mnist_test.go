package models_test

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// Published networks have their published accuracy on all 10,000 MNIST test images: LeNet 0.9907,
// on images resized to 32×32; the FGSM-trained network 98.50 % on clean 28×28 images.
func TestPublishedMNISTAccuracy(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 20,000 images take seconds")
	}
	root := dataFile(t)
	for _, tc := range []struct {
		arch, file string
		opts       data.Options
		want       int
	}{
		{"lenet5", "mnist/lenet_epoch=12_test_acc=0.991.pth",
			data.Options{Size: 32, Fit: data.FitResize, Channels: 1}, 9907},
		{"convnet-mnist", "mnist-robust/fast_adversarial_fgsm.pth", data.Options{Channels: 1}, 9850},
	} {
		set, err := data.Open("mnist", root, tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		b := cpu.Open(1)
		s := tensor.NewScope(b)
		m := load(t, s, tc.arch, models.Options{}, dataFile(t, "models", tc.file))
		if got := countCorrect(b, m, set.Test); got != tc.want {
			t.Errorf("%s: %d of %d right, published %d", tc.arch, got, set.Test.Len(), tc.want)
		}
		s.Close()
		b.Close()
	}
}

// countCorrect returns how many images of ds the classifier gives their label.
func countCorrect(b tensor.Backend, m *models.Classifier, ds data.Dataset) (right int) {
	const batch = 500
	h, w, c := ds.Size()
	pix := make([]uint8, h*w*c)
	for lo := 0; lo < ds.Len(); lo += batch {
		n := min(batch, ds.Len()-lo)
		x, labels := make([]float32, 0, n*len(pix)), make([]int, n)
		for i := range n {
			labels[i] = ds.Read(lo+i, pix)
			for _, v := range pix {
				x = append(x, float32(v)/255)
			}
		}
		g := autodiff.NewGraph(b)
		g.NoGrad(func() {
			z := m.Forward(nn.NewCtx(g, false), g.Const(tensor.FromSlice(g.Scope(), x, n, h, w, c)))
			best := g.Scope().New(tensor.I32, n)
			b.ArgMax(best, z.Tensor())
			for i, k := range tensor.ToHost[int32](best) {
				if int(k) == labels[i] {
					right++
				}
			}
		})
		g.Close()
	}
	return right
}
