package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A classifier and an inverter are exported in every format; what comes of it is read again, and
// gives the accuracy of what it was made of.
func TestExportFormats(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains two small runs")
	}
	r := makeRuns(t)
	for run, want := range map[string]map[string][]string{
		"classifier": {"native": {"classifier.safetensors"},
			"onnx":    {"classifier.onnx", "classifier-example.safetensors"},
			"pytorch": {"classifier-pytorch.safetensors", "classifier-example.safetensors"}},
		"inverter": {"native": {"inverter.safetensors", "classifier.safetensors"},
			"onnx": {"generator.onnx", "generator-example.safetensors", "classifier.onnx",
				"classifier-example.safetensors"},
			"pytorch": {"generator-pytorch.safetensors", "generator-example.safetensors",
				"classifier-pytorch.safetensors", "classifier-example.safetensors"}},
	} {
		for format, files := range want {
			out := r.path("out", run, format)
			text := mustCall(t, "export", r.path("good", run), "--format", format, "--out", out)
			entries, err := os.ReadDir(out)
			if err != nil || len(entries) != len(files) {
				t.Errorf("%s, %s: %d files, expected %v", run, format, len(entries), files)
			}
			for _, name := range files {
				if !exists(filepath.Join(out, name)) || !strings.Contains(text, name) {
					t.Errorf("%s, %s: no %s", run, format, name)
				}
			}
		}
	}
	evaluate := func(file string) string {
		text := mustCall(t, "evaluate", "classifier", "--count", "40", "--weights", file)
		_, measured, _ := strings.Cut(text, "\n")
		return measured
	}
	want := evaluate(r.path("good", "classifier"))
	for _, file := range []string{"native/classifier.safetensors", "onnx/classifier.onnx",
		"pytorch/classifier-pytorch.safetensors"} {
		if got := evaluate(r.path("out", "classifier", file)); got != want {
			t.Errorf("%s: %q, expected %q", file, got, want)
		}
	}
}
