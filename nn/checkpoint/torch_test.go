package checkpoint

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"afterimage/tensor"
)

func checkStateDict(t *testing.T, f *File, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"module.w", "module.t"}, f.Names()); diff != "" {
		t.Error(diff)
	}
	w, _ := f.Get("module.w")
	if !slices.Equal(w.Shape, []int{2, 3}) ||
		!slices.Equal(w.Float32s(), []float32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("w: %v %v", w.Shape, w.Float32s())
	}
	tr, _ := f.Get("module.t")
	if !slices.Equal(tr.Shape, []int{3, 2}) ||
		!slices.Equal(tr.Float32s(), []float32{0, 3, 1, 4, 2, 5}) {
		t.Errorf("t: %v %v", tr.Shape, tr.Float32s())
	}
	if diff := cmp.Diff(map[string]any{"epoch": int64(7), "best": 91.5}, f.Fields); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"optimizer"}, f.Skipped); diff != "" {
		t.Error(diff)
	}
}

func TestTorchLegacyAndZip(t *testing.T) {
	f, err := Decode("x", legacyFile(stateDict(), stateDictBlobs()...))
	checkStateDict(t, f, err)
	f, err = Decode("x", torchZip(t, stateDict(), stateDictBlobs()...))
	checkStateDict(t, f, err)
	deflated := zipFile(t, member{"a/data.pkl", stateDict(), true},
		member{"a/data/0", f32s(6), true}, member{"a/data/1", stateDictBlobs()[1].data, true})
	f, err = ReadTorch(deflated)
	checkStateDict(t, f, err)
}

// loadLegacy reads a legacy file around one pickled object.
func loadLegacy(object []byte, blobs ...blob) (*File, error) {
	return ReadTorch(legacyFile(object, blobs...))
}

func TestTorchLegacyStorageView(t *testing.T) {
	p := newPickler().global("torch._utils", "_rebuild_tensor").ops("(")
	p.ops("(").str("storage").global("torch", "FloatStorage").str("7").str("cpu").int(6)
	p.ops("(").str("v").int(2).int(3).ops("ttQ").int(1).ints(2).ints(1).ops("tR")
	f, err := loadLegacy(p.stop(), blob{"7", 6, f32s(6)})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := f.Get(Single)
	if !slices.Equal(a.Float32s(), []float32{3, 4}) {
		t.Errorf("view at 2, tensor at 1: got %v", a.Float32s())
	}
}

// Expanded tensors have stride 0 and may overlap; parameters wrap a tensor.
func TestTorchExpandedParameter(t *testing.T) {
	p := newPickler().global("torch._utils", "_rebuild_parameter").ops("(")
	p.tensor("ShortStorage", "0", 3, 1, []int{2, 2}, []int{0, 1}).ops("\x88N}tR")
	f, err := loadLegacy(p.stop(), blob{"0", 3, []byte{1, 0, 0xfe, 0xff, 3, 0}})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := f.Get(Single)
	if a.DType != tensor.I32 || !slices.Equal(a.Int64s(), []int64{-2, 3, -2, 3}) {
		t.Errorf("got %v %v", a.DType, a.Int64s())
	}
}

// PyTorch 2 rebuilds newer types from an untyped storage with an explicit dtype.
func TestTorchUntypedStorage(t *testing.T) {
	p := newPickler().global("torch._utils", "_rebuild_tensor_v3").ops("(")
	p.ops("(").str("storage").global("torch.storage", "UntypedStorage").str("0").str("cpu").int(6)
	p.ops("tQ").int(1).ints(2).ints(1).ops("\x89N").global("torch", "uint16").ops("tR")
	f, err := ReadTorch(torchZip(t, p.stop(), blob{"0", 6, []byte{9, 9, 1, 0, 0xff, 0xff}}))
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := f.Get(Single); !slices.Equal(a.Int64s(), []int64{1, 65535}) {
		t.Errorf("got %v", a.Int64s())
	}
}

