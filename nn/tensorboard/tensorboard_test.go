package tensorboard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestMasked compares with the published check value of CRC-32C, 0xe3069283 for "123456789".
func TestMasked(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	if got := crc32.Checksum([]byte("123456789"), table); got != 0xe3069283 {
		t.Fatalf("CRC-32C is %#x", got)
	}
	crc := uint64(0xe3069283)
	want := uint32((crc>>15|crc<<17&0xffffffff)&0xffffffff) + 0xa282ead8
	if got := masked([]byte("123456789")); got != want {
		t.Errorf("masked checksum is %#x, want %#x", got, want)
	}
}

// TestBytes compares a file of two events with what TensorBoard 2.21's own writer made of them.
func TestBytes(t *testing.T) {
	b := Event{Wall: 1.5, Version: Version}.Append(nil)
	b = Event{Wall: 2.5, Step: 300, Scalars: []Scalar{{"loss", 0.25}}}.Append(b)
	const want = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c" +
		"1b000000000000001a0d9e1309000000000000044010ac022a0d0a0b0a046c6f7373150000803e205d3896"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// records splits a file and checks both checksums of each record.
func records(t *testing.T, data []byte) (out [][]byte) {
	t.Helper()
	for len(data) > 0 {
		if len(data) < 16 {
			t.Fatalf("%d bytes are left over", len(data))
		}
		n := int(binary.LittleEndian.Uint64(data))
		if binary.LittleEndian.Uint32(data[8:]) != masked(data[:8]) || len(data) < 16+n {
			t.Fatalf("damaged length %d with %d bytes to come", n, len(data))
		}
		body := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[12+n:]) != masked(body) {
			t.Fatal("damaged record")
		}
		out, data = append(out, body), data[16+n:]
	}
	return out
}

// TestFrame reads records back, among them one without a value and one with a picture and a NaN.
func TestFrame(t *testing.T) {
	events := []Event{{Version: Version}, {Step: 1 << 40},
		{Step: -1, Scalars: []Scalar{{"x", math.NaN()}},
			Images: []Image{{"samples", 2, 3, 3, []byte("png")}}}}
	var b []byte
	for _, e := range events {
		b = e.Append(b)
	}
	got := records(t, b)
	if len(got) != len(events) {
		t.Fatalf("%d records of %d", len(got), len(events))
	}
	for i, e := range events {
		if !bytes.Equal(got[i], e.marshal()) {
			t.Errorf("record %d differs", i)
		}
	}
	if !bytes.Contains(got[2], []byte("samples")) || !bytes.Contains(got[2], []byte("png")) {
		t.Error("the picture is missing")
	}
}

// scalars are events of steps lo … hi−1 behind a version.
func scalars(lo, hi int) []Event {
	out := []Event{{Version: Version}}
	for i := lo; i < hi; i++ {
		out = append(out, Event{Step: int64(i), Scalars: []Scalar{{"loss", float64(i)}}})
	}
	return out
}

func bytesOf(events []Event) (b []byte) {
	for _, e := range events {
		b = e.Append(b)
	}
	return b
}

// TestSync lets files of every kind hold ten events: none yet, a part, more, a torn last record,
// something else in the middle, no event file at all. One more event follows each.
func TestSync(t *testing.T) {
	whole := bytesOf(scalars(0, 10))
	spoiled := slices.Clone(whole)
	spoiled[len(spoiled)/2] ^= 1
	for name, before := range map[string][]byte{
		"new": nil, "the same": whole, "a part": bytesOf(scalars(0, 4)), "more": bytesOf(scalars(0, 20)),
		"torn": whole[:len(whole)-3], "torn behind": append(slices.Clone(whole), 1, 2, 3),
		"another": bytesOf(scalars(5, 40)), "spoiled": spoiled, "text": []byte("not an event file"),
	} {
		path := filepath.Join(t.TempDir(), "events")
		if before != nil {
			if err := os.WriteFile(path, before, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Sync(path, slices.Values(scalars(0, 10)))
		if err != nil {
			t.Fatal(err)
		}
		next := Event{Step: 10, Scalars: []Scalar{{"loss", 10}}}
		if err := f.Add(next); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, next.Append(slices.Clone(whole))) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func ExampleSync() {
	path := filepath.Join(os.TempDir(), "events.out.tfevents.example")
	defer os.Remove(path)
	f, err := Sync(path, slices.Values([]Event{{Version: Version}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	err = f.Add(Event{Step: 50, Scalars: []Scalar{{"loss", 0.5}}})
	info, _ := os.Stat(path)
	fmt.Println(info.Size(), "bytes", err)
	// Output: 82 bytes <nil>
}
