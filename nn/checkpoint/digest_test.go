package checkpoint

import (
	"bytes"
	"strings"
	"testing"
)

// TestSealedNoticesEveryByte changes each byte of a sealed file's data in turn, and its metadata.
func TestSealedNoticesEveryByte(t *testing.T) {
	f := sample()
	var b bytes.Buffer
	if err := WriteSafetensors(&b, f, Sealed()); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	g, err := Decode("x", data)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Metadata[digestKey]; ok || len(g.Metadata) != len(f.Metadata) {
		t.Errorf("the metadata read are %v: expected those of the caller alone", g.Metadata)
	}
	start := 8 + int(data[0]) + int(data[1])<<8
	for i := start; i < len(data); i++ {
		data[i] ^= 4
		if _, err := Decode("x", data); err == nil {
			t.Errorf("byte %d changed, and nobody noticed", i-start)
		}
		data[i] ^= 4
	}
	wantDamage(t, bytes.Replace(data, []byte(`"a":"1"`), []byte(`"a":"2"`), 1))
	wantDamage(t, bytes.Replace(data, []byte(`"i":{`), []byte(`"j":{`), 1))
}

// TestSealedHalf: the checksum is of what is stored, not of what was rounded.
func TestSealedHalf(t *testing.T) {
	f := NewFile()
	f.Set("w", FromFloat32s([]int{2}, []float32{0.1, 3}))
	var b bytes.Buffer
	if err := WriteSafetensors(&b, f, StoreF16(nil), Sealed()); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode("x", b.Bytes()); err != nil {
		t.Error(err)
	}
	if len(f.Metadata) != 0 {
		t.Errorf("writing left %v in the caller's metadata", f.Metadata)
	}
}

func wantDamage(t *testing.T, data []byte) {
	t.Helper()
	const says = "damaged or changed"
	if _, err := Decode("x", data); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v: expected one that says %q", err, says)
	}
}

// BenchmarkDigest shows what a checksum costs: the bytes of a checkpoint a second.
func BenchmarkDigest(b *testing.B) {
	f := NewFile()
	f.Set("w", FromFloat32s([]int{1 << 24}, make([]float32, 1<<24)))
	stored := func(n string) (Array, error) { return f.arrays[n], nil }
	b.SetBytes(1 << 26)
	for b.Loop() {
		if _, err := digest(nil, f.names, stored); err != nil {
			b.Fatal(err)
		}
	}
}
