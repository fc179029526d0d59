package models_test

import (
	"os"
	"testing"

	"afterimage/bench/figures"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// Published networks have their published accuracy on CIFAR-10's test images, and the robust one
// its published cross-entropy.
func TestPublishedCIFARAccuracy(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 10,000 images through ResNet-20 take seconds")
	}
	test := cifarTestSet(t)
	for _, tc := range []struct {
		arch, file string
		opts       models.Options
		images     int
		right, ce  string // figures
	}{
		{"resnet20-cifar", "cifar10/resnet20-12fca82f.th", imagenetStats, 10_000,
			"ResNet-20, CIFAR-10 test images right of 10,000", ""},
		{"resnet32-cifar", "cifar10/resnet32-d509ac18.th", imagenetStats, 1000,
			"ResNet-32, first 1,000 CIFAR-10 test images right", ""},
		{"resnet2b", "cifar10-robust/vnncomp2021_resnet2b_model_best.pth", cifarStats, 10_000,
			"resnet2b.pth, CIFAR-10 test images right of 10,000",
			"resnet2b.pth, mean cross-entropy"},
	} {
		b := cpu.Open(0)
		s := tensor.NewScope(b)
		m := load(t, s, tc.arch, tc.opts, dataFile(t, "models", tc.file))
		ds := data.First(test, tc.images)
		i := m.Inference(b)
		right, ce := train.Score(i, m, ds, 250)
		i.Close()
		figures.Check(t, tc.right, float64(right))
		if tc.ce != "" {
			figures.Check(t, tc.ce, ce/float64(ds.Len()))
		}
		s.Close()
		b.Close()
	}
}

// A strong attack leaves no more of the robust network than was published. It takes five minutes of
// two cores: figures.LongEnv asks for it.
func TestPublishedRobustAccuracy(t *testing.T) {
	if os.Getenv(figures.LongEnv) == "" {
		t.Skipf("%s is not set: two attacks of 100 steps and 5 restarts take minutes",
			figures.LongEnv)
	}
	test := cifarTestSet(t)
	b := cpu.Open(0)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	m := load(t, s, "resnet2b", cifarStats,
		dataFile(t, "models", "cifar10-robust/vnncomp2021_resnet2b_model_best.pth"))
	for _, tc := range []struct {
		eps    float64
		figure string
	}{
		{2, "resnet2b, % that stand at 2/255 (100 steps, 5 restarts)"},
		{1, "resnet2b, % that stand at 1/255 (100 steps, 5 restarts)"},
	} {
		cfg := attack.Config{Eps: tc.eps / 255, Steps: 100, Restarts: 4, RandomStart: true,
			Objective: attack.Margin}
		stand, first := 0, 0
		for _, d := range data.Eval(test, 250, data.Unit) {
			w := tensor.NewScope(b)
			x := tensor.FromSlice(w, d.X, d.Shape()...)
			labels := tensor.FromSlice(w, d.Labels, d.N())
			for _, ok := range attack.Evaluate(w, m, x, labels, cfg,
				tensor.NewKey(1, "attack/margin-100x5"), first) {
				if ok {
					stand++
				}
			}
			first += d.N()
			w.Close()
		}
		figures.Check(t, tc.figure, 100*float64(stand)/float64(test.Len()))
	}
}

// cifarTestSet returns all test images, or skips the test.
func cifarTestSet(t *testing.T) data.Dataset {
	t.Helper()
	set, err := data.Open("cifar-10", dataFile(t), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set.Test
}
