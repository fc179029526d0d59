package onnx

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"afterimage/tensor"
)

// Exporters put large weights beside a model: a tensor then says in which file, a path in the
// model's folder, from which byte on and how many. PyTorch's new exporter does so unless it is told
// otherwise. Open brings such elements into the model's own bytes, so that whoever keeps these, a
// run for one, has all of it.

// The fields of ONNX's messages on the way to a tensor, and of the tensor itself.
const (
	tagGraph       = 7
	tagNode        = 1
	tagInitializer = 5
	tagAttribute   = 5
	tagTensor      = 5
	tagRaw         = 9
	tagExternal    = 13
	tagLocation    = 14
)

// A descent says which fields of a message lead to tensors; an empty one is a tensor.
type descent map[int]descent

func toTensors() descent {
	tensor := descent{}
	return descent{tagGraph: {tagInitializer: tensor, tagNode: {tagAttribute: {tagTensor: tensor}}}}
}

// sharedFactor bounds what is brought in by a multiple of the files it comes from, so that a small
// model cannot ask for many copies of one large piece.
const sharedFactor = 4

// An external reads what a model keeps in other files.
type external struct {
	dir    string
	files  map[string][]byte
	budget int // bytes that may still be brought in
}

// external reports whether a tensor of the graph is in another file.
func (g *graphProto) external() bool {
	if slices.ContainsFunc(g.initializers, func(t *tensorProto) bool { return t.external }) {
		return true
	}
	return slices.ContainsFunc(g.nodes, func(n *nodeProto) bool {
		return slices.ContainsFunc(n.attrs, func(a attrProto) bool { return a.t != nil && a.t.external })
	})
}

// inlined returns a model's bytes with the elements of its tensors in them.
func inlined(path string, data []byte) ([]byte, error) {
	x := &external{dir: filepath.Dir(path), files: map[string][]byte{}}
	return x.rewrite(data, toTensors(), maxDepth)
}

// rewrite copies a message, and in it tensors with their elements.
func (x *external) rewrite(buf []byte, d descent, depth int) (message, error) {
	if len(d) == 0 {
		return x.tensor(buf, depth)
	}
	r := wireReader{buf, depth}
	out := make(message, 0, len(buf))
	for {
		before := r.buf
		f, ok, err := r.next()
		if err != nil || !ok {
			return out, err
		}
		sub, leads := d[f.tag]
		if !leads || f.wire != wireBytes {
			out = append(out, before[:len(before)-len(r.buf)]...)
			continue
		}
		inner, err := x.rewrite(f.data, sub, depth-1)
		if err != nil {
			return nil, err
		}
		out.bytes(f.tag, inner)
	}
}

// tensor copies a tensor with its elements.
func (x *external) tensor(buf []byte, depth int) (message, error) {
	t, err := parseTensor(buf, depth)
	if err != nil || !t.external {
		return buf, err
	}
	raw, err := x.elements(t)
	if err != nil {
		return nil, err
	}
	r := wireReader{buf, depth}
	var out message
	for {
		before := r.buf
		f, ok, err := r.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			out.bytes(tagRaw, raw)
			return out, nil
		}
		if f.tag != tagExternal && f.tag != tagLocation && f.tag != tagRaw {
			out = append(out, before[:len(before)-len(r.buf)]...)
		}
	}
}

// elements returns the bytes of t in the file that it names.
func (x *external) elements(t *tensorProto) ([]byte, error) {
	entries := map[string]string{}
	for _, p := range t.entries {
		entries[p.key] = p.value
	}
	location := filepath.FromSlash(entries["location"])
	if !filepath.IsLocal(location) {
		return nil, bad("tensor %s is stored in %s: expected a file in the model's folder",
			quote(t.name), quote(location))
	}
	file, err := x.file(t, location)
	if err != nil {
		return nil, err
	}
	_, n, err := t.extents()
	if err != nil {
		return nil, err
	}
	want, at := n*t.elem.size(), 0
	length := want
	for key, to := range map[string]*int{"offset": &at, "length": &length} {
		if text, given := entries[key]; given {
			v, err := strconv.ParseInt(text, 10, 64)
			if err != nil || v < 0 || v > math.MaxInt {
				return nil, bad("tensor %s: its %s %s is no number of bytes", quote(t.name), key, quote(text))
			}
			*to = int(v)
		}
	}
	switch {
	case length != want:
		return nil, bad("tensor %s: %v %v needs %d bytes, got %d in %s", quote(t.name), t.elem, t.dims,
			want, length, quote(location))
	case at > len(file) || length > len(file)-at:
		return nil, &Error{Reason: fmt.Sprintf("tensor %s: expected %d bytes from byte %d on in %s, "+
			"which has %d", quote(t.name), length, at, quote(location), len(file)), Next: withModel}
	case length > x.budget:
		return nil, bad("tensor %s and those before it share pieces of %s: they need more than %d "+
			"times as much memory as the files", quote(t.name), quote(location), sharedFactor)
	}
	x.budget -= length
	return file[at : at+length], nil
}

// withModel is the next step where a file beside a model is missing or another one.
const withModel = "copy it together with the model, from the same export, or export one file " +
	"(torch.onnx.export(…, external_data=False))"

// file returns the content of a file in the model's folder, reading each once.
func (x *external) file(t *tensorProto, location string) ([]byte, error) {
	if data, ok := x.files[location]; ok {
		return data, nil
	}
	path := filepath.Join(x.dir, location)
	data, err := tensor.ReadRegular(path)
	if err != nil {
		return nil, &Error{Reason: fmt.Sprintf("tensor %s is stored in %s beside the model",
			quote(t.name), quote(location)), Err: err, Next: withModel}
	}
	x.files[location] = data
	x.budget += sharedFactor * len(data)
	return data, nil
}
