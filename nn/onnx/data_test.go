package onnx_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/figures"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/nn/onnx/cases"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// dataFile returns a path under AFTERIMAGE_DATA or skips the test.
func dataFile(t *testing.T, elem ...string) string {
	t.Helper()
	root := figures.Data(t, "no ONNX cases and no third-party network to read")
	return filepath.Join(root, filepath.Join(elem...))
}

// The shared cases: how many there are, and how many may be unsupported: two of dropout in training
// mode, whose random numbers ONNX leaves open, and one whose values ONNX's text contradicts.
const (
	sharedCases       = 413
	sharedUnsupported = 3
)

// ONNX's own operator cases pass, with the pass that cancels permutes and without.
func TestOperatorCases(t *testing.T) {
	dirs, err := cases.Find(dataFile(t, "onnx"))
	if err != nil || len(dirs) < sharedCases {
		t.Fatalf("found %d cases, expected %d: %v", len(dirs), sharedCases, err)
	}
	for _, o := range []onnx.Options{{}, {Plain: true}} {
		var results []cases.Result
		for _, dir := range dirs {
			r := cases.Run(ref.New(), dir, o)
			results = append(results, r)
			if r.Status == cases.Failed {
				t.Errorf("%s: %s", filepath.Base(dir), r.Reason)
			}
		}
		if p, f, u := cases.Count(results); p+f+u != len(dirs) || u > sharedUnsupported {
			t.Errorf("%+v: %d passed, %d failed, %d unsupported", o, p, f, u)
		}
	}
}

// sameTol bounds the rounding of one logit in two layouts.
const sameTol = 1e-4

// gradTol bounds the relative difference of input gradients of one network from two files: both
// compute in single precision, in different layouts and orders of summation.
const gradTol = 1e-4

// The network of the verification competition gives the published logits from ONNX, and the same
// input gradients as from PyTorch's file.
func TestPublishedResNet2bFromONNXAndTorch(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	x, label := firstImage(t, s)
	dir := dataFile(t, "models", "cifar10-robust")
	m, err := onnx.Open(filepath.Join(dir, "vnncomp2021_resnet_2b.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	stats := models.Options{Mean: []float64{.4914, .4822, .4465},
		Std: []float64{.2471, .2435, .2616}}
	foreign, err := onnx.NewClassifier(s, m,
		onnx.ClassifierOptions{Mean: stats.Mean, Std: stats.Std})
	if err != nil {
		t.Fatal(err)
	}
	if foreign.Classes() != 10 || foreign.InputSize() != 32 || foreign.Channels() != 3 {
		t.Errorf("%d classes, %d pixels, %d channels", foreign.Classes(), foreign.InputSize(),
			foreign.Channels())
	}
	own, err := models.New("resnet2b", stats)
	if err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.Open(filepath.Join(dir, "vnncomp2021_resnet2b_model_best.pth"))
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Load(s, file); err != nil {
		t.Fatal(err)
	}
	want := []float64{-1.19167, -0.50817, -0.05740, 2.23445, -0.64363, 2.39048, 1.96821, -1.45978,
		-0.98061, -1.75192}
	z, dx := logitsAndGradient(s, foreign, x, label)
	z2, dx2 := logitsAndGradient(s, own, x, label)
	worst := 0.0
	for i, w := range want {
		worst = max(worst, math.Abs(z[i]-w))
		if d := math.Abs(z[i] - z2[i]); !(d <= sameTol) {
			t.Errorf("logit %d: %g from ONNX, %g from PyTorch", i, z[i], z2[i])
		}
	}
	figures.Check(t, "resnet_2b.onnx, largest difference of a logit of test image 0", worst)
	if d := distance(dx, dx2); !(d <= gradTol) {
		t.Errorf("input gradients are %g apart, relative", d)
	}
	if n := foreign.Graph().Count()["Transpose"]; n != 1 { // in front of Flatten
		t.Errorf("%d permutes are left, expected 1: %v", n, foreign.Graph().Count())
	}
}

// The ONNX file has the published accuracy and cross-entropy on all CIFAR-10 test images.
func TestPublishedAccuracyFromONNX(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 10,000 images")
	}
	m, err := onnx.Open(dataFile(t, "models", "cifar10-robust", "vnncomp2021_resnet_2b.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	b := cpu.Open(0)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	c, err := onnx.NewClassifier(s, m, onnx.ClassifierOptions{
		Mean: []float64{.4914, .4822, .4465}, Std: []float64{.2471, .2435, .2616}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := data.Open("cifar-10", dataFile(t), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i := c.Inference(b)
	defer i.Close()
	right, ce := train.Score(i, c, set.Test, 250)
	figures.Check(t, "resnet_2b.onnx, CIFAR-10 test images right of 10,000", float64(right))
	figures.Check(t, "resnet_2b.onnx, mean cross-entropy", ce/float64(set.Test.Len()))
}

// firstImage returns CIFAR-10's first test image, F32 [1 32 32 3] in [0, 1], and its label.
func firstImage(t *testing.T, s *tensor.Scope) (x, label *tensor.Tensor) {
	t.Helper()
	const plane = 1024
	raw, err := os.ReadFile(dataFile(t, "cifar-10-batches-bin", "test_batch.bin"))
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]float32, 3*plane)
	for i := range plane {
		for c := range 3 {
			pix[3*i+c] = float32(raw[1+c*plane+i]) / 255
		}
	}
	return tensor.FromSlice(s, pix, 1, 32, 32, 3), tensor.FromSlice(s, []int32{int32(raw[0])}, 1)
}

// logitsAndGradient returns the logits of x and the gradient of the cross-entropy by x.
func logitsAndGradient(s *tensor.Scope, m attack.Model, x, label *tensor.Tensor) (z, dx []float64) {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	in := g.Leaf(x)
	logits := m.Forward(nn.NewCtx(g, nn.Eval), in).Keep()
	target := autodiff.OneHot(g, label, logits.Dim(1), logits.DType())
	loss := autodiff.Sum(autodiff.CrossEntropy(logits, target))
	grad := autodiff.Grad(loss, []*autodiff.Value{in})
	return logits.Tensor().Floats(), grad[0].Tensor().Floats()
}

// distance returns |a − b|/|b|.
func distance(a, b []float64) float64 {
	var d, n float64
	for i := range b {
		d += (a[i] - b[i]) * (a[i] - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}
