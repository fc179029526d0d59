package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"afterimage/tensor"
)

// Open reads the file at path into memory and decodes it by its content, whatever it is called.
// The error names the file, and for what is wrong inside it is a *FormatError.
func Open(path string) (*File, error) {
	data, err := tensor.ReadRegular(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: Open: %w; check the path", err)
	}
	f, err := Decode(path, data)
	if err == nil {
		f.originate(data)
	}
	return f, err
}

// Decode is Open for a file that is already in memory, such as an embedded one; name stands for it
// in messages. Arrays share memory with data.
func Decode(name string, data []byte) (*File, error) {
	f, err := decode(data)
	if err != nil {
		return nil, inFile(err, "", name)
	}
	f.Path = name
	return f, nil
}

func decode(data []byte) (*File, error) {
	has := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	switch {
	case has(npyMagic):
		return ReadNPY(data)
	case has("PK\x03\x04"):
		return readZip(data)
	case len(data) > 8 && data[8] == '{' && binary.LittleEndian.Uint64(data) <= maxHeader:
		return ReadSafetensors(data) // before torch: a header's length may begin with a pickle's 0x80
	case has("\x80"), has("L" + legacyMagic[:8]):
		return ReadTorch(data)
	}
	return nil, unrecognised(data)
}

// readZip tells PyTorch's archives from NumPy's by their members.
func readZip(data []byte) (*File, error) {
	a, err := openArchive(data)
	if err != nil {
		return nil, inFile(err, "zip", "")
	}
	if a.pickleMember() == nil && len(a.members) > 0 && strings.HasSuffix(a.members[0].Name, ".npy") {
		f, err := readNPZ(a)
		return f, inFile(err, "npz", "")
	}
	return finishTorch(readTorchZip(a))
}

// ReadTorch reads what torch.save wrote, in the zip format or the legacy one, from memory.
//
// A dict under "state_dict", "model_state_dict", "model" or "net" is taken as the state_dict, and
// the scalars around it become Fields; otherwise the top-level dict is. Nested dicts and lists are
// flattened with names joined by ".". "module." prefixes are kept; see StripPrefix. A tensor saved
// alone is called Single. Strided tensors become contiguous; int8 and int16 become I32.
//
// The pickle inside runs on a machine that knows about twenty names and executes none; objects of
// other classes are dropped and named in Skipped. Errors: damaged files, pickled modules,
// TorchScript, sparse and quantised tensors. Arrays may share memory with data and with each other.
func ReadTorch(data []byte) (*File, error) {
	if bytes.HasPrefix(data, []byte("PK")) {
		a, err := openArchive(data)
		if err != nil {
			return nil, inFile(err, "torch", "")
		}
		return finishTorch(readTorchZip(a))
	}
	return finishTorch(readTorchLegacy(data))
}

func finishTorch(f *File, err error) (*File, error) {
	if err != nil {
		return nil, inFile(err, "torch", "")
	}
	f.Format = "torch"
	return f, nil
}

// unrecognised explains the files that people open by mistake.
func unrecognised(data []byte) error {
	const expected = "expected safetensors, a PyTorch file, .npy or .npz"
	for _, known := range [...]struct{ prefix, what, next string }{
		{"", "an empty file", "download or copy it again"},
		{"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"},
		{"<", "a web page or XML", "download the file itself, not the page that shows it"},
		{"\x1f\x8b", "compressed with gzip", "unpack it first"},
		{"\xfd7zXZ", "compressed with xz", "unpack it first"},
		{"\x89HDF", "an HDF5 file", "convert it to safetensors"},
		{"GGUF", "a GGUF file", "convert it to safetensors"},
		{"PK\x05\x06", "an empty zip archive", "download or copy it again"},
	} {
		if known.prefix == "" && len(data) == 0 ||
			known.prefix != "" && bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 64)], " \r\n\t"),
				[]byte(known.prefix)) {
			return unsupported("", known.next, "%s: %s", known.what, expected)
		}
	}
	if len(data) > 262 && string(data[257:262]) == "ustar" {
		return unsupported("", "in Python, load it and save it with torch.save",
			"a tar archive, as PyTorch before 0.1.10 wrote: %s", expected)
	}
	return unsupported("", "check that this is a checkpoint", "starts with %q, which is no format "+
		"this program reads: %s", data[:min(len(data), 8)], expected)
}
