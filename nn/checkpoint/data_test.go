package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"afterimage/bench/figures"
	"afterimage/tensor"
)

// Tests against files written by PyTorch, NumPy and others. They are not in the repository.

// dataFile returns a path under AFTERIMAGE_DATA or skips the test.
func dataFile(t *testing.T, elem ...string) string {
	t.Helper()
	root := figures.Data(t, "no third-party files to read")
	return filepath.Join(root, filepath.Join(elem...))
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// glob is filepath.Glob that fails when it finds fewer files than expected.
func glob(t *testing.T, atLeast int, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < atLeast {
		t.Fatalf("%s: expected at least %d files, got %d, %v", pattern, atLeast, len(paths), err)
	}
	return paths
}

// Sixty tensors of four elements: ten dtypes, pickle protocols 1, 3 and 5, legacy and zip.
func TestPublishedTorchDtypes(t *testing.T) {
	type expect struct {
		dtype  tensor.DType
		values []float64
	}
	floats, ints := []float64{1.2, -3.4, 5.6, -7.8}, []float64{1, -2, 3, -4}
	want := map[string]expect{
		"float16": {tensor.F16, floats}, "bfloat16": {tensor.BF16, floats},
		"float32": {tensor.F32, floats}, "float64": {tensor.F64, floats},
		"int8": {tensor.I32, ints}, "int16": {tensor.I32, ints}, "int32": {tensor.I32, ints},
		"int64": {tensor.I64, ints}, "uint8": {tensor.U8, []float64{1, 10, 100, 255}},
		"bool": {tensor.Bool, []float64{1, 0, 1, 0}},
	}
	// Half a unit in the last place of 7.8, relative to it.
	relative := map[string]float64{
		"float16": 1. / 2048, "bfloat16": 1. / 256, "float32": 1. / (1 << 24),
	}
	check := func(path string) error {
		name := strings.Split(filepath.Base(path), "_")[1]
		f, err := Open(path)
		if err != nil {
			return err
		}
		a, err := f.Lookup(Single)
		if err != nil {
			return err
		}
		w := want[name]
		if a.DType != w.dtype || !slices.Equal(a.Shape, []int{4}) {
			return fmt.Errorf("%s: expected %v [4], got %v %v", path, w.dtype, a.DType, a.Shape)
		}
		for i, v := range a.Float64s() {
			if math.Abs(v-w.values[i]) > relative[name]*math.Abs(w.values[i]) {
				return fmt.Errorf("%s: element %d: expected %v, got %v", path, i, w.values[i], v)
			}
		}
		return nil
	}
	paths := glob(t, 60, dataFile(t, "formats", "torch", "*.pt"))
	figures.Check(t, "PyTorch files right of 60 (ten dtypes, protocols 1, 3, 5, zip and legacy)",
		float64(count(t, paths, check)))
}

// count returns how many files check finds nothing wrong with, and reports what it finds.
func count(t *testing.T, paths []string, check func(path string) error) (right int) {
	t.Helper()
	for _, path := range paths {
		if err := check(path); err != nil {
			t.Error(err)
		} else {
			right++
		}
	}
	return right
}

func TestPublishedCandle(t *testing.T) {
	pt := func(path string) error {
		f, err := Open(path)
		if err != nil {
			return err
		}
		a, err := f.Lookup("test")
		if err != nil || f.Len() != 1 || a.DType != tensor.I64 || !slices.Equal(a.Shape, []int{2, 4}) ||
			!slices.Equal(a.Int64s(), []int64{1, 2, 3, 4, 5, 6, 7, 8}) {
			return fmt.Errorf("%s: got %v %v of %d arrays, %v", path, a.DType, a.Shape, f.Len(), err)
		}
		return nil
	}
	npz := func(path string) error {
		f, err := Open(path)
		if err != nil {
			return err
		}
		for name, first := range map[string]int64{"x": 0, "x_plus_one": 1} {
			a, err := f.Lookup(name)
			if err != nil || a.Len() != 10 {
				return fmt.Errorf("%s: %s has %d elements, %v", path, name, a.Len(), err)
			}
			for i, v := range a.Int64s() {
				if v != first+int64(i) {
					return fmt.Errorf("%s: %s: element %d is %d", path, name, i, v)
				}
			}
		}
		return nil
	}
	npy := func(path string) error {
		f, err := Open(path)
		if err != nil {
			return err
		}
		if a, _ := f.Get(Single); a.Len() == 0 {
			return fmt.Errorf("%s: got %v", path, a)
		}
		return nil
	}
	dir := dataFile(t, "formats", "candle")
	at := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	right := count(t, at("test.pt", "test_with_key.pt"), pt) + count(t, at("test.npz"), npz) +
		count(t, at("test.npy"), npy)
	figures.Check(t, "Candle files right of 4", float64(right))
}

// publishedNPY checks a .npy file, whose name says data, dtype, shape and order.
func publishedNPY(path string) error {
	base := strings.TrimSuffix(filepath.Base(path), ".npy")
	part := strings.Split(base, "_")
	f, err := Open(path)
	if err != nil {
		return err
	}
	a, err := f.Lookup(Single)
	if err != nil {
		return err
	}
	shapes := map[string][]int{"2x3": {2, 3}, "6x1": {6, 1}, "1x1": {1, 1}, "scalar": {}}
	want := []float64{0, 1, 2, 3, 4, 5}
	switch {
	case part[2] == "1x1" || part[2] == "scalar":
		want = []float64{42}
	case part[2] == "2x3" && part[3] == "forder":
		want = []float64{0, 2, 4, 1, 3, 5}
	}
	dtypes := map[string]tensor.DType{"float32": tensor.F32, "float64": tensor.F64,
		"int64": tensor.I64, "uint64": tensor.I64, "uint8": tensor.U8}
	if !slices.Equal(a.Shape, shapes[part[2]]) || a.DType != dtypes[part[1]] ||
		!slices.Equal(a.Float64s(), want) {
		return fmt.Errorf("%s: expected %v %v %v, got %v %v %v", base, dtypes[part[1]],
			shapes[part[2]], want, a.DType, a.Shape, a.Float64s())
	}
	return nil
}

// publishedNPZ checks the archive of two arrays.
func publishedNPZ(path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	if diff := cmp.Diff([]string{"arr1", "arr0"}, f.Names()); diff != "" {
		return fmt.Errorf("%s: %s", path, diff)
	}
	for name, shape := range map[string][]int{"arr0": {2, 3}, "arr1": {6, 1}} {
		a, _ := f.Get(name)
		if !slices.Equal(a.Shape, shape) || !slices.Equal(a.Float64s(), []float64{0, 1, 2, 3, 4, 5}) {
			return fmt.Errorf("%s: %s: got %v %v", path, name, a.Shape, a.Float64s())
		}
	}
	return nil
}

// The 6-element files hold 0 … 5; the 1-element ones 42. Fortran order stores 0, 1, 2, … down the
// columns, so 2×3 reads 0 2 4 / 1 3 5 in row-major order when the file says so.
func TestPublishedNumpy(t *testing.T) {
	dir := dataFile(t, "formats", "numpy")
	figures.Check(t, "NumPy files right of 29 (C and Fortran order, versions, npz)", float64(
		count(t, glob(t, 28, filepath.Join(dir, "*.npy")), publishedNPY)+
			count(t, []string{filepath.Join(dir, "data_float64_corder.npz")}, publishedNPZ)))
	f := open(t, dataFile(t, "lpips", "torch_rand_seed42_2x3x100x100.npz"))
	for _, name := range []string{"img1", "img2"} {
		a, err := f.Lookup(name)
		if err != nil || !slices.Equal(a.Shape, []int{2, 3, 100, 100}) {
			t.Fatalf("%s: %v %v", name, a.Shape, err)
		}
		v := a.Float32s()
		if lo, hi := slices.Min(v), slices.Max(v); lo < 0 || hi >= 1 || hi < 0.99 {
			t.Errorf("%s: range %v to %v", name, lo, hi)
		}
	}
}

// parameters counts what PyTorch counts: weights and biases, not the batch norm statistics.
func parameters(f *File) int {
	return f.Elements(func(name string, a Array) bool {
		return !strings.HasSuffix(name, "running_mean") && !strings.HasSuffix(name, "running_var") &&
			!strings.HasSuffix(name, "num_batches_tracked")
	})
}

func TestDataCifarResNets(t *testing.T) {
	for _, c := range []struct {
		name   string
		params int
		best   float64
	}{
		{"resnet20-12fca82f.th", 269_722, 91.78}, {"resnet32-d509ac18.th", 464_154, 92.78},
	} {
		f := open(t, dataFile(t, "models", "cifar10", c.name))
		if n := parameters(f); n != c.params {
			t.Errorf("%s: expected %d parameters, got %d", c.name, c.params, n)
		}
		const stored = 1e-5 // best_prec1 is a float32 of a percentage, written as a float64
		if v, ok := f.Number("best_prec1"); !ok || math.Abs(v-c.best) > stored {
			t.Errorf("%s: best_prec1: expected %v, got %v", c.name, c.best, v)
		}
		short, err := f.StripPrefix("module.")
		if err != nil {
			t.Fatal(err)
		}
		w, err := short.Lookup("conv1.weight")
		if err != nil || !slices.Equal(w.Shape, []int{16, 3, 3, 3}) {
			t.Errorf("%s: conv1.weight %v %v", c.name, w.Shape, err)
		}
		v, err := short.Lookup("bn1.running_var")
		if err != nil || slices.Min(v.Float32s()) <= 0 {
			t.Errorf("%s: running_var must be positive: %v %v", c.name, v.Float32s(), err)
		}
		err = Match(f, []Want{{"conv1.weight", []int{16, 3, 3, 3}}})
		if err == nil || !strings.Contains(err.Error(), "module.") {
			t.Errorf("%s: expected a hint at the prefix, got %v", c.name, err)
		}
	}
}

func TestDataRobustResNet2b(t *testing.T) {
	f := open(t, dataFile(t, "models", "cifar10-robust", "vnncomp2021_resnet2b_model_best.pth"))
	for name, want := range map[string]float64{"test_acc": 0.6925, "test_robust_acc": 0.5674,
		"test_loss": 0.9099737565994263, "test_robust_loss": 1.189021607208252} {
		if v, ok := f.Number(name); !ok || v != want {
			t.Errorf("%s: expected %v, got %v", name, want, v)
		}
	}
	want := []Want{
		{"conv1.weight", []int{8, 3, 3, 3}}, {"conv1.bias", []int{8}},
		{"layer1.0.conv1.weight", []int{16, 8, 3, 3}}, {"layer1.0.conv1.bias", []int{16}},
		{"layer1.0.conv2.weight", []int{16, 16, 3, 3}}, {"layer1.0.conv2.bias", []int{16}},
		{"layer1.0.shortcut.0.weight", []int{16, 8, 1, 1}}, {"layer1.0.shortcut.0.bias", []int{16}},
		{"layer1.1.conv1.weight", []int{16, 16, 3, 3}}, {"layer1.1.conv1.bias", []int{16}},
		{"layer1.1.conv2.weight", []int{16, 16, 3, 3}}, {"layer1.1.conv2.bias", []int{16}},
		{"linear1.weight", []int{100, 1024}}, {"linear1.bias", []int{100}},
		{"linear2.weight", []int{10, 100}}, {"linear2.bias", []int{10}},
	}
	if err := Match(f, want); err != nil {
		t.Error(err)
	}
}

func TestDataSmallModels(t *testing.T) {
	for path, want := range map[string]int{
		"models/mnist/lenet_epoch=12_test_acc=0.991.pth": 61_706,
		"models/mnist-gan-mlp/G--300.ckpt":               283_920,
		"models/mnist-robust/fast_adversarial_fgsm.pth":  166_406,
		"models/imagenet/squeezenet1_1_fp16.safetensors": 1_235_496,
		// One weight for each channel of the backbone's taps.
		"lpips/weights/v0.1/squeeze.pth": 64 + 128 + 256 + 384 + 384 + 512 + 512,
		"lpips/weights/v0.1/alex.pth":    64 + 192 + 384 + 256 + 256,
		"lpips/weights/v0.1/vgg.pth":     64 + 128 + 256 + 512 + 512,
	} {
		f := open(t, dataFile(t, filepath.FromSlash(path)))
		if n := f.Elements(nil); n != want {
			t.Errorf("%s: expected %d parameters, got %d (%s)", path, want, n, listed(f.Names()))
		}
		for name, a := range f.All() {
			for i, v := range a.Float32s() {
				if v != v || math.IsInf(float64(v), 0) {
					t.Fatalf("%s: %s: element %d is %v", path, name, i, v)
				}
			}
		}
	}
	f := open(t, dataFile(t, "lpips", "weights", "v0.1", "squeeze.pth"))
	a, err := f.Lookup("lin0.model.1.weight")
	if err != nil || !slices.Equal(a.Shape, []int{1, 64, 1, 1}) || slices.Min(a.Float32s()) < 0 {
		t.Errorf("lin0: %v, %v: LPIPS weights are not negative", a.Shape, err)
	}
}

// Everything read can be written as safetensors and read back unchanged.
func TestDataRewrite(t *testing.T) {
	f := open(t, dataFile(t, "models", "imagenet", "squeezenet1_1_fp16.safetensors"))
	if f.Metadata["format"] != "pt" {
		t.Errorf("metadata: %v", f.Metadata)
	}
	data := stBytes(t, f)
	g, err := ReadSafetensors(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arrays(f), arrays(g), equalEmpty()); diff != "" {
		t.Error("arrays differ after a round trip")
	}
	if diff := cmp.Diff(f.Metadata, g.Metadata); diff != "" {
		t.Error(diff)
	}
	if again := sha256.Sum256(stBytes(t, g)); again != sha256.Sum256(data) {
		t.Errorf("writing twice: %s and another", hex.EncodeToString(again[:4]))
	}
}

// Cutting a real file anywhere in its directory or tail is an error that names the file.
func TestDataTruncated(t *testing.T) {
	for _, path := range []string{"models/cifar10/resnet20-12fca82f.th",
		"models/cifar10-robust/vnncomp2021_resnet2b_model_best.pth",
		"models/imagenet/squeezenet1_1_fp16.safetensors"} {
		data, err := os.ReadFile(dataFile(t, filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 9, 100, 5000, 20_000, len(data) / 2, len(data) - 1} {
			if _, err := Decode(path, data[:n]); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the first %d bytes: expected an error with the path, got %v", path, n,
					fmt.Sprint(err))
			}
		}
	}
}