func TestTorchNumpyScalars(t *testing.T) {
	p := newPickler().ops("}(").str("acc").global("numpy.core.multiarray", "scalar").ops("(")
	p.global("numpy", "dtype").ops("(").str("f8").ops("\x89\x88tR(").int(3).str("<").ops("NNNtb")
	p.global("_codecs", "encode").ops("(").str("\u0000\u0000\u0000\u0000\u0000\u0000\u00f8\u003f")
	p.str("latin1").ops("tRtR").str("big").global("numpy", "dtype").ops("(").str("i4")
	p.ops("tR(").int(3).str(">").ops("tb0\x88").str("seed").ops("\x8a\x09")
	p.ops("\xff\xff\xff\xff\xff\xff\xff\xff\x00u")
	f, err := loadLegacy(p.stop())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"acc": 1.5, "big": true, "seed": "18446744073709551615"}
	if diff := cmp.Diff(want, f.Fields); diff != "" {
		t.Error(diff)
	}
}

func TestTorchNesting(t *testing.T) {
	p := newPickler().ops("}(").str("G").ops("}").str("w").
		tensor("FloatStorage", "0", 1, 0, []int{1}, []int{1}).ops("s")
	p.str("list").ops("](").tensor("FloatStorage", "0", 1, 0, nil, nil).int(3).ops("e")
	p.int(5).tensor("FloatStorage", "0", 1, 0, nil, nil).str("none").ops("Nu")
	f, err := loadLegacy(p.stop(), blob{"0", 1, f32s(1)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"G.w", "list.0", "5"}, f.Names()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"list.1": int64(3)}, f.Fields); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"none"}, f.Skipped); diff != "" {
		t.Error(diff)
	}
}

// TestTorchBoundsRepetition: what a few bytes of pickle repeat is not read, copied or printed whole
// each time.
func TestTorchBoundsRepetition(t *testing.T) {
	const doublings = 24
	long := strings.Repeat("k", 1<<20)
	nested := ")" + strings.Repeat("2\x86", doublings) // a tuple of itself twice, and so on
	magic := newPickler().ops("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").stop()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"version": {append(magic, newPickler().ops(nested).stop()...), "legacy protocol"},
		"offset": {legacyFile(newPickler().global("torch._utils", "_rebuild_tensor").ops("(").
			storage("FloatStorage", "0", 2).ops(nested + "NNtR").stop()), "storage offset"},
		"dict key": {legacyFile(newPickler().ops("}").str(long).ops("q\x00" +
			strings.Repeat("Nsh\x00", 1<<16) + "Ns").stop()), "a dict key of 1048576 bytes"},
		"storage key": {legacyFile(newPickler().ops("(").str("storage").global("torch",
			"FloatStorage").str(long).str("cpu").int(2).ops("t" + strings.Repeat("2Q0", 1<<16)).
			stop()), "a storage key of 1048576 bytes"},
		"name": {legacyFile(newPickler().global("m", long).ops("q\x00" + strings.Repeat(")R0h\x00",
			1<<16)).stop()), "an imported name of 1048577 bytes"},
	} {
		checkRead(t, c.data, ReadTorch)
		if _, err := ReadTorch(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got %v", name, c.want, err)
		}
	}
}

// TestPickleCopies: calls may copy as much as the pickle has bytes, all together, and no more.
func TestPickleCopies(t *testing.T) {
	m := &machine{in: make([]byte, 10)}
	for _, n := range []int{4, 6, 0} {
		if err := m.copying(n); err != nil {
			t.Fatalf("%d of 10 bytes: %v", m.copied, err)
		}
	}
	if err := m.copying(1); err == nil {
		t.Error("11 of 10 bytes were copied")
	}
	pairs := newPickler().ops("]q\x00(").str("k").ops("N\x86" + strings.Repeat("2", 1<<10) + "e")
	for range 1 << 10 { // OrderedDict(the same long list), again and again
		pairs.global("collections", "OrderedDict").ops("h\x00\x85R0")
	}
	_, err := loadLegacy(pairs.ops("}").stop())
	if err == nil || !strings.Contains(err.Error(), "copies more than its own length") {
		t.Errorf("a thousand copies of a list: error %v", err)
	}
}

