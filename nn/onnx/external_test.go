package onnx

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// moveOut moves the elements of every initialiser out of a model and describes them by entries.
func moveOut(t *testing.T, data []byte, entries ...property) (model, elements []byte) {
	t.Helper()
	var rewrite func(buf []byte, path ...int) message
	rewrite = func(buf []byte, path ...int) (out message) {
		if len(path) == 0 {
			for _, e := range entries {
				out.bytes(tagExternal, e.encode())
			}
			out.integer(tagLocation, 1)
		}
		err := each(buf, maxDepth, func(f field) error {
			switch {
			case len(path) == 0 && f.tag == tagRaw:
				elements = append(elements, f.data...)
			case len(path) > 0 && f.tag == path[0]:
				out.bytes(f.tag, rewrite(f.data, path[1:]...))
			case f.wire == wireVarint:
				out.integer(f.tag, int64(f.num))
			default:
				out.bytes(f.tag, f.data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return rewrite(data, tagGraph, tagInitializer), elements
}

func linearSketch() []byte {
	s := newSketch(17, []int{-1, 3, 1, 1})
	s.node("Flatten", "z", []string{"x0"})
	s.node("Gemm", "y", []string{"z", s.floats("w", []int{3, 2}, 1, 2, 3, 4, 5, 6)})
	return s.bytes("y")
}

func linearLogits(t *testing.T, m *Model) ([]float64, *Classifier) {
	t.Helper()
	g := autodiff.NewGraph(ref.New())
	t.Cleanup(g.Close)
	c, err := NewClassifier(g.Scope(), m, ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.FromSlice(g.Scope(), []float32{1, 10, 100}, 1, 1, 1, 3)
	return c.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor().Floats(), c
}

// Weights beside a model are read, and a copy of the classifier is complete without them.
func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	model, elements := moveOut(t, linearSketch(), property{"location", "m.onnx.data"},
		property{"offset", "8"}, property{"length", "24"})
	for file, data := range map[string][]byte{path: model,
		path + ".data": slices.Concat(make([]byte, 8), elements, make([]byte, 8))} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{531, 642}
	y, c := linearLogits(t, m)
	if !slices.Equal(y, want) {
		t.Fatalf("logits %v, want %v", y, want)
	}
	copied, err := c.Save(filepath.Join(t.TempDir(), "copy"), tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Open(copied); err != nil {
		t.Fatal(err)
	}
	if y, _ = linearLogits(t, m); !slices.Equal(y, want) {
		t.Fatalf("the copy gives %v, want %v", y, want)
	}
}

// What is wrong with weights beside a model is said in one line that names tensor and file.
func TestExternalDataErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		entries []property
		size    int // of the file; none if negative
		want    string
	}{
		"no file":        {[]property{{"location", "m.data"}}, -1, `"m.data" beside the model`},
		"outside":        {[]property{{"location", "../m.data"}}, 24, "a file in the model's folder"},
		"absolute":       {[]property{{"location", "/etc/passwd"}}, 24, "a file in the model's folder"},
		"no location":    {nil, 24, "a file in the model's folder"},
		"a folder":       {[]property{{"location", "."}}, 24, "beside the model"},
		"too short":      {[]property{{"location", "m.data"}}, 23, "expected 24 bytes from byte 0"},
		"beyond its end": {[]property{{"location", "m.data"}, {"offset", "99"}}, 24, "from byte 99"},
		"largest offset": {[]property{{"location", "m.data"}, {"offset", "9223372036854775807"}}, 24,
			"from byte 9223372036854775807"},
		"negative":     {[]property{{"location", "m.data"}, {"offset", "-1"}}, 24, "no number of bytes"},
		"wrong length": {[]property{{"location", "m.data"}, {"length", "20"}}, 24, "needs 24 bytes"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "m.onnx")
		model, _ := moveOut(t, linearSketch(), tc.entries...)
		if err := os.WriteFile(path, model, 0o644); err != nil {
			t.Fatal(err)
		}
		if tc.size >= 0 {
			beside := filepath.Join(dir, "m.data")
			if err := os.WriteFile(beside, make([]byte, tc.size), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(path)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if s := err.Error(); !strings.Contains(s, tc.want) || !strings.Contains(s, `"w"`) {
			t.Errorf("%s: %q does not say %q", name, s, tc.want)
		}
	}
}

// Many tensors that share one piece of a file are refused before they fill the memory.
func TestExternalDataShared(t *testing.T) {
	s := newSketch(17, []int{-1, 3, 1, 1})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.floats(name, []int{6}, 1, 2, 3, 4, 5, 6)
	}
	s.node("Flatten", "y", []string{"x0"})
	model, _ := moveOut(t, s.bytes("y"), property{"location", "m.data"})
	path := filepath.Join(t.TempDir(), "m.onnx")
	for file, data := range map[string][]byte{path: model,
		filepath.Join(filepath.Dir(path), "m.data"): make([]byte, 24)} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), `"e"`) {
		t.Errorf("got %v, expected an error about the fifth tensor", err)
	}
}
