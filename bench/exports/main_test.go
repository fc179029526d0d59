package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
)

// Wrong use ends with 2 and says why.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"-run", "(", "a"}, {"-nope"}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != exitUsage || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

// Every architecture is written or has a smaller one of the same layers that is.
func TestEveryArchitectureIsWritten(t *testing.T) {
	var names []string
	for _, x := range classifiers(true) {
		names = append(names, x.name)
	}
	if slices.Sort(names); !slices.Equal(names, models.List()) {
		t.Errorf("%v, expected %v", names, models.List())
	}
	if n := len(classifiers(false)); n != len(names)-len(deeper()) {
		t.Errorf("%d without the deeper ones", n)
	}
}

// A classifier and a generator are written in both formats, with examples, twice the same.
func TestWritten(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		var out, errs bytes.Buffer
		if code := run([]string{"-run", "^(lenet5|generator-slim)$", dir}, &out, &errs); code != 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
	}
	for _, name := range []string{"lenet5/classifier.onnx", "lenet5/classifier-pytorch.safetensors",
		"lenet5/classifier-example.safetensors", "generator-slim/generator.onnx",
		"generator-slim/generator-pytorch.safetensors",
		"generator-slim/generator-example.safetensors", "generator-slim/classifier.onnx"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(two, name))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %v", name, err)
		}
		if filepath.Ext(name) == onnx.Ext {
			_, err = onnx.Decode(name, a)
		} else {
			_, err = checkpoint.Decode(name, a)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
