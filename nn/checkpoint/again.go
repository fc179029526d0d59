package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// Again returns a function that reads one array once more, and nothing else, from the safetensors
// file that Open read f from: weights that were given up come back for the price of themselves. It
// is nil for a File of another format, or that was not opened, and keeps none of f's arrays.
func (f *File) Again() func(name string) (Array, error) {
	if !f.opened || f.Format != "safetensors" {
		return nil
	}
	path := f.Path
	return func(name string) (Array, error) {
		a, err := readAgain(path, name)
		return a, inFile(err, "safetensors", path)
	}
}

// readAgain reads the header of the safetensors file at path and one array.
func readAgain(path, name string) (Array, error) {
	r, err := os.Open(path)
	if err != nil {
		return Array{}, fmt.Errorf("checkpoint: %w", err)
	}
	defer r.Close()
	entries, body, err := headerAt(r)
	if err != nil {
		return Array{}, err
	}
	i := slices.IndexFunc(entries, func(e stEntry) bool { return e.name == name })
	if i < 0 {
		return Array{}, &FormatError{Key: name, Reason: "not in the file any more",
			Next: "put the file back that was opened"}
	}
	e := &entries[i]
	data := make([]byte, e.Offsets[1]-e.Offsets[0])
	if _, err := r.ReadAt(data, body+int64(e.Offsets[0])); err != nil {
		return Array{}, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return e.array(data, newBudget(len(data)))
}

// headerAt reads a header, with the checks of parseSafetensors, and returns where the data begins.
func headerAt(r *os.File) (entries []stEntry, body int64, err error) {
	info, err := r.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %w", err)
	}
	var size [8]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, 0, bad("", "%d bytes: expected at least the 8 of the header length", info.Size())
	}
	n, left := binary.LittleEndian.Uint64(size[:]), info.Size()-8
	if n > maxHeader || n > uint64(left) {
		return nil, 0, bad("", "a header of %d bytes: expected at most %d and no more than the %d that "+
			"follow", n, maxHeader, left)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %s: %w", r.Name(), err)
	}
	if entries, err = parseSTHeader(header, NewFile()); err != nil {
		return nil, 0, err
	}
	left -= int64(n)
	if int64(int(left)) != left {
		return nil, 0, bad("", "%d bytes of data: more than fit in memory", left)
	}
	return entries, 8 + int64(n), checkOffsets(entries, int(left))
}
