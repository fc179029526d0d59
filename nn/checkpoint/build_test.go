package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"testing"
)

// A pickler writes protocol 2 pickles as torch.save does, enough of them for the tests.
type pickler struct{ bytes.Buffer }

func newPickler() *pickler {
	p := &pickler{}
	p.WriteString("\x80\x02")
	return p
}

func (p *pickler) ops(s string) *pickler { p.WriteString(s); return p }

func (p *pickler) str(s string) *pickler {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
	return p
}

func (p *pickler) int(v int32) *pickler {
	p.WriteByte('J')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(v)))
	return p
}

func (p *pickler) ints(v ...int) *pickler {
	p.WriteByte('(')
	for _, x := range v {
		p.int(int32(x))
	}
	p.WriteByte('t')
	return p
}

func (p *pickler) global(module, name string) *pickler {
	return p.ops("c" + module + "\n" + name + "\n")
}

// storage pushes a persistent storage reference.
func (p *pickler) storage(class, key string, numel int) *pickler {
	return p.ops("(").str("storage").global("torch", class).str(key).str("cpu").int(int32(numel)).
		ops("tQ")
}

// tensor pushes a tensor that is a view of a storage.
func (p *pickler) tensor(class, key string, numel, offset int, shape, stride []int) *pickler {
	p.global("torch._utils", "_rebuild_tensor_v2").ops("(").storage(class, key, numel).
		int(int32(offset)).ints(shape...).ints(stride...)
	return p.ops("\x89").global("collections", "OrderedDict").ops(")RtR")
}

func (p *pickler) stop() []byte { p.WriteByte('.'); return p.Bytes() }

// A blob is one storage of a test file.
type blob struct {
	key   string
	numel int
	data  []byte
}

func legacyFile(object []byte, blobs ...blob) []byte {
	out := newPickler().ops("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").stop()
	out = append(out, newPickler().int(legacyProtocol).stop()...)
	out = append(out, newPickler().ops("}").str("little_endian").ops("\x88s").stop()...)
	out = append(out, object...)
	keys := newPickler().ops("](")
	for _, b := range blobs {
		keys.str(b.key)
	}
	out = append(out, keys.ops("e").stop()...)
	for _, b := range blobs {
		out = binary.LittleEndian.AppendUint64(out, uint64(b.numel))
		out = append(out, b.data...)
	}
	return out
}

// A member is one file of a test archive.
type member struct {
	name    string
	data    []byte
	deflate bool
}

func zipFile(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Store,
			CRC32: crc32.ChecksumIEEE(m.data), UncompressedSize64: uint64(len(m.data))}
		if m.deflate {
			h.Method = zip.Deflate
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(m.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func torchZip(t testing.TB, object []byte, blobs ...blob) []byte {
	members := []member{{name: "archive/data.pkl", data: object},
		{name: "archive/byteorder", data: []byte("little")}}
	for _, b := range blobs {
		members = append(members, member{name: "archive/data/" + b.key, data: b.data})
	}
	return zipFile(t, append(members, member{name: "archive/version", data: []byte("3\n")})...)
}

func npyFile(t testing.TB, a Array) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteNPY(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// npyRaw is a version 1.0 file with any header.
func npyRaw(header string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte(npyMagic+"\x01\x00"), uint16(len(header)))
	return append(append(out, header...), data...)
}

func stFile(header string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), data...)
}

func stBytes(t testing.TB, f *File, opts ...WriteOption) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSafetensors(&b, f, opts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// f32s returns the bytes of 0, 1, 2, ….
func f32s(n int) []byte {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return FromFloat32s([]int{n}, v).Data
}

// stateDict is {"state_dict": OrderedDict(w: 2×3 of storage 0, t: its transpose), "epoch": 7,
// "best": a tensor of one element, "optimizer": an unknown object}.
func stateDict() []byte {
	p := newPickler().ops("}(").str("state_dict").global("collections", "OrderedDict").ops(")R(")
	p.str("module.w").tensor("FloatStorage", "0", 6, 0, []int{2, 3}, []int{3, 1})
	p.str("module.t").tensor("FloatStorage", "0", 6, 0, []int{3, 2}, []int{1, 3})
	p.ops("u").str("epoch").int(7)
	p.str("best").tensor("DoubleStorage", "1", 2, 1, nil, nil)
	p.str("optimizer").global("torch.optim", "SGD").ops(")R")
	return p.ops("u").stop()
}

func stateDictBlobs() []blob {
	return []blob{{"0", 6, f32s(6)}, {"1", 2, FromFloat64s([]int{2}, []float64{1, 91.5}).Data}}
}

func itoa(i int) string { return strconv.Itoa(i) }
