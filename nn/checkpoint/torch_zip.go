package checkpoint

import (
	"archive/zip"
	"strings"
)

// The zip format holds NAME/data.pkl, one pickle, and NAME/data/KEY, one stored member per storage;
// NAME/byteorder says "little" when it is there.

func readTorchZip(a *archive) (*File, error) {
	pkl := a.pickleMember()
	if pkl == nil {
		return nil, unsupported("", "expected a file written by torch.save",
			"a zip archive without a data.pkl")
	}
	prefix := strings.TrimSuffix(pkl.Name, "data.pkl")
	if m := a.byName[prefix+"constants.pkl"]; m != nil {
		return nil, unsupported(m.Name, "in Python, save torch.jit.load(path).state_dict()",
			"a TorchScript archive: expected a state_dict")
	}
	if m := a.byName[prefix+"byteorder"]; m != nil {
		order, err := a.bytes(m)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, unsupported(m.Name, "save it again on a little-endian machine",
				"the storages are %s-endian", quote(string(order)))
		}
	}
	program, err := a.bytes(pkl)
	if err != nil {
		return nil, err
	}
	e := &torchEnv{roots: map[string]*root{}}
	object, _, err := unpickle(program, e)
	if err != nil {
		return nil, err
	}
	for _, r := range e.order {
		m := a.byName[prefix+"data/"+r.key]
		if m == nil {
			return nil, bad(prefix+"data/"+r.key, "the archive lacks this storage of %d %s elements",
				r.numel, r.elem.name)
		}
		data, err := a.bytes(m)
		if err != nil {
			return nil, err
		}
		size, ok := byteSize([]int{r.numel}, r.elem.size)
		if !ok || size > len(data) {
			return nil, bad(m.Name, "%d %s elements: expected %d bytes, got %d", r.numel,
				r.elem.name, size, len(data))
		}
		r.data = data[:size:size]
	}
	f := NewFile()
	c := &collector{file: f, budget: a.budget}
	return f, c.collect(object)
}

// pickleMember returns the data.pkl nearest the root, nil when there is none.
func (a *archive) pickleMember() *zip.File {
	for _, m := range a.members {
		dir, ok := strings.CutSuffix(m.Name, "data.pkl")
		if ok && (dir == "" || strings.Count(dir, "/") == 1 && strings.HasSuffix(dir, "/")) {
			return m
		}
	}
	return nil
}
