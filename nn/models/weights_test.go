package models_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/figures"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// dataFile returns a path under AFTERIMAGE_DATA or skips the test.
func dataFile(t *testing.T, elem ...string) string {
	t.Helper()
	root := figures.Data(t, "no published weights to compare with")
	return filepath.Join(root, filepath.Join(elem...))
}

// cifarTest returns CIFAR-10 test images first … first+n−1, F32 [n 32 32 3] in [0, 1], and labels.
func cifarTest(t *testing.T, s *tensor.Scope, first, n int) (x, labels *tensor.Tensor) {
	t.Helper()
	const pixels, record = 3072, 3073
	f, err := os.Open(dataFile(t, "cifar-10-batches-bin", "test_batch.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw := make([]byte, n*record)
	if _, err := f.ReadAt(raw, int64(first*record)); err != nil {
		t.Fatal(err)
	}
	images, ys := make([]float32, n*pixels), make([]int32, n)
	for i := range n {
		ys[i] = int32(raw[i*record])
		for p := range pixels / 3 {
			for c := range 3 {
				images[i*pixels+p*3+c] = float32(raw[i*record+1+c*pixels/3+p]) / 255
			}
		}
	}
	return tensor.FromSlice(s, images, n, 32, 32, 3), tensor.FromSlice(s, ys, n)
}

var (
	imagenetStats = models.Options{Mean: []float64{.485, .456, .406},
		Std: []float64{.229, .224, .225}}
	cifarStats = models.Options{Mean: []float64{.4914, .4822, .4465},
		Std: []float64{.2471, .2435, .2616}}
)

// Third-party weights give the logits that an independent implementation computed for CIFAR-10 test
// image 0 (data/README.md).
func TestPublishedWeightsGiveReferenceLogits(t *testing.T) {
	for _, tc := range []struct {
		arch, figure, file string
		opts               models.Options
		want               []float64
	}{
		{"resnet20-cifar", "ResNet-20", "cifar10/resnet20-12fca82f.th", imagenetStats,
			[]float64{-5.3097, -0.4958, 0.8773, 23.7305, -4.1050, 4.4637, -0.2343, -5.4179, -3.7118,
				-9.8822}},
		{"resnet2b", "resnet2b.pth", "cifar10-robust/vnncomp2021_resnet2b_model_best.pth",
			cifarStats, []float64{-1.19167, -0.50817, -0.05740, 2.23445, -0.64363, 2.39048, 1.96821,
				-1.45978, -0.98061, -1.75192}},
	} {
		t.Run(tc.arch, func(t *testing.T) {
			b := ref.New()
			s := tensor.NewScope(b)
			defer s.Close()
			m := load(t, s, tc.arch, tc.opts, dataFile(t, "models", tc.file))
			x, _ := cifarTest(t, s, 0, 1)
			g := autodiff.NewGraph(b)
			defer g.Close()
			got := m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats()
			worst := 0.0
			for i, v := range got {
				worst = max(worst, math.Abs(v-tc.want[i]))
			}
			figures.Check(t, tc.figure+", largest difference of a logit of test image 0", worst)
		})
	}
}

func load(t *testing.T, s *tensor.Scope, arch string, o models.Options,
	path string) *models.Classifier {
	t.Helper()
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m := build(t, arch, o)
	if err := m.Load(s, f); err != nil {
		t.Fatal(err)
	}
	return m
}

// The other published files load without a missing or left-over key.
func TestPublishedWeightsLoad(t *testing.T) {
	dataFile(t) // skips the test, not a subtest, without data
	for arch, file := range map[string]string{
		"resnet32-cifar": "cifar10/resnet32-d509ac18.th",
		"lenet5":         "mnist/lenet_epoch=12_test_acc=0.991.pth",
		"convnet-mnist":  "mnist-robust/fast_adversarial_fgsm.pth",
	} {
		s := tensor.NewScope(ref.New())
		load(t, s, arch, models.Options{}, dataFile(t, "models", file))
		s.Close()
	}
}

// The standard network answers the first test images as published accuracy suggests, and falls to
// an attack that the robust one mostly withstands.
func TestAttacksSeparateStandardFromRobust(t *testing.T) {
	if testing.Short() {
		t.Skip("short: attacks real networks: several seconds on the reference backend")
	}
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	standard := load(t, s, "resnet20-cifar", imagenetStats, dataFile(t, "models",
		"cifar10/resnet20-12fca82f.th"))
	robust := load(t, s, "resnet2b", cifarStats, dataFile(t, "models",
		"cifar10-robust/vnncomp2021_resnet2b_model_best.pth"))
	cfg := attack.Config{Norm: attack.Linf, Eps: 2.0 / 255, Steps: 4, RandomStart: true}
	survive := func(m attack.Model, n int) (clean, attacked int) {
		x, y := cifarTest(t, s, 0, n)
		count := func(ok []bool) (k int) {
			for _, v := range ok {
				if v {
					k++
				}
			}
			return k
		}
		return count(attack.Correct(s, m, x, y)), count(attack.Evaluate(s, m, x, y, cfg,
			tensor.NewKey(1, "pgd"), 0))
	}
	clean, attacked := survive(standard, 5)
	if clean < 4 || attacked > 1 {
		t.Errorf("standard network: %d of 5 right, %d under attack", clean, attacked)
	}
	const n = 64 // published: 69 % clean, 55 % under a stronger attack
	clean, attacked = survive(robust, n)
	if clean < 36 || clean > 53 || attacked < clean*6/10 || attacked > clean {
		t.Errorf("robust network: %d of %d right, %d under attack", clean, n, attacked)
	}
}

// A classifier survives a file, in both layouts, to the last bit.
func TestExportRoundTrip(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	for _, arch := range []string{"resnet2b", "resnet8", "lenet5"} {
		m := build(t, arch, models.Options{Classes: 3})
		nn.Init(s, m, 4)
		values := func(m nn.Module) (v [][]float64) {
			for _, x := range nn.List(m).Tensors() {
				v = append(v, x.Floats())
			}
			return v
		}
		check := func(what string, got nn.Module) {
			t.Helper()
			if !slices.EqualFunc(values(m), values(got), slices.Equal) {
				t.Errorf("%s: %s changed the parameters", arch, what)
			}
		}
		var buf bytes.Buffer
		if err := checkpoint.WriteSafetensors(&buf, m.Export()); err != nil {
			t.Fatal(err)
		}
		f, err := checkpoint.ReadSafetensors(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		again, err := models.FromFile(s, f)
		if err != nil {
			t.Fatal(err)
		}
		check("our layout", again)
		if again.Arch() != arch || again.Classes() != 3 || again.InputSize() != m.InputSize() {
			t.Errorf("%s came back as %s with %+v", arch, again.Arch(), again.Options())
		}

		torch := build(t, arch, models.Options{Classes: 3})
		out := models.Export(m, m.Mapping(), models.OIHW)
		if err := torch.Load(s, out); err != nil {
			t.Fatal(err)
		}
		check("PyTorch's layout", torch)
	}
}

// In PyTorch's layout the first convolution is [O I KH KW], and flattened columns run (c, h, w).
func TestExportToPyTorchLayout(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m := build(t, "resnet2b", models.Options{})
	nn.Init(s, m, 4)
	f := models.Export(m, m.Mapping(), models.OIHW)
	params := map[string]*nn.Param{}
	for n, p := range m.Params() {
		params[n] = p
	}
	conv, _ := f.Get("conv1.weight")
	if !slices.Equal(conv.Shape, []int{8, 3, 3, 3}) {
		t.Fatalf("conv1.weight is %v", conv.Shape)
	}
	theirs, ours := conv.Float64s(), params["conv1.weight"].T.Floats()
	if got, want := theirs[((5*3+2)*3+1)*3+0],
		ours[((5*3+1)*3+0)*3+2]; got != want { // o 5, i 2, u 1, v 0
		t.Errorf("conv1.weight: got %g, want %g", got, want)
	}
	lin, _ := f.Get("linear1.weight")
	theirs, ours = lin.Float64s(), params["linear1.weight"].T.Floats()
	if got, want := theirs[7*1024+(3*8+2)*8+1],
		ours[7*1024+(2*8+1)*16+3]; got != want { // c 3, h 2, w 1
		t.Errorf("linear1.weight: got %g, want %g", got, want)
	}
}

// A file that does not fit changes nothing and says what is wrong.
func TestLoadRefuses(t *testing.T) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m := build(t, "convnet-mnist", models.Options{})
	nn.Init(s, m, 1)
	f := models.Export(initialised(t, s, "convnet-mnist", models.Options{Classes: 3}),
		models.Mapping{}, models.OHWI)
	f.Path = "digits.safetensors"
	before := nn.List(m)[0].Param.T.Floats()
	err := m.Load(s, f)
	var match *checkpoint.MatchError
	if !errors.As(err, &match) || len(match.Shapes) != 2 {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(before, nn.List(m)[0].Param.T.Floats()) {
		t.Error("a refused file changed a parameter")
	}
	if _, err := models.FromFile(s, checkpoint.NewFile()); err == nil {
		t.Error("a file without metadata became a classifier")
	}
}

func initialised(t *testing.T, s *tensor.Scope, name string, o models.Options) *models.Classifier {
	m := build(t, name, o)
	nn.Init(s, m, 2)
	return m
}

// A registry name is all it takes to declare a network; its cost is known before it has memory.
func ExampleNew() {
	m, err := models.New("resnet20-cifar", models.Options{Classes: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d parameters, %.1f million multiply-accumulates an image\n", nn.Count(m),
		float64(m.MACs())/1e6)
	// Output: 269722 parameters, 40.6 million multiply-accumulates an image
}
