package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
	"afterimage/tensor/ref"
)

// Wrong use ends with 2 and says why; a line that is not JSON with 1.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		in   string
		code int
	}{{[]string{"file"}, "", exitUsage}, {[]string{"-threads", "-1"}, "", exitUsage},
		{[]string{"-nope"}, "", exitUsage}, {nil, "{", exitFailed}} {
		var out, errs bytes.Buffer
		code := run(c.args, strings.NewReader(c.in), &out, &errs)
		if code != c.code || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: exit %d, %q, %q", c.args, code, out.String(), errs.String())
		}
	}
}

// written exports a small network and two images for it.
func written(t *testing.T) (network, images string) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := models.New("resnet8", models.Options{Classes: 4, InputSize: 8})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	var file bytes.Buffer
	if err := onnx.Export(m, &file); err != nil {
		t.Fatal(err)
	}
	network = filepath.Join(t.TempDir(), "resnet8.onnx")
	if err := atomicfile.WriteBytes(network, file.Bytes()); err != nil {
		t.Fatal(err)
	}
	f := checkpoint.NewFile()
	x := s.New(tensor.F32, 2, 8, 8, 3)
	key := tensor.NewKey(1, "imported")
	s.Backend().Random(tensor.Uniform, key, x, s.Zeros(tensor.I32, 1))
	f.Set("images", checkpoint.FromFloat32s(x.Shape(), tensor.Host[float32](x)))
	images = filepath.Join(t.TempDir(), "images.safetensors")
	if err := checkpoint.SaveSafetensors(images, f); err != nil {
		t.Fatal(err)
	}
	return network, images
}

// ask has the program answer requests, one on each line.
func ask(t *testing.T, requests string) (replies []reply) {
	var out, errs bytes.Buffer
	if code := run([]string{"-threads", "1"}, strings.NewReader(requests), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		var a reply
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		replies = append(replies, a)
	}
	return replies
}

// The values written are the network's, and the gradient is that of the sum of their squares:
// checked along itself by a difference quotient.
func TestValues(t *testing.T) {
	network, images := written(t)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	values := fmt.Sprintf(`{"op":"values","images":%q,"out":%q}`+"\n", images, out)
	first := fmt.Sprintf(`{"op":"open","file":%q}`+"\n", network)
	a := ask(t, first+values)
	if a[0].Size != 8 || a[0].Classes != 4 || a[1].Error != "" {
		t.Fatalf("%+v", a)
	}
	sum, grad := squares(t, out)
	const step = 1e-3 // the loss is smooth enough for it, and far above F32's rounding
	f, err := checkpoint.Open(images)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := f.Get("images")
	moved, norm := x.Float32s(), 0.0
	for i, g := range grad {
		moved[i] += step * g
		norm += float64(g) * float64(g)
	}
	f.Set("images", checkpoint.FromFloat32s(x.Shape, moved))
	if err := checkpoint.SaveSafetensors(images, f); err != nil {
		t.Fatal(err)
	}
	ask(t, first+values)
	next, _ := squares(t, out)
	if got := (next - sum) / step; math.Abs(got-norm) > 0.05*norm {
		t.Errorf("a step along the gradient changes the loss by %g a unit, expected %g", got, norm)
	}
}

// squares reads what values wrote: the sum of the squared logits, and the gradient.
func squares(t *testing.T, file string) (sum float64, grad []float32) {
	f, err := checkpoint.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	logits, _ := f.Get("logits")
	for _, v := range logits.Float64s() {
		sum += v * v
	}
	g, _ := f.Get("gradient")
	return sum, g.Float32s()
}

// A network without a derivative is refused in a reply, and the program goes on.
func TestNoGradient(t *testing.T) {
	w := onnx.NewWriter()
	x := w.Input("x", -1, 3, 8, 8)
	mean := w.Node("Flatten", "mean", []string{w.Node("GlobalAveragePool", "pool", []string{x})})
	w.Output(w.Node("Add", "y", []string{mean, w.Node("Det", "det", []string{x})}), -1, 3)
	var b bytes.Buffer
	if err := w.Write(&b); err != nil {
		t.Fatal(err)
	}
	network := filepath.Join(t.TempDir(), "det.onnx")
	if err := os.WriteFile(network, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_, images := written(t)
	a := ask(t, fmt.Sprintf(`{"op":"open","file":%q}
{"op":"values","images":%q,"out":"nowhere"}
{"op":"time","batch":1,"gradient":true}
{"op":"time","batch":1,"least":2}
`, network, images))
	for i := 1; i < 3; i++ {
		if !strings.Contains(a[i].Error, "Det has no derivative") {
			t.Errorf("reply %d: %+v", i, a[i])
		}
	}
	if a[0].Error != "" || len(a[3].Seconds) != 2 {
		t.Errorf("%+v", a)
	}
}

// Both kinds of pass are timed as often as asked, and what cannot be done is refused.
func TestTimes(t *testing.T) {
	network, images := written(t)
	a := ask(t, fmt.Sprintf(`{"op":"time","batch":1}
{"op":"values","images":%[2]q,"out":"nowhere"}
{"op":"open","file":"missing.onnx"}
{"op":"what"}
{"op":"open","file":%[1]q}
{"op":"values","images":%[1]q,"out":"nowhere"}
{"op":"time","batch":2,"least":3}
{"op":"time","batch":2,"gradient":true,"least":4}
`, network, images))
	for i, refused := range []bool{true, true, true, true, false, true, false, false} {
		if (a[i].Error != "") != refused {
			t.Errorf("reply %d: %+v", i, a[i])
		}
	}
	if len(a[6].Seconds) != 3 || len(a[7].Seconds) != 4 {
		t.Errorf("%d and %d runs", len(a[6].Seconds), len(a[7].Seconds))
	}
}
