package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"afterimage/tensor"
)

// A safetensors file is an 8-byte little-endian length, that many bytes of JSON, and the data:
//
//	{"__metadata__": {"k": "v"},
//	 "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//
// Offsets count from the end of the header. Source: the format section of the README of
// huggingface/safetensors, whose rule that the arrays cover the data without gaps is kept here.

// maxHeader is the limit of the reference implementation: 100 MB.
const maxHeader = 100_000_000

// metadataKey is the one header entry that is not an array.
const metadataKey = "__metadata__"

// stEntry is one array in the header.
type stEntry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"`
	name    string
}

// ReadSafetensors reads a safetensors file from memory. F64, F32, F16, BF16, I64, I32, U8 and BOOL
// keep their type; I8, I16 and U16 widen to I32, U32 to I64, U64 to I64 when every value fits.
// Names keep the header's order. Arrays share memory with data. Errors: any contradiction between
// header and data (overlap, gaps, offsets out of range, sizes that do not match shapes), duplicate
// names, element types outside the list, and a content that a Sealed file's checksum denies.
func ReadSafetensors(data []byte) (*File, error) {
	f, err := parseSafetensors(data)
	if err != nil {
		return nil, inFile(err, "safetensors", "")
	}
	return f, nil
}

func parseSafetensors(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, bad("", "%d bytes: expected at least the 8 of the header length", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, bad("", "a header of %d bytes: expected at most %d and no more than the %d that "+
			"follow", n, maxHeader, len(data)-8)
	}
	header, body := data[8:8+n], data[8+n:]
	f := NewFile()
	f.Format = "safetensors"
	entries, err := parseSTHeader(header, f)
	if err != nil {
		return nil, err
	}
	if err := checkOffsets(entries, len(body)); err != nil {
		return nil, err
	}
	b := newBudget(len(data))
	for _, e := range entries {
		a, err := e.array(body[e.Offsets[0]:e.Offsets[1]], b)
		if err != nil {
			return nil, err
		}
		f.Set(e.name, a)
	}
	if err := f.checkDigest(); err != nil {
		return nil, err
	}
	return f, nil
}

// array returns the entry's array from its bytes.
func (e *stEntry) array(data []byte, b *budget) (Array, error) {
	elem, ok := elementNamed(strings.ToLower(e.DType))
	if !ok || e.DType != strings.ToUpper(e.DType) {
		return Array{}, unsupported(e.name, "convert it to F32 before saving", "dtype %s: expected "+
			"F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 or BOOL", quote(e.DType))
	}
	if size, ok := byteSize(e.Shape, elem.size); !ok || size != len(data) {
		return Array{}, bad(e.name, "%s %v: expected %d bytes, data_offsets hold %d", e.DType,
			e.Shape, size, len(data))
	}
	return view{elem, data, e.Shape, rowMajor(e.Shape)}.array(e.name, b)
}

// parseSTHeader reads the JSON into entries in their order, and the metadata into f.
func parseSTHeader(header []byte, f *File) ([]stEntry, error) {
	if !utf8.Valid(header) {
		return nil, bad("", "the header is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, &FormatError{Reason: "the header is not a JSON object", Next: damaged, Err: err}
	}
	var entries []stEntry
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, &FormatError{Reason: "the header is not JSON", Next: damaged, Err: err}
		}
		if seen[name] {
			return nil, bad(name, "occurs twice in the header")
		}
		seen[name] = true
		if name == metadataKey {
			err = d.Decode(&f.Metadata)
		} else {
			e := stEntry{name: name}
			if err = d.Decode(&e); err == nil {
				err = e.check()
			}
			entries = append(entries, e)
		}
		if err != nil {
			return nil, &FormatError{Key: name, Reason: "header entry", Next: damaged, Err: err}
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, &FormatError{Reason: "the header is not JSON", Next: damaged, Err: err}
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("", "the header has text after its JSON object")
	}
	if f.Metadata == nil { // "__metadata__": null
		f.Metadata = map[string]string{}
	}
	return entries, nil
}

func (e *stEntry) check() error {
	switch {
	case e.Shape == nil:
		return fmt.Errorf("no shape")
	case len(e.Shape) > maxRank:
		return fmt.Errorf("%d axes: expected at most %d", len(e.Shape), maxRank)
	case len(e.Offsets) != 2:
		return fmt.Errorf("data_offsets %v: expected two numbers", e.Offsets)
	case e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0]:
		return fmt.Errorf("data_offsets %v: expected 0 ≤ begin ≤ end", e.Offsets)
	}
	return nil
}

// checkOffsets requires that the arrays cover the data exactly, without overlaps and gaps.
func checkOffsets(entries []stEntry, size int) error {
	order := make([]*stEntry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortStableFunc(order, func(a, b *stEntry) int {
		if a.Offsets[0] != b.Offsets[0] {
			return a.Offsets[0] - b.Offsets[0] // both are ≥ 0
		}
		return a.Offsets[1] - b.Offsets[1]
	})
	end := 0
	for _, e := range order {
		if e.Offsets[0] != end {
			return bad(e.name, "data_offsets %v: expected to begin at %d, where the array before it "+
				"ends", e.Offsets, end)
		}
		if end = e.Offsets[1]; end > size {
			return bad(e.name, "data_offsets %v: expected an end of at most %d, the length of the data",
				e.Offsets, size)
		}
	}
	if end != size {
		return bad("", "the arrays end at %d: expected %d, the length of the data", end, size)
	}
	return nil
}

// stName is a dtype's name in the header.
func stName(d tensor.DType) string { return strings.ToUpper(d.String()) }
