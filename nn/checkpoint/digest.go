package checkpoint

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// digestKey is the metadata key of a sealed file's checksum. Readers check it and take it out: what
// is changed and written again is sealed anew, or not at all.
const digestKey = "afterimage.crc32c"

// Sealed writes a checksum into the metadata, over everything else in the file: names, types,
// shapes, numbers and metadata. Whoever reads the file with this package then gets an error if a
// bit of it has changed. It is CRC-32C, which processors compute at gigabytes a second: a guard
// against damage and edits, not against an adversary.
func Sealed() WriteOption { return func(o *writeOptions) { o.sealed = true } }

// checkDigest compares a file's checksum with its content, and takes it out of the metadata. A file
// without one, of another program or an earlier version, is taken as it is.
func (f *File) checkDigest() error {
	want, ok := f.Metadata[digestKey]
	if !ok {
		return nil
	}
	delete(f.Metadata, digestKey)
	got, err := digest(f.Metadata, f.names, func(name string) (Array, error) {
		return f.arrays[name], nil
	})
	if err == nil && got != want {
		err = unsupported("", "put back a copy of it, or take another one",
			"its content was damaged or changed after it was written: checksum %s: expected %s", got,
			quote(want))
	}
	return err
}

// digest returns the checksum of metadata and of the arrays of these names, in hexadecimal. The
// order does not count: a program that lays the same file out differently leaves it as it is.
func digest(
	meta map[string]string, names []string, stored func(name string) (Array, error),
) (string, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		fmt.Fprintf(sum, "%q: %q\n", k, meta[k]) // quoted, so that no two contents look alike
	}
	for _, n := range slices.Sorted(slices.Values(names)) {
		a, err := stored(n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q: %s %v\n", n, a.DType, a.Shape)
		_, _ = sum.Write(a.Data) // a hash takes everything
	}
	return fmt.Sprintf("%08x", sum.Sum32()), nil
}
