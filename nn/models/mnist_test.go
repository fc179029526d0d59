package models_test

import (
	"testing"

	"afterimage/bench/figures"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/train"
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
		figure     string
	}{
		{"lenet5", "mnist/lenet_epoch=12_test_acc=0.991.pth",
			data.Options{Size: 32, Fit: data.FitResize, Channels: 1},
			"LeNet-5, MNIST test images right of 10,000"},
		{"convnet-mnist", "mnist-robust/fast_adversarial_fgsm.pth", data.Options{Channels: 1},
			"FGSM-trained network, MNIST test images right of 10,000"},
	} {
		set, err := data.Open("mnist", root, tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		b := cpu.Open(1)
		s := tensor.NewScope(b)
		m := load(t, s, tc.arch, models.Options{}, dataFile(t, "models", tc.file))
		i := m.Inference(b)
		right, _ := train.Score(i, m, set.Test, 500)
		i.Close()
		figures.Check(t, tc.figure, float64(right))
		s.Close()
		b.Close()
	}
}
