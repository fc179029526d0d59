package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"afterimage/tensor"
)

func sample() *File {
	f := NewFile()
	f.Metadata["config"] = `{"lr": 0.1, "a<b": "ü"}`
	f.Metadata["a"] = "1"
	f.Set("w", FromFloat32s([]int{2, 3}, []float32{0, -1.5, 2, 3e-8, float32(math.Inf(1)), 65504}))
	f.Set("b.u8", FromUint8s([]int{3}, []uint8{1, 2, 3}))
	f.Set("step", FromInt64s(nil, []int64{1 << 40}))
	f.Set("empty", FromFloat32s([]int{0, 4}, nil))
	f.Set("i", FromInt32s([]int{1}, []int32{-7}))
	f.Set("flag", FromBools([]int{2}, []bool{true, false}))
	f.Set("d", FromFloat64s([]int{1}, []float64{math.Pi}))
	f.Set("bf", Array{tensor.BF16, []int{1}, []byte{0x80, 0x3f}})
	f.Set("h", Array{tensor.F16, []int{1}, []byte{0x00, 0x3c}})
	return f
}

func arrays(f *File) map[string]Array {
	m := map[string]Array{}
	for n, a := range f.All() {
		m[n] = a
	}
	return m
}

func TestSafetensorsRoundTrip(t *testing.T) {
	f := sample()
	data := stBytes(t, f)
	got, err := Decode("x", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(arrays(f), arrays(got), equalEmpty()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(f.Metadata, got.Metadata); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSorted(got.Names()) {
		t.Errorf("header order: %v", got.Names())
	}
	n := binary.LittleEndian.Uint64(data)
	if n%8 != 0 {
		t.Errorf("header of %d bytes: expected a multiple of 8", n)
	}
	entries, err := parseSTHeader(data[8:8+n], NewFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // every array is aligned to its elements
		if a, _ := got.Get(e.name); e.Offsets[0]%a.DType.Size() != 0 {
			t.Errorf("%s: %v at offset %d is not aligned", e.name, a.DType, e.Offsets[0])
		}
	}
}

// equalEmpty treats nil and empty shapes and data as equal.
func equalEmpty() cmp.Option {
	return cmp.Comparer(func(a, b Array) bool {
		return a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data, b.Data)
	})
}

// The bytes are a contract: the same arrays in any insertion order give this file.
func TestSafetensorsGolden(t *testing.T) {
	f, g := NewFile(), NewFile()
	f.Set("b", FromUint8s([]int{1}, []uint8{9}))
	f.Set("a", FromFloat32s([]int{1}, []float32{1}))
	g.Set("a", FromFloat32s([]int{1}, []float32{1}))
	g.Set("b", FromUint8s([]int{1}, []uint8{9}))
	header := `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},` +
		`"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := stFile(header, []byte{0, 0, 0x80, 0x3f, 9})
	for _, file := range []*File{f, g} {
		if got := stBytes(t, file); !bytes.Equal(got, want) {
			t.Errorf("expected %q\ngot      %q", want, got)
		}
	}
}

func TestStoreF16(t *testing.T) {
	f := NewFile()
	f.Set("w", FromFloat32s([]int{3}, []float32{1, 1.0004883, float32(math.NaN())}))
	f.Set("keep", FromFloat32s([]int{1}, []float32{1e6}))
	f.Set("n", FromInt64s(nil, []int64{3}))
	only := StoreF16(func(name string, a Array) bool { return name != "keep" })
	got, err := ReadSafetensors(stBytes(t, f, only))
	if err != nil {
		t.Fatal(err)
	}
	w, _ := got.Get("w")
	if v := w.Float32s(); w.DType != tensor.F16 || v[0] != 1 || v[1] != 1 || v[2] == v[2] {
		t.Errorf("w: %v %v", w.DType, v)
	}
	if k, _ := got.Get("keep"); k.DType != tensor.F32 || k.Float32s()[0] != 1e6 {
		t.Errorf("keep: %v", k)
	}
	if n, _ := got.Get("n"); n.DType != tensor.I64 {
		t.Errorf("n: %v", n)
	}
	err = WriteSafetensors(&bytes.Buffer{}, f, StoreF16(nil))
	if err == nil || !strings.Contains(err.Error(), `"keep"`) {
		t.Errorf("1e6 as F16: got %v", err)
	}
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	for name, a := range map[string]Array{
		"\xff": FromUint8s(nil, []uint8{1}), metadataKey: FromUint8s(nil, []uint8{1}),
		"short": {tensor.F32, []int{2}, make([]byte, 4)}, "none": {},
	} {
		f := NewFile()
		f.Set(name, a)
		if err := WriteSafetensors(&bytes.Buffer{}, f); err == nil {
			t.Errorf("%q: expected an error", name)
		}
	}
	f := NewFile()
	f.Metadata["k"] = "\xff"
	if err := WriteSafetensors(&bytes.Buffer{}, f); err == nil {
		t.Error("metadata: expected an error")
	}
}

func TestSafetensorsForeignTypes(t *testing.T) {
	h := `{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},` +
		`"b":{"dtype":"U16","shape":[1],"data_offsets":[2,4]},` +
		`"c":{"dtype":"U64","shape":[],"data_offsets":[4,12]},"__metadata__":null}`
	data := []byte{0xff, 1, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0}
	f, err := ReadSafetensors(stFile(h, data))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]int64{"a": {-1, 1}, "b": {65535}, "c": {1}} {
		if a, _ := f.Get(name); !slices.Equal(a.Int64s(), want) {
			t.Errorf("%s: expected %v, got %v", name, want, a.Int64s())
		}
	}
	data[11] = 0x80
	if _, err := ReadSafetensors(stFile(h, data)); err == nil {
		t.Error("a u64 above int64: expected an error")
	}
}

func TestSafetensorsRefuses(t *testing.T) {
	one := func(entry string) string { return `{"k":` + entry + `}` }
	for _, c := range []struct {
		name, header string
		size         int
		want         string // part of the message
	}{
		{"no json", `xx`, 0, "not a JSON object"},
		{"cut json", `{"a":`, 0, "header entry"},
		{"cut object", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, 0, "not JSON"},
		{"text after", `{} x`, 0, "after"},
		{"two objects", `{}{}`, 0, "after"},
		{"not UTF-8", "{\"\xff\":1}", 0, "UTF-8"},
		{"duplicate", `{"k":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},` +
			`"k":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0, "twice"},
		{"no shape", one(`{"dtype":"U8","data_offsets":[0,1]}`), 1, "no shape"},
		{"three offsets", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}`), 1, "two numbers"},
		{"backwards", one(`{"dtype":"U8","shape":[1],"data_offsets":[1,0]}`), 1, "begin"},
		{"negative", one(`{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}`), 1, "begin"},
		{"beyond", one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`), 1, "length of the data"},
		{"gap before", one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`), 2, "begin at 0"},
		{"rest after", one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`), 2, "length of the data"},
		{"overlap", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},` +
			`"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3, "begin at 2"},
		{"size", one(`{"dtype":"F32","shape":[1],"data_offsets":[0,2]}`), 2, "expected 4 bytes"},
		{"overflow", one(`{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}`), 0,
			"expected"},
		{"negative extent", one(`{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}`), 0, "expected"},
		{"dtype", one(`{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}`), 1, "F8_E4M3"},
		{"lower case", one(`{"dtype":"f32","shape":[0],"data_offsets":[0,0]}`), 0, "dtype"},
		{"float extent", one(`{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}`), 1, "header entry"},
		{"metadata", `{"__metadata__":{"a":1}}`, 0, "__metadata__"},
		{"rank", one(`{"dtype":"U8","shape":[` + strings.Repeat("1,", 70) +
			`1],"data_offsets":[0,1]}`), 1, "axes"},
	} {
		_, err := ReadSafetensors(stFile(c.header, make([]byte, c.size)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got %v", c.name, c.want, err)
		}
	}
	for _, n := range []uint64{9, maxHeader + 1, math.MaxUint64} {
		data := append(binary.LittleEndian.AppendUint64(nil, n), `{}      `...)
		if _, err := ReadSafetensors(data); err == nil {
			t.Errorf("header of %d bytes: expected an error", n)
		}
	}
	if _, err := ReadSafetensors(make([]byte, 7)); err == nil {
		t.Error("7 bytes: expected an error")
	}
}

func TestSaveSafetensors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.safetensors")
	if err := SaveSafetensors(path, sample()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil || f.Len() != sample().Len() || f.Format != "safetensors" || f.Path != path {
		t.Errorf("got %+v, %v", f, err)
	}
}
