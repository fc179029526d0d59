package study

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
	"afterimage/tensor/cpu"
)

// foreign is a study of somebody's ONNX file.
const foreign = `
name: foreign
title: A test
dataset: scenes
train_images: 48
test_images: 20
sheet: 2
classifiers:
  - {name: mine, weights: net.onnx}
  - {name: judge, weights: net.onnx, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
judge: judge
inverters: [{classifier: mine, condition: features, ch: 2, steps: 2, batch: 4, sample_every: 2}]
evaluate: {images: 10, draws: 1}
explore: {experiments: [noise], images: 8, draws: 2, pictures: 2}
`

// writeNetwork writes an untrained classifier of scenes as ONNX.
func writeNetwork(t *testing.T, b tensor.Backend, path string) {
	t.Helper()
	s := tensor.NewScope(b)
	defer s.Close()
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	if err := atomicfile.Write(path, func(w io.Writer) error {
		return onnx.Export(m, w)
	}); err != nil {
		t.Fatal(err)
	}
}

// writeLPIPS writes weights of LPIPS that were drawn, not trained.
func writeLPIPS(t *testing.T, b tensor.Backend, dir string) {
	t.Helper()
	s := tensor.NewScope(b)
	defer s.Close()
	m := lpips.New(b, lpips.Squeeze)
	for name, p := range map[string]nn.Params{"squeezenet1_1": m.Backbone(), "squeeze": m.Linear()} {
		nn.Init(s, p, 1)
		if err := checkpoint.SaveSafetensors(filepath.Join(dir, name+".safetensors"),
			models.Export(p, models.Mapping{}, models.OIHW)); err != nil {
			t.Fatal(err)
		}
	}
}

// An ONNX file is described where it is there: parameters and features are those of the network
// that was exported.
func TestDescribeONNX(t *testing.T) {
	s, folder := parse(t, foreign), t.TempDir()
	if _, err := s.Describe(folder); err == nil || !strings.Contains(err.Error(), "net.onnx") ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
	b := cpu.Open(1)
	defer b.Close()
	writeNetwork(t, b, filepath.Join(folder, "net.onnx"))
	d, err := s.Describe(folder)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	net, err := s.Inverter(s.Inverters[0], m.FeatureDim(), "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Classifiers[0].Parameters, nn.Count(m); got != want {
		t.Errorf("%d parameters, expected %d", got, want)
	}
	if got, want := d.Inverters[0].GParameters, nn.Count(gan.NewGenerator(net.Net)); got != want {
		t.Errorf("a generator of %d parameters, expected %d", got, want)
	}
	var text bytes.Buffer
	if err := d.Write(&text); err != nil || !strings.Contains(text.String(), "not known") {
		t.Errorf("%v: %s", err, text.String())
	}
}

// A study takes an ONNX file as a classifier and as its judge, and measures LPIPS where its weights
// lie with the data; without them it says so once.
func TestStudyOfONNX(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains a network: a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	s, folder := parse(t, foreign), t.TempDir()
	writeNetwork(t, b, filepath.Join(folder, "net.onnx"))
	for _, weights := range []bool{false, true} {
		if weights {
			writeLPIPS(t, b, folder)
		}
		var remarks []string
		o := Options{Dir: t.TempDir(), Data: folder,
			Remark: func(text string) { remarks = append(remarks, text) }}
		res, err := Run(b, s, o)
		if err != nil {
			t.Fatal(err)
		}
		if res.Accuracies[0].Arch != "convnet-mnist" || res.Accuracies[0].Origin != "net.onnx" {
			t.Errorf("the classifier is called %+v", res.Accuracies[0])
		}
		page, err := os.ReadFile(filepath.Join(o.Dir, ReportFile))
		if err != nil {
			t.Fatal(err)
		}
		var e explore.Evaluation
		if err := explore.ReadJSON(filepath.Join(o.Dir, "evaluation-mine-features.json"),
			&e); err != nil {
			t.Fatal(err)
		}
		measured := e.OneDraw.LPIPS != nil && e.OneDraw.LPIPS.Lo <= e.OneDraw.LPIPS.Value &&
			e.OneDraw.LPIPS.Value <= e.OneDraw.LPIPS.Hi
		if measured != weights || bytes.Contains(page, []byte("LPIPS")) != weights ||
			(len(remarks) == 0) != weights || (e.LPIPS == "LPIPS v0.1 squeeze") != weights {
			t.Errorf("weights %v: measured %v, %q, told %q", weights, e.OneDraw.LPIPS, e.LPIPS,
				remarks)
		}
	}
	wrong := strings.Replace(foreign, "weights: net.onnx}", "arch: resnet8, weights: net.onnx}", 1)
	if _, err := Parse([]byte(wrong)); err == nil || !strings.Contains(err.Error(), "leave it out") {
		t.Errorf("an architecture for an ONNX file: %v", err)
	}
}
