package cases_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/onnx"
	"afterimage/nn/onnx/cases"
	"afterimage/tensor/ref"
)

// field writes one length-delimited protocol buffer field.
func field(tag int, data ...byte) []byte {
	b := binary.AppendUvarint(nil, uint64(tag)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// floats is a TensorProto of a vector.
func floats(v ...float32) []byte {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return join([]byte{1 << 3, byte(len(v)), 2 << 3, byte(onnx.Float)}, field(9, raw...))
}

// model is a graph of one node with input "x" and output "y", two floats each.
func model(op string) []byte {
	info := func(name string) []byte {
		shape := join(field(1, 1<<3, 2))
		typ := field(1, join([]byte{1 << 3, byte(onnx.Float)}, field(2, shape...))...)
		return join(field(1, []byte(name)...), field(2, typ...))
	}
	node := join(field(1, 'x'), field(2, 'y'), field(4, []byte(op)...))
	graph := join(field(1, node...), field(11, info("x")...), field(12, info("y")...))
	return join(field(7, graph...), field(8, 2<<3, 17))
}

// write makes a case of an operator with given input and stored output.
func write(dir, op string, in, out []byte) error {
	set := filepath.Join(dir, "test_data_set_0")
	if err := os.MkdirAll(set, 0o755); err != nil {
		return err
	}
	for path, data := range map[string][]byte{filepath.Join(dir, "model.onnx"): model(op),
		filepath.Join(set, "input_0.pb"): in, filepath.Join(set, "output_0.pb"): out} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A case passes exactly when its output agrees within the tolerances; only the importer's word
// makes it unsupported.
func TestRun(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, tc := range []struct {
		name, op string
		in, out  []byte
		want     cases.Status
		reason   string
	}{
		{"exact", "Relu", floats(-1, 2), floats(0, 2), cases.Passed, ""},
		{"within", "Relu", floats(0, 2), floats(0, 2.0015), cases.Passed, ""},
		{"outside", "Relu", floats(0, 2), floats(0, 2.01), cases.Failed, "element 1"},
		{"near zero", "Relu", floats(0, 2), floats(1e-6, 2), cases.Failed, "element 0"},
		{"NaN", "Sqrt", floats(-1, 4), floats(nan, 2), cases.Passed, ""},
		{"NaN for a number", "Sqrt", floats(-1, 4), floats(0, 2), cases.Failed, "element 0"},
		{"number for NaN", "Relu", floats(1, 4), floats(nan, 4), cases.Failed, "element 0"},
		{"infinity", "Reciprocal", floats(0, 4), floats(inf, 0.25), cases.Passed, ""},
		{"number for infinity", "Relu", floats(1e30, 4), floats(inf, 4), cases.Failed, "element 0"},
		{"shape", "Relu", floats(1, 2), floats(1), cases.Failed, "expected float [1]"},
		{"unknown operator", "Loop", floats(1, 2), floats(1, 2), cases.Unsupported, "Loop"},
		{"damaged data", "Relu", floats(1, 2)[:9], floats(1, 2), cases.Failed, "input_0.pb"},
	} {
		dir := filepath.Join(t.TempDir(), tc.name)
		if err := write(dir, tc.op, tc.in, tc.out); err != nil {
			t.Fatal(err)
		}
		r := cases.Run(ref.New(), dir, onnx.Options{})
		if r.Status != tc.want || !strings.Contains(r.Reason, tc.reason) || r.Worst > 1 {
			t.Errorf("%s: %v, %q, %g", tc.name, r.Status, r.Reason, r.Worst)
		}
	}
}

// A folder is a case when it holds a model and data; the order is that of the paths.
func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b", "a/deep", "c[1]"} {
		if err := write(filepath.Join(root, name), "Relu", floats(1, 2), floats(1, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "model.onnx"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := cases.Find(root)
	if err != nil || len(got) != 3 || !strings.HasSuffix(got[0], "deep") ||
		!strings.HasSuffix(got[2], "c[1]") {
		t.Errorf("found %v, %v", got, err)
	}
	if _, err := cases.Find(filepath.Join(root, "missing")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func Example() {
	root, err := os.MkdirTemp("", "cases")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)
	if err := write(filepath.Join(root, "relu"), "Relu", floats(-1, 2), floats(0, 2)); err != nil {
		panic(err)
	}
	same := floats(-1, 2)
	if err := write(filepath.Join(root, "wrong"), "Relu", same, same); err != nil {
		panic(err)
	}
	dirs, err := cases.Find(root)
	if err != nil {
		panic(err)
	}
	for _, dir := range dirs {
		r := cases.Run(ref.New(), dir, onnx.Options{})
		fmt.Println(strings.TrimSpace(fmt.Sprint(filepath.Base(dir), " ", r.Status, " ", r.Reason)))
	}
	// Output:
	// relu passed
	// wrong failed output "y", element 0 of [2]: got 0, expected -1
}