func TestTorchRefusesObjects(t *testing.T) {
	tensorOf := func(class string, numel, offset int, shape, stride []int) []byte {
		return newPickler().ops("}").str("w").tensor(class, "0", numel, offset, shape, stride).
			ops("s").stop()
	}
	two := []int{2}
	for _, c := range []struct {
		name   string
		object []byte
		want   string
	}{
		{"module", newPickler().global("__main__", "Net").ops(")\x81").stop(), "__main__.Net"},
		{"system call", newPickler().global("os", "system").ops("(").str("true").ops("tR").stop(),
			"os.system"},
		{"sparse", newPickler().ops("}").str("w").global("torch._utils", "_rebuild_sparse_tensor").
			ops(")Rs").stop(), "_rebuild_sparse_tensor"},
		{"quantised", tensorOf("QInt8Storage", 2, 0, two, []int{1}), "QInt8Storage"},
		{"outside", tensorOf("FloatStorage", 2, 1, two, []int{1}), "4 bytes stored"},
		{"offset", tensorOf("FloatStorage", 2, 3, nil, nil), "outside"},
		{"stride", tensorOf("FloatStorage", 2, 0, two, []int{2}), "strides"},
		{"negative stride", tensorOf("FloatStorage", 2, 0, two, []int{-1}), "numbers from 0"},
		{"rank", tensorOf("FloatStorage", 2, 0, two, []int{1, 1}), "two tuples"},
		{"bomb", tensorOf("FloatStorage", 2, 0, []int{1 << 15, 1 << 15}, []int{0, 0}), "memory"},
		{"overflow", tensorOf("FloatStorage", 2, 0, []int{1 << 30, 1 << 30, 1 << 30}, []int{0, 0, 0}),
			"overflows"},
		{"list in itself", newPickler().ops("]q\x00h\x00a").stop(), "nested"},
		{"not a dict", newPickler().int(3).stop(), "state_dict"},
		{"unhashable key", newPickler().ops("}])s").stop(), "dict key"},
		{"stack", newPickler().ops("}a").stop(), "stack is empty"},
		{"mark", newPickler().ops("t").stop(), "MARK"},
		{"memo", newPickler().ops("h\x05").stop(), "memo"},
		{"opcode", newPickler().ops("\xff").stop(), "opcode"},
		{"call of a string", newPickler().str("x").ops(")R").stop(), "imported name"},
		{"protocol", []byte("\x80\x09."), "protocol"},
	} {
		var blobs []blob
		if bytes.Contains(c.object, []byte("storage")) {
			blobs = append(blobs, blob{"0", 2, f32s(2)})
		}
		_, err := loadLegacy(c.object, blobs...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got %v", c.name, c.want, err)
		}
	}
}

