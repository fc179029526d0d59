package checkpoint

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"math"
)

// An archive is a zip file in memory. Stored members are slices of it; deflated ones are inflated
// within the budget. archive/zip parses the directory; sizes are checked here before use.
type archive struct {
	data    []byte
	members []*zip.File
	byName  map[string]*zip.File
	budget  *budget
	read    uint64 // compressed bytes read so far
}

func openArchive(data []byte) (*archive, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		e := bad("", "not a readable zip archive of %d bytes", len(data))
		e.Err = err
		return nil, e
	}
	a := &archive{data: data, members: z.File, byName: map[string]*zip.File{},
		budget: newBudget(len(data))}
	for _, m := range z.File {
		if _, ok := a.byName[m.Name]; ok {
			return nil, bad(m.Name, "the archive has two members of this name")
		}
		a.byName[m.Name] = m
	}
	return a, nil
}

// bytes returns the content of a member after checking it against its CRC-32. Members of an honest
// archive are apart and read once, so together they are not longer than the file.
func (a *archive) bytes(m *zip.File) ([]byte, error) {
	if m.CompressedSize64 > uint64(len(a.data))-a.read {
		return nil, bad(m.Name, "the members' sizes add up to more than the file's %d bytes",
			len(a.data))
	}
	a.read += m.CompressedSize64
	switch m.Method {
	case zip.Store:
		return a.stored(m)
	case zip.Deflate:
		return a.inflate(m)
	}
	return nil, unsupported(m.Name, "save it again without compression or with deflate",
		"zip compression method %d", m.Method)
}

func (a *archive) stored(m *zip.File) ([]byte, error) {
	at, err := m.DataOffset()
	if err != nil {
		e := bad(m.Name, "no zip member where the directory says")
		e.Err = err
		return nil, e
	}
	size := m.UncompressedSize64
	if m.CompressedSize64 != size || at < 0 || at > int64(len(a.data)) ||
		size > uint64(len(a.data))-uint64(at) {
		return nil, bad(m.Name, "a stored member of %d bytes at %d does not fit the file of %d bytes",
			size, at, len(a.data))
	}
	b := a.data[at : at+int64(size) : at+int64(size)]
	if got := crc32.ChecksumIEEE(b); got != m.CRC32 {
		return nil, bad(m.Name, "checksum: expected %08x, got %08x", m.CRC32, got)
	}
	return b, nil
}

func (a *archive) inflate(m *zip.File) ([]byte, error) {
	size := m.UncompressedSize64
	if err := a.budget.take(int(min(size, math.MaxInt)), m.Name); err != nil {
		return nil, err
	}
	r, err := m.Open()
	if err != nil {
		return nil, &FormatError{Key: m.Name, Reason: "cannot be opened", Next: damaged, Err: err}
	}
	defer r.Close()
	b := make([]byte, size)
	if _, err = io.ReadFull(r, b); err == nil {
		var extra [1]byte
		_, err = io.ReadFull(r, extra[:]) // the checksum is verified at the end of the stream
		if err == io.EOF {
			return b, nil
		}
		if err == nil {
			return nil, bad(m.Name, "inflates to more than the %d bytes it declares", size)
		}
	}
	return nil, &FormatError{Key: m.Name, Reason: "cannot be inflated", Next: damaged, Err: err}
}
