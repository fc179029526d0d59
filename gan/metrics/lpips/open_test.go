package lpips_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/gan/metrics"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// write puts the parameters of m, in PyTorch's layout, and one foreign array, into a file.
func write(t *testing.T, path string, ps nn.Params) {
	t.Helper()
	f := models.Export(ps, models.Mapping{}, models.OIHW)
	if strings.Contains(path, "squeezenet") { // what the metric has no use for
		f.Set("classifier.1.bias", checkpoint.FromFloat32s([]int{2}, []float32{1, 2}))
	}
	var buf bytes.Buffer
	if err := checkpoint.WriteSafetensors(&buf, f); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Open finds a metric's weights in files that it can have come from, and gives the same distances.
func TestOpenAndFind(t *testing.T) {
	m := randomMetric(t, lpips.Squeeze)
	dir := t.TempDir()
	if _, err := lpips.Find(dir, lpips.Squeeze); !errors.Is(err, lpips.ErrNoWeights) ||
		!strings.Contains(err.Error(), "squeeze.pth") {
		t.Errorf("empty folder: %v", err)
	}
	lin := filepath.Join(dir, "weights", "v0.1", "squeeze.safetensors")
	write(t, lin, m.Linear())
	if _, err := lpips.Find(dir, lpips.Squeeze); !errors.Is(err, lpips.ErrNoWeights) ||
		!strings.Contains(err.Error(), "squeezenet1_1*") {
		t.Errorf("no backbone: %v", err)
	}
	body := filepath.Join(dir, "models", "imagenet", "squeezenet1_1-abc.safetensors")
	write(t, body, m.Backbone())
	f, err := lpips.Find(dir, lpips.Squeeze)
	if err != nil || f != (lpips.Files{Backbone: body, Linear: lin}) {
		t.Fatalf("found %+v, %v", f, err)
	}
	s := tensor.NewScope(ref.New())
	defer s.Close()
	again, err := lpips.Open(s, f.Backbone, f.Linear, lpips.Squeeze)
	if err != nil {
		t.Fatal(err)
	}
	x := randomImages(1, 17, 17, 3, metrics.Unit, "x")
	y := randomImages(1, 17, 17, 3, metrics.Unit, "y")
	if a, b := m.Distance(x, y)[0], again.Distance(x, y)[0]; a != b {
		t.Errorf("%g before, %g after the files", a, b)
	}
}

// What does not fit is an error that names the file and the weights wanted.
func TestOpenRefuses(t *testing.T) {
	m := randomMetric(t, lpips.Squeeze)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	body, lin, none := in("squeezenet1_1.safetensors"), in("lin.safetensors"), in("none")
	write(t, body, m.Backbone())
	write(t, lin, m.Linear())
	bad := in("nan.safetensors")
	m.Linear()[2].Param.T.SetFloats(append([]float64{math.NaN()}, make([]float64, 255)...))
	write(t, bad, m.Linear())
	for _, tc := range []struct {
		body, lin string
		net       lpips.Net
		want      []string
	}{
		{body, lin, "vgg19", []string{`no network is called "vgg19"`, "squeeze alex vgg"}},
		{none, lin, lpips.Squeeze, []string{"backbone", "none", "check the path"}},
		{body, none, lpips.Squeeze, []string{"linear weights", "none"}},
		{lin, lin, lpips.Squeeze, []string{"squeeze's backbone", "no features.0.weight"}},
		{body, body, lpips.Squeeze, []string{"linear weights of squeeze",
			"no lin0.model.1.weight"}},
		{body, lin, lpips.Alex, []string{"alex's backbone",
			`"features.0.weight" expected [64 11 11 3]`}},
		{body, bad, lpips.Squeeze, []string{"nan.safetensors",
			"lin2.model.1.weight is not finite"}},
	} {
		s := tensor.NewScope(ref.New())
		_, err := lpips.Open(s, tc.body, tc.lin, tc.net)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", tc.net, err, want)
			}
		}
		s.Close()
	}
	if _, err := lpips.Find(filepath.Join(dir, "nowhere"), lpips.Squeeze); err == nil ||
		!strings.Contains(err.Error(), "give the folder") {
		t.Errorf("missing folder: %v", err)
	}
}
