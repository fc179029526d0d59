package checkpoint

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// This file gives meaning to the names a PyTorch pickle imports: storages, the functions that
// rebuild a tensor from one, containers, and NumPy scalars. torch_zip.go and torch_legacy.go find
// the bytes of the storages, torch_collect.go turns the value of the pickle into a File. Source:
// torch/_utils.py and torch/serialization.py of PyTorch 2.

// A storage is a run of elements. Legacy files may hold views into another storage.
type storage struct {
	root   *root
	elem   element
	offset int // elements into the root
	numel  int
}

// A root is a storage that owns bytes, found under key in the file. They are known only after the
// pickle has run.
type root struct {
	key   string
	elem  element
	numel int
	data  []byte
}

// A torchTensor is a strided view of a storage.
type torchTensor struct {
	storage storage
	offset  int // elements
	shape   []int
	stride  []int
	elem    element
}

// array makes the tensor contiguous; b pays for copies.
func (t *torchTensor) array(key string, b *budget) (Array, error) {
	s := t.storage
	if s.root.data == nil {
		return Array{}, bad(key, "its storage %s is not in the file", quote(s.root.key))
	}
	from, ok1 := byteSize([]int{s.offset}, s.elem.size)
	size, ok2 := byteSize([]int{s.numel}, s.elem.size)
	skip, ok3 := byteSize([]int{t.offset}, t.elem.size)
	have := len(s.root.data)
	if !ok1 || !ok2 || !ok3 || from > have || size > have-from || skip > size {
		return Array{}, bad(key, "a tensor at element %d of a storage of %d elements at %d lies "+
			"outside storage %s of %d bytes", t.offset, s.numel, s.offset, quote(s.root.key), have)
	}
	data := s.root.data[from : from+size]
	return view{elem: t.elem, data: data[skip:], shape: t.shape, stride: t.stride}.array(key, b)
}

// torchEnv resolves names and storages for one file.
type torchEnv struct {
	roots map[string]*root
	order []*root // in the order of first use
}

// A npDtype is a numpy.dtype on its way into a scalar.
type npDtype struct {
	elem element
	big  bool
}