// Every prefix of a legacy file is an error, never a panic and never a File.
func TestTorchTruncated(t *testing.T) {
	for _, whole := range [][]byte{
		legacyFile(stateDict(), stateDictBlobs()...), torchZip(t, stateDict(), stateDictBlobs()...),
	} {
		for n := range len(whole) {
			if _, err := Decode("x", whole[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes: expected an error", n, len(whole))
			}
		}
	}
}

func TestTorchRefusesFiles(t *testing.T) {
	object, blobs := stateDict(), stateDictBlobs()
	data := torchZip(t, object, blobs...)
	broken := bytes.Clone(data)
	broken[bytes.Index(data, f32s(6))+5] ^= 1
	bigEndian := legacyFile(object, blobs...)
	bigEndian[bytes.Index(bigEndian, []byte("endian\x88"))+6] = 0x89
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"checksum", broken, "checksum"},
		{"no storage", torchZip(t, object, blobs[0]), "lacks this storage"},
		{"short storage", torchZip(t, object, blobs[0], blob{"1", 2, nil}), "expected 16 bytes"},
		{"legacy without storage", legacyFile(object, blobs[0]), "not in the file"},
		{"legacy storage twice", legacyFile(object, blobs[0], blobs[0]), "twice"},
		{"legacy storage unused", legacyFile(object, blob{"x", 0, nil}), "never used"},
		{"legacy storage size", legacyFile(object, blob{"0", 7, f32s(7)}), "expected 6 elements"},
		{"big-endian", bigEndian, "big-endian"},
		{"big-endian zip", zipFile(t, member{"a/data.pkl", object, false},
			member{"a/byteorder", []byte("big"), false}), "big"},
		{"TorchScript", zipFile(t, member{"a/data.pkl", object, false},
			member{"a/constants.pkl", nil, false}), "TorchScript"},
		{"other zip", zipFile(t, member{"a/readme.txt", nil, false}), "without a data.pkl"},
		{"plain pickle", newPickler().int(1).stop(), "magic"},
		{"zip bomb", zipFile(t, member{"a/data.pkl", make([]byte, 64<<20), true}), "memory"},
	} {
		_, err := Decode("dir/file.pth", c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "dir/file.pth") {
			t.Errorf("%s: expected an error with the path and %q, got %v", c.name, c.want, err)
		}
	}
}

// A graph of dicts that has 2^40 paths must end in an error, not in a wait.
func TestTorchExponentialGraph(t *testing.T) {
	p := newPickler().ops("}q\x00")
	for i := range 40 {
		p.ops("0}(").str("a").ops("h" + string(rune(i))).str("b").ops("h" + string(rune(i)))
		p.ops("uq" + string(rune(i+1)))
	}
	if _, err := loadLegacy(p.stop()); err == nil {
		t.Error("expected an error")
	}
}

// The numbers and strings of protocols 0 and 1.
func TestPickleScalars(t *testing.T) {
	for in, want := range map[string]any{
		"I01\n.": true, "I00\n.": false, "I-12\n.": int64(-12), "L5L\n.": int64(5),
		"F1.5\n.": 1.5, "S'ab'\n.": "ab", "Vab\n.": "ab", "N.": nil, "\x88.": true,
		"J\xfe\xff\xff\xff.": int64(-2), "M\xff\xff.": int64(65535), "\x8a\x00.": int64(0),
		"\x8a\x01\xff.": int64(-1), "\x8a\x02\x00\x80.": int64(-32768),
		"G\x3f\xf8\x00\x00\x00\x00\x00\x00.": 1.5, "\x8c\x01a.": "a", "U\x01a.": "a",
		"I1\nI2\n0.": int64(1), "I7\np5\n0g5\n.": int64(7), "K\x01(K\x021.": int64(1),
		"K\x032s}.": nil,
	} {
		got, n, err := unpickle([]byte(in), &torchEnv{roots: map[string]*root{}})
		if in == "K\x032s}." { // DUP leaves two values, SETITEM wants three
			if err == nil {
				t.Error("SETITEM on a short stack: expected an error")
			}
			continue
		}
		if err != nil || got != want || n != len(in) {
			t.Errorf("%q: expected %v, got %v after %d bytes, %v", in, want, got, n, err)
		}
	}
	got, _, err := unpickle([]byte("(lp0\nI1\na."), &torchEnv{})
	if l, ok := got.(*list); err != nil || !ok || len(l.items) != 1 {
		t.Errorf("protocol 0 list: %v %v", got, err)
	}
	got, _, err = unpickle([]byte("(S'a'\nF-inf\nd."), &torchEnv{})
	d, ok := got.(*dict)
	if err != nil || !ok {
		t.Fatalf("protocol 0 dict: %v %v", got, err)
	}
	if v, _ := d.get("a"); v != math.Inf(-1) {
		t.Errorf("protocol 0 dict: %v", v)
	}
}
