package checkpoint

import (
	"bytes"
	"runtime"
	"testing"
)

// Bounds on what a reader may allocate in total, kept or not, for n bytes of hostile input.
const (
	// fuzzFactor: tensor data may grow by maxExpansion; beside it, one byte of pickle can make one
	// dict of some 80 bytes and one memo entry, whose map doubles as it grows, and one header byte
	// of JSON some tens of bytes while it is decoded.
	fuzzFactor = maxExpansion + 512
	// fuzzSlack: minBudget, the tables of an inflater, and what the fuzzing worker itself
	// allocates.
	fuzzSlack = 8 << 20
)

// checkRead runs a reader on data: it must not panic, allocate much, or return invalid arrays.
func checkRead(t *testing.T, data []byte, read func([]byte) (*File, error)) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := read(data)
	runtime.ReadMemStats(&after)
	limit := uint64(fuzzFactor*len(data) + fuzzSlack)
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Fatalf("%d bytes of input: allocated %d bytes, expected at most %d", len(data), got, limit)
	}
	if err != nil {
		if f != nil || err.Error() == "" {
			t.Fatalf("an error with a File or without a message: %v", err)
		}
		return
	}
	for name, a := range f.All() {
		if err := a.Check(); err != nil {
			t.Fatalf("key %q: %v", name, err)
		}
		if a.Len() < 1<<16 {
			a.Float32s()
		}
	}
}

// FuzzSafetensors takes the header without its length, so that changes to it reach the checks.
func FuzzSafetensors(f *testing.F) {
	f.Add([]byte(`{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`), []byte{1, 2})
	f.Add([]byte(`{"b":{"dtype":"F32","shape":[],"data_offsets":[1,5]},`+
		`"a":{"dtype":"BOOL","shape":[1,1],"data_offsets":[0,1]},`+
		`"__metadata__":{"k":"v"}}`), []byte{1, 2, 3, 4, 5})
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`),
		[]byte{})
	f.Add([]byte(`{"a":{"dtype":"U64","shape":[1,0],"data_offsets":[0,0]}} `), []byte{})
	f.Fuzz(func(t *testing.T, header, body []byte) {
		data := stFile(string(header), body)
		checkRead(t, data, ReadSafetensors)
		file, err := ReadSafetensors(data)
		if err != nil {
			return
		}
		again, err := ReadSafetensors(stBytes(t, file)) // what was read can be written and read
		if err != nil || again.Len() != file.Len() {
			t.Fatalf("after writing: %v", err)
		}
	})
}

func FuzzTorchLegacy(f *testing.F) {
	f.Add(legacyFile(stateDict(), stateDictBlobs()...))
	f.Add(legacyFile(newPickler().ops("](").int(1).str("a").ops("e").stop()))
	f.Add(legacyFile(newPickler().tensor("CharStorage", "0", 4, 1, []int{3}, []int{1}).stop(),
		blob{"0", 4, []byte{1, 2, 3, 4}}))
	f.Fuzz(func(t *testing.T, data []byte) { checkRead(t, data, ReadTorch) })
}

func FuzzTorchZip(f *testing.F) {
	f.Add(torchZip(f, stateDict(), stateDictBlobs()...))
	f.Add(zipFile(f, member{"a/data.pkl", stateDict(), true}, member{"a/data/0", f32s(6), true},
		member{"a/data/1", f32s(4), true}))
	f.Fuzz(func(t *testing.T, data []byte) { checkRead(t, data, ReadTorch) })
}

// FuzzPickle reaches the machine past the zip checksums, which stop most changes to an archive.
func FuzzPickle(f *testing.F) {
	f.Add(stateDict())
	f.Add([]byte("(lp0\nI1\naL5L\naF1.5\na."))
	f.Add([]byte("\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94\x94."))
	f.Add(newPickler().global("numpy", "dtype").ops("(").str("f8").ops("tR(").int(3).str("<").
		ops("tb").stop())
	f.Add(newPickler().ops("}q\x00(").str("a").ops("h\x00").str("b").ops("h\x00u").stop())
	blobs := stateDictBlobs()
	f.Fuzz(func(t *testing.T, object []byte) {
		data := torchZip(t, object, blobs...)
		checkRead(t, data, func(data []byte) (*File, error) { return Decode("fuzz", data) })
	})
}

func FuzzNPY(f *testing.F) {
	for _, a := range sample().All() {
		var b bytes.Buffer
		if WriteNPY(&b, a) == nil {
			f.Add(b.Bytes())
		}
	}
	f.Add(npyRaw("{'descr': '>u8', 'fortran_order': True, 'shape': (1L, 2)}", make([]byte, 16)))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkRead(t, data, ReadNPY)
		checkRead(t, zipFile(t, member{"a.npy", data, true}), ReadNPZ)
	})
}

func FuzzNPZ(f *testing.F) {
	one := npyFile(f, FromFloat32s([]int{2}, []float32{1, 2}))
	f.Add(zipFile(f, member{"a.npy", one, false}, member{"b.npy", one, true}))
	f.Fuzz(func(t *testing.T, data []byte) { checkRead(t, data, ReadNPZ) })
}

func FuzzDecode(f *testing.F) {
	f.Add(stBytes(f, sample()))
	f.Add(legacyFile(stateDict(), stateDictBlobs()...))
	f.Add(torchZip(f, stateDict(), stateDictBlobs()...))
	f.Add(npyFile(f, FromFloat32s([]int{2}, []float32{1, 2})))
	f.Add([]byte("version https://git-lfs"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkRead(t, data, func(data []byte) (*File, error) { return Decode("fuzz", data) })
	})
}
