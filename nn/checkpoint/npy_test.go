package checkpoint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
)

func TestNPYRoundTrip(t *testing.T) {
	for name, a := range sample().All() {
		var b bytes.Buffer
		err := WriteNPY(&b, a)
		if a.DType == tensor.BF16 {
			if err == nil {
				t.Error("bf16: expected an error")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if (b.Len()-len(a.Data))%64 != 0 {
			t.Errorf("%s: data at offset %d", name, b.Len()-len(a.Data))
		}
		f, err := Decode("x.npy", b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, _ := f.Get(Single)
		if got.DType != a.DType || !slices.Equal(got.Shape, a.Shape) || !bytes.Equal(got.Data, a.Data) {
			t.Errorf("%s: expected %v, got %v", name, a, got)
		}
	}
	if err := WriteNPY(&bytes.Buffer{}, Array{}); err == nil {
		t.Error("no dtype: expected an error")
	}
}

// The header that numpy.save writes for numpy.arange(3, dtype='float32'), version 1.0.
func TestNPYGolden(t *testing.T) {
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"
	header += strings.Repeat(" ", 128-10-1-len(header)) + "\n"
	if got := npyFile(t, FromFloat32s([]int{3}, []float32{0, 1, 2})); !bytes.Equal(got,
		npyRaw(header, f32s(3))) {
		t.Errorf("got %q", got)
	}
}

func TestNPYHeaders(t *testing.T) {
	for _, c := range []struct {
		header string
		data   []byte
		want   []float64
	}{
		{"{'descr': '>i2', 'fortran_order': False, 'shape': (2L,), }", []byte{0xff, 0xfe, 1, 0},
			[]float64{-2, 256}},
		{`{"shape":(1,2,),"descr":"|i1","fortran_order":True}` + "\n", []byte{0xff, 1}, []float64{-1, 1}},
		{"{'descr': '<u8', 'fortran_order': False, 'shape': ()}", []byte{7, 0, 0, 0, 0, 0, 0, 0},
			[]float64{7}},
		{"{'descr': '|b1', 'fortran_order': False, 'shape': (0, 5)}", nil, nil},
		{"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", []byte{0, 1, 2, 3, 4, 5},
			[]float64{0, 2, 4, 1, 3, 5}},
	} {
		f, err := ReadNPY(npyRaw(c.header, c.data))
		if err != nil {
			t.Errorf("%s: %v", c.header, err)
			continue
		}
		if a, _ := f.Get(Single); !slices.Equal(a.Float64s(), c.want) {
			t.Errorf("%s: expected %v, got %v", c.header, c.want, a.Float64s())
		}
	}
	v2 := append([]byte(npyMagic+"\x02\x00\x36\x00\x00\x00"),
		"{'descr': '|u1', 'fortran_order': False, 'shape': (1)}\x2a"...)
	if f, err := ReadNPY(v2); err != nil {
		t.Error(err)
	} else if a, _ := f.Get(Single); a.Float32s()[0] != 42 {
		t.Errorf("version 2: %v", a)
	}
}

func TestNPYRefuses(t *testing.T) {
	for _, c := range []struct{ name, header, data, want string }{
		{"object", "{'descr': '|O', 'fortran_order': False, 'shape': ()}", "", "element type"},
		{"complex", "{'descr': '<c8', 'fortran_order': False, 'shape': ()}", "12345678", "<c8"},
		{"structured", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", "1234",
			"structured"},
		{"short", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "1234", "expected 8 bytes"},
		{"long", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "12345", "expected 4 bytes"},
		{"u64", "{'descr': '<u8', 'fortran_order': False, 'shape': ()}",
			"\xff\xff\xff\xff\xff\xff\xff\xff", "int64"},
		{"overflow", "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "",
			"expected"},
		{"negative", "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "", "extent"},
		{"missing", "{'descr': '<f8', 'shape': (1,)}", "12345678", "fortran_order"},
		{"twice", "{'shape': (1,), 'shape': (1,)}", "", "once"},
		{"unknown", "{'x': 'y'}", "", "unknown key"},
		{"no dict", "[]", "", "expected a dict"},
		{"open", "{'shape': (1,", "", "extents"},
		{"bool", "{'fortran_order': 1}", "", "True or False"},
	} {
		_, err := Decode("f.npy", npyRaw(c.header, []byte(c.data)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got %v", c.name, c.want, err)
		}
	}
	whole := npyFile(t, FromFloat32s([]int{2}, []float32{1, 2}))
	for n := range len(whole) {
		if _, err := Decode("f.npy", whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes: expected an error", n, len(whole))
		}
	}
	whole[6] = 9
	if _, err := ReadNPY(whole); err == nil {
		t.Error("version 9: expected an error")
	}
}

func TestNPZ(t *testing.T) {
	one := npyFile(t, FromFloat32s([]int{2}, []float32{1, 2}))
	for _, deflate := range []bool{false, true} {
		data := zipFile(t, member{"b.npy", one, deflate}, member{"a.npy", one, deflate})
		f, err := Decode("x.npz", data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Names(), []string{"b", "a"}) || f.Format != "npz" {
			t.Errorf("names %v, format %s", f.Names(), f.Format)
		}
		if a, _ := f.Get("a"); !slices.Equal(a.Float32s(), []float32{1, 2}) {
			t.Errorf("a: %v", a)
		}
		for n := range len(data) {
			if _, err := Decode("x.npz", data[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes: expected an error", n, len(data))
			}
		}
	}
	for name, data := range map[string][]byte{
		"no npy":  zipFile(t, member{"b.npy", one, false}, member{"x.txt", nil, false}),
		"twice":   zipFile(t, member{"b.npy", one, false}, member{"b.npy", one, false}),
		"damaged": zipFile(t, member{"b.npy", one[:60], false}),
	} {
		if _, err := Decode("x.npz", data); err == nil {
			t.Errorf("%s: expected an error", name)
		}
	}
}
