package checkpoint

import (
	"encoding/binary"
	"math/big"
)

// The legacy format, written before PyTorch 1.6 and by _use_new_zipfile_serialization=False, is
// five pickles one after another (magic number, protocol version, system information, the object,
// the list of storage keys) and then, for each key in that order, an int64 element count and the
// elements.

// legacyMagic is torch/serialization.py's MAGIC_NUMBER, 0x1950a86a20f9469cfc6c, in decimal.
const legacyMagic = "119547037146038801333356"

// legacyProtocol is the only PROTOCOL_VERSION there has been.
const legacyProtocol = 1001

func readTorchLegacy(data []byte) (*File, error) {
	e := &torchEnv{roots: map[string]*root{}}
	rest, err := legacyHeader(data)
	if err != nil {
		return nil, err
	}
	object, n, err := unpickle(rest, e)
	if err != nil {
		return nil, err
	}
	rest = rest[n:]
	keys, n, err := unpickle(rest, e)
	if err != nil {
		return nil, err
	}
	if err := e.readStorages(keys, rest[n:]); err != nil {
		return nil, err
	}
	f := NewFile()
	c := &collector{file: f, budget: newBudget(len(data))}
	return f, c.collect(object)
}

// legacyHeader checks the three leading pickles and returns what follows them.
func legacyHeader(data []byte) ([]byte, error) {
	e := &torchEnv{roots: map[string]*root{}}
	magic, n, err := unpickle(data, e)
	if err != nil {
		return nil, err
	}
	if b, ok := magic.(*big.Int); !ok || b.String() != legacyMagic {
		return nil, unsupported("", "in Python, load it and save it with torch.save",
			"a pickle that does not start with PyTorch's magic number")
	}
	data = data[n:]
	version, n, err := unpickle(data, e)
	if err != nil {
		return nil, err
	}
	if v, ok := version.(int64); !ok || v != legacyProtocol {
		return nil, unsupported("", "in Python, load it and save it with torch.save",
			"legacy protocol %d, of type %T: expected %d", v, version, legacyProtocol)
	}
	data = data[n:]
	system, n, err := unpickle(data, e)
	if err != nil {
		return nil, err
	}
	if d, ok := system.(*dict); ok {
		if little, ok := d.get("little_endian"); ok && little == false {
			return nil, unsupported("", "save it again on a little-endian machine",
				"the storages are big-endian")
		}
	}
	return data[n:], nil
}

// readStorages finds the bytes of every storage; they are not copied.
func (e *torchEnv) readStorages(keys any, data []byte) error {
	l, ok := keys.(*list)
	if !ok {
		return bad("", "the list of storages is a %T", keys)
	}
	for _, k := range l.items {
		key, ok := k.(string)
		if !ok {
			return bad("", "a storage key is a %T: expected a string", k)
		}
		r := e.roots[key]
		if r == nil {
			return bad("", "storage %s is listed and never used", quote(key))
		}
		if r.data != nil {
			return bad("", "storage %s is listed twice", quote(key))
		}
		if len(data) < 8 {
			return bad("", "the file ends before storage %s", quote(key))
		}
		count := binary.LittleEndian.Uint64(data)
		data = data[8:]
		if count != uint64(r.numel) {
			return bad("", "storage %s: expected %d elements, got %d", quote(key), r.numel, count)
		}
		size, ok := byteSize([]int{r.numel}, r.elem.size)
		if !ok || size > len(data) {
			return bad("", "storage %s of %d %s elements: expected %d bytes, %d are left",
				quote(key), r.numel, r.elem.name, size, len(data))
		}
		r.data = data[:size:size]
		data = data[size:]
	}
	return nil
}