// call is the allow-list. Names outside it give a placeholder.
func (e *torchEnv) call(m *machine, fn global, args tuple) (any, error) {
	switch fn.String() {
	case "collections.OrderedDict", "builtins.dict", "__builtin__.dict":
		return newDict(m, args)
	case "torch.Size":
		if len(args) == 1 {
			return args[0], nil
		}
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return rebuildTensor(args, nil)
	case "torch._utils._rebuild_tensor_v3":
		if len(args) < 7 {
			return nil, fmt.Errorf("%s with %d arguments: expected 7", fn, len(args))
		}
		return rebuildTensor(args, args[6])
	case "torch._tensor._rebuild_from_type_v2": // (function, class, its arguments, attributes)
		return rebuildSubclass(args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(args) > 0 {
			if t, ok := args[0].(*torchTensor); ok {
				return t, nil
			}
		}
		return nil, fmt.Errorf("%s: expected a tensor as its first argument", fn)
	case "_codecs.encode": // how protocol 2 spells bytes: text of code points below 256
		return encodeLatin1(m, args)
	case "numpy.dtype":
		return newNPDtype(args)
	case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
		return npScalar(args)
	}
	return &inert{fn}, nil
}

// newDict is OrderedDict(), or OrderedDict(list of pairs) as Python 2 wrote it.
func newDict(m *machine, args tuple) (any, error) {
	d := &dict{}
	if len(args) == 0 {
		return d, nil
	}
	l, ok := args[0].(*list)
	if !ok {
		return nil, fmt.Errorf("OrderedDict of a %T: expected nothing or a list of pairs", args[0])
	}
	if err := m.copying(len(l.items)); err != nil {
		return nil, err
	}
	for _, item := range l.items {
		pair, ok := item.(tuple)
		if p, isList := item.(*list); isList {
			pair, ok = p.items, true
		}
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("OrderedDict of a list with a %T: expected pairs", item)
		}
		if err := d.set(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// rebuildTensor reads (storage, offset, shape, stride, …). dtype, when not nil, is torch's name of
// the element type of an untyped storage.
func rebuildTensor(args tuple, dtype any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("a tensor of %d arguments: expected at least 4", len(args))
	}
	s, ok := args[0].(storage)
	if !ok {
		return nil, fmt.Errorf("a tensor of a %T: expected a storage", args[0])
	}
	t := &torchTensor{storage: s, elem: s.elem}
	if dtype != nil {
		g, _ := dtype.(global)
		if t.elem, ok = torchDtype(g); !ok {
			return nil, unsupported("", "convert it to float32 before saving",
				"a tensor of type %s", quote(g.String()))
		}
	}
	if t.offset, ok = toInt(args[1]); !ok {
		return nil, fmt.Errorf("a tensor at a storage offset of %T: expected a number from 0", args[1])
	}
	var ok1, ok2 bool
	t.shape, ok1 = toInts(args[2])
	t.stride, ok2 = toInts(args[3])
	if !ok1 || !ok2 || len(t.shape) != len(t.stride) {
		return nil, fmt.Errorf("a tensor's shape and strides: expected two tuples of at most %d "+
			"numbers from 0", maxRank)
	}
	return t, nil
}

// rebuildSubclass reads a tensor with Python attributes as the plain tensor it wraps.
func rebuildSubclass(args tuple) (any, error) {
	if len(args) >= 3 {
		inner, ok1 := args[0].(global)
		of, ok2 := args[2].(tuple)
		if ok1 && ok2 && inner == (global{"torch._utils", "_rebuild_tensor_v2"}) {
			return rebuildTensor(of, nil)
		}
	}
	return &inert{global{"torch._tensor", "_rebuild_from_type_v2"}}, nil
}

// maxRank is PyTorch's and NumPy 2's limit on the number of axes.
const maxRank = 64

func toInt(v any) (int, bool) {
	i, ok := v.(int64)
	if !ok || i < 0 || i > math.MaxInt {
		return 0, false
	}
	return int(i), true
}

func toInts(v any) ([]int, bool) {
	items, ok := v.(tuple)
	if l, isList := v.(*list); isList {
		items, ok = l.items, true
	}
	if !ok || len(items) > maxRank {
		return nil, false
	}
	out := make([]int, len(items))
	for i, item := range items {
		if out[i], ok = toInt(item); !ok {
			return nil, false
		}
	}
	return out, true
}

// build is BUILD: only numpy.dtype has state that matters, (version, byte order, …).
func (e *torchEnv) build(object, state any) (any, error) {
	switch o := object.(type) {
	case npDtype:
		s, ok := state.(tuple)
		if !ok || len(s) < 2 {
			return nil, fmt.Errorf("state of numpy.dtype: expected a tuple, got %T", state)
		}
		o.big = s[1] == ">"
		return o, nil
	case *torchTensor: // Python attributes of a tensor
		return o, nil
	}
	return nil, fmt.Errorf("cannot set the state of a %T", object)
}

// persistent resolves ("storage", type, key, location, numel[, view]).
func (e *torchEnv) persistent(id any) (any, error) {
	t, ok := id.(tuple)
	if !ok || len(t) < 5 || t[0] != "storage" {
		return nil, fmt.Errorf("a persistent id of %T: expected PyTorch's (\"storage\", type, key, "+
			"location, size)", id)
	}
	class, ok := t[1].(global)
	if !ok {
		return nil, fmt.Errorf("storage type of %T: expected an imported name", t[1])
	}
	elem, ok := torchStorage(class)
	if !ok {
		return nil, unsupported("", "convert the tensor to float32 before saving",
			"storage type %s: expected one of Double, Float, Half, BFloat16, Long, Int, Short, "+
				"Char, Byte, BoolStorage", quote(class.String()))
	}
	key, ok1 := t[2].(string)
	numel, ok2 := toInt(t[4])
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("storage key %T, size %T: expected a string and a number", t[2], t[4])
	}
	if len(key) > maxName {
		return nil, fmt.Errorf("a storage key of %d bytes: expected at most %d", len(key), maxName)
	}
	r := e.roots[key]
	if r == nil {
		r = &root{key: key, elem: elem, numel: numel}
		e.roots[key] = r
		e.order = append(e.order, r)
	}
	s := storage{root: r, elem: elem, numel: numel}
	if r.elem.name != elem.name || r.numel != numel {
		return nil, fmt.Errorf("storage %s is %d of %s here and %d of %s before", quote(key), numel,
			elem.name, r.numel, r.elem.name)
	}
	if len(t) > 5 && t[5] != nil { // legacy: (view key, offset, size)
		v, ok := t[5].(tuple)
		if !ok || len(v) != 3 {
			return nil, fmt.Errorf("a storage view of %T: expected (key, offset, size)", t[5])
		}
		s.offset, ok1 = toInt(v[1])
		s.numel, ok2 = toInt(v[2])
		if !ok1 || !ok2 || s.offset > numel || s.numel > numel-s.offset {
			return nil, fmt.Errorf("a view outside storage %s of %d elements", quote(key), numel)
		}
	}
	return s, nil
}

// torchStorage returns the element of a storage class, "torch.FloatStorage" or the same under
// torch.cuda and torch.storage; UntypedStorage counts bytes.
func torchStorage(class global) (element, bool) {
	if !slices.Contains([]string{"torch", "torch.cuda", "torch.storage"}, class.module) {
		return element{}, false
	}
	names := [...][2]string{
		{"Double", "f64"}, {"Float", "f32"}, {"Half", "f16"}, {"BFloat16", "bf16"},
		{"Long", "i64"}, {"Int", "i32"}, {"Short", "i16"}, {"Char", "i8"}, {"Byte", "u8"},
		{"Bool", "bool"}, {"Untyped", "u8"},
	}
	short := strings.TrimSuffix(class.name, "Storage")
	for _, n := range names {
		if n[0] == short && short != class.name {
			return elementNamed(n[1])
		}
	}
	return element{}, false
}

// torchDtype returns the element of "torch.float32" and its kin.
func torchDtype(g global) (element, bool) {
	names := [...][2]string{
		{"float64", "f64"}, {"float32", "f32"}, {"float16", "f16"}, {"bfloat16", "bf16"},
		{"int64", "i64"}, {"int32", "i32"}, {"int16", "i16"}, {"int8", "i8"}, {"uint8", "u8"},
		{"bool", "bool"}, {"uint16", "u16"}, {"uint32", "u32"}, {"uint64", "u64"},
	}
	for _, n := range names {
		if g.module == "torch" && g.name == n[0] {
			return elementNamed(n[1])
		}
	}
	return element{}, false
}

// ---- NumPy scalars, which training scripts store as accuracies ----

func encodeLatin1(m *machine, args tuple) (any, error) {
	if len(args) == 2 {
		s, ok := args[0].(string)
		if ok && args[1] == "latin1" {
			if err := m.copying(len(s)); err != nil {
				return nil, err
			}
			out := make([]byte, 0, len(s))
			for _, r := range s {
				if r > 0xff {
					return nil, fmt.Errorf("latin1 text with the character %q", r)
				}
				out = append(out, byte(r))
			}
			return out, nil
		}
	}
	return &inert{global{"_codecs", "encode"}}, nil
}

func newNPDtype(args tuple) (any, error) {
	if len(args) > 0 {
		if name, ok := args[0].(string); ok {
			if elem, _, ok := numpyElement(name); ok {
				return npDtype{elem: elem}, nil
			}
		}
	}
	return &inert{global{"numpy", "dtype"}}, nil
}

// npScalar is numpy's scalar(dtype, bytes); it becomes a Go number.
func npScalar(args tuple) (any, error) {
	unknown := &inert{global{"numpy", "scalar"}}
	if len(args) != 2 {
		return unknown, nil
	}
	d, ok := args[0].(npDtype)
	if !ok {
		return unknown, nil
	}
	data, ok := args[1].([]byte)
	if s, isText := args[1].(string); isText { // Python 2's str
		data, ok = []byte(s[:min(len(s), d.elem.size+1)]), true
	}
	if !ok || len(data) != d.elem.size {
		return nil, fmt.Errorf("a NumPy scalar of %s: expected %d bytes", d.elem.name, d.elem.size)
	}
	if d.big {
		data = d.elem.swap(data)
	}
	data, err := d.elem.widen(data)
	if err != nil {
		return nil, err
	}
	return scalarOf(Array{DType: d.elem.dtype, Data: data}), nil
}
