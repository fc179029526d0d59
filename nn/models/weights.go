package models

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
)

// layoutKey is the metadata entry that tells our files (value layoutOHWI: convolutions OHWI, linear
// layers behind a flattened image in (h, w, c) order) from PyTorch's (no entry: OIHW, (c, h, w)).
const (
	layoutKey  = "layout"
	layoutOHWI = "OHWI"
)

// withoutWrappers returns f without what PyTorch's DataParallel ("module.") and torch.compile
// ("_orig_mod.") put in front of names, one within the other.
func withoutWrappers(f *checkpoint.File) (*checkpoint.File, error) {
	for _, prefix := range []string{"module.", "_orig_mod.", "module."} {
		var err error
		if f, err = f.StripPrefix(prefix); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// A Mapping says how a file of another origin differs from ours beyond the layout of convolutions.
// The zero Mapping fits any module without a flattened image.
type Mapping struct {
	// Rename turns one of our parameter names into the file's; nil keeps it.
	Rename func(name string) string
	// Flattened names linear weights [out C·H·W] behind a flattened image, with its C, H, W: their
	// columns are permuted from PyTorch's (c, h, w) order to (h, w, c).
	Flattened map[string][3]int
}

// Mapping returns the mapping of the classifier's published checkpoints.
func (m *Classifier) Mapping() Mapping { return Mapping{Flattened: m.net.flattened()} }

// Load reads every parameter of the classifier from f into memory of s.
func (m *Classifier) Load(s *tensor.Scope, f *checkpoint.File) error {
	m.again = reader(f, m.Mapping())
	return LoadFile(s, m, f, m.Mapping())
}

// Inference opens an Inference that owns the classifier's weights if Load read them from a file and
// they can be read once more (checkpoint.File.Again): the file, and the weights since Load, must
// stay as they are.
func (m *Classifier) Inference(b tensor.Backend) *nn.Inference {
	i := nn.NewInference(b)
	if m.again != nil {
		i.OwnFile(nn.List(m), m.again)
	}
	return i
}

// reader returns a function that reads the parameter called name once more, as LoadFile did from f;
// nil where nobody can.
func reader(f *checkpoint.File, mapping Mapping) func(name string) (checkpoint.Array, error) {
	ours := f.Metadata[layoutKey] == layoutOHWI
	if !ours {
		var err error
		if f, err = withoutWrappers(f); err != nil {
			return nil // LoadFile says so
		}
	}
	again := f.Again()
	if again == nil {
		return nil
	}
	return func(name string) (checkpoint.Array, error) {
		a, err := again(mapping.key(name))
		if err == nil && !ours {
			a = toOHWI(a, mapping.Flattened[name])
		}
		return a, err
	}
}

// LoadFile reads every parameter of m from f, allocating in s those that have no memory yet, as
// F32.
//
// A file without our layout entry is PyTorch's: rank-4 weights turn from OIHW to OHWI and Flattened
// columns are permuted. Its "module." and "_orig_mod." prefixes (DataParallel, torch.compile) and
// num_batches_tracked are ignored, and a scalar fits a parameter of one element.
//
// The error, a *checkpoint.MatchError, lists missing, mis-shaped and unexpected keys; shapes in it
// are in our layout. Then nothing was changed.
func LoadFile(s *tensor.Scope, m nn.Module, f *checkpoint.File, mapping Mapping) error {
	ours, err := ourLayout(f, mapping)
	if err != nil {
		return fmt.Errorf("models: LoadFile: %w", err)
	}
	params := nn.List(m)
	var want []checkpoint.Want
	for _, p := range params {
		key := mapping.key(p.Name)
		if a, ok := ours.Get(key); ok && len(a.Shape) == 0 && p.Param.Shape.Size() == 1 {
			a.Shape = p.Param.Shape
			ours.Set(key, a)
		}
		want = append(want, checkpoint.Want{Name: key, Shape: p.Param.Shape})
	}
	if err := checkpoint.Match(ours, want); err != nil {
		return fmt.Errorf("models: LoadFile: %w", err)
	}
	for _, p := range params {
		a, _ := ours.Get(mapping.key(p.Name)) // Match has found it
		if p.Param.T == nil {
			p.Param.T = s.New(tensor.F32, p.Param.Shape...)
		}
		tensor.CopyFromHost(p.Param.T, a.Float32s())
	}
	return nil
}

// key returns the file's name of one of our parameters.
func (m Mapping) key(name string) string {
	if m.Rename == nil {
		return name
	}
	return m.Rename(name)
}

// ourLayout returns f with PyTorch's layouts and prefix replaced, f itself if it is ours.
func ourLayout(f *checkpoint.File, mapping Mapping) (*checkpoint.File, error) {
	if f.Metadata[layoutKey] == layoutOHWI {
		return f, nil
	}
	out, err := withoutWrappers(f)
	if err != nil {
		return nil, err
	}
	flat := map[string][3]int{}
	for name, chw := range mapping.Flattened {
		flat[mapping.key(name)] = chw
	}
	for _, name := range out.Names() {
		a, _ := out.Get(name)
		out.Set(name, toOHWI(a, flat[name]))
	}
	return out, nil
}

// toOHWI turns a PyTorch weight into our layout; chw is the flattened image a linear weight reads.
func toOHWI(a checkpoint.Array, chw [3]int) checkpoint.Array {
	flat := chw[0] * chw[1] * chw[2]
	switch {
	case len(a.Shape) == 4:
		return a.Transpose(0, 2, 3, 1)
	case len(a.Shape) == 2 && flat > 0 && a.Shape[1] == flat:
		a.Shape = []int{a.Shape[0], chw[0], chw[1], chw[2]}
		a = a.Transpose(0, 2, 3, 1)
		a.Shape = []int{a.Shape[0], flat}
	}
	return a
}

// toOIHW is the inverse of toOHWI.
func toOIHW(a checkpoint.Array, chw [3]int) checkpoint.Array {
	flat := chw[0] * chw[1] * chw[2]
	switch {
	case len(a.Shape) == 4:
		return a.Transpose(0, 3, 1, 2)
	case len(a.Shape) == 2 && flat > 0 && a.Shape[1] == flat:
		a.Shape = []int{a.Shape[0], chw[1], chw[2], chw[0]}
		a = a.Transpose(0, 3, 1, 2)
		a.Shape = []int{a.Shape[0], flat}
	}
	return a
}

// A Layout is an order of axes in a file.
type Layout bool

// The layouts of Export.
const (
	OHWI Layout = false // ours
	OIHW Layout = true  // PyTorch's
)

// Export returns a file with every parameter of m as F32, in our layout (with a metadata entry that
// says so) or in PyTorch's. Panics if a parameter has no values.
func Export(m nn.Module, mapping Mapping, layout Layout) *checkpoint.File {
	f := checkpoint.NewFile()
	if layout == OHWI {
		f.Metadata[layoutKey] = layoutOHWI
	}
	params := nn.List(m)
	for i, t := range params.Tensors() {
		v := t.Floats()
		data := make([]float32, len(v))
		for j, x := range v {
			data[j] = float32(x)
		}
		name := params[i].Name
		a := checkpoint.FromFloat32s(t.Shape(), data)
		if layout == OIHW {
			a = toOIHW(a, mapping.Flattened[name])
		}
		if mapping.Rename != nil {
			name = mapping.Rename(name)
		}
		f.Set(name, a)
	}
	return f
}

// Export returns a file from which Open rebuilds the classifier: its parameters in our layout, and
// architecture and Options as metadata.
func (m *Classifier) Export() *checkpoint.File {
	f := Export(m, Mapping{}, OHWI)
	f.Metadata["arch"] = m.arch
	f.Metadata["classes"] = strconv.Itoa(m.opts.Classes)
	f.Metadata["input_size"] = strconv.Itoa(m.opts.InputSize)
	f.Metadata["channels"] = strconv.Itoa(m.opts.Channels)
	f.Metadata["mean"], f.Metadata["std"] = joinFloats(m.opts.Mean), joinFloats(m.opts.Std)
	return f
}

// Ext is the extension of the files that Save writes.
const Ext = ".safetensors"

// Save writes what Export returns to stem + ".safetensors", the numbers as dt, F32 or F16, and
// returns the file's path.
func (m *Classifier) Save(stem string, dt tensor.DType) (file string, err error) {
	opts := []checkpoint.WriteOption{checkpoint.Sealed()}
	if dt == tensor.F16 {
		opts = append(opts, checkpoint.StoreF16(nil))
	}
	return stem + Ext, checkpoint.SaveSafetensors(stem+Ext, m.Export(), opts...)
}

// FromFile rebuilds a classifier that Export wrote, with its weights in memory of s.
func FromFile(s *tensor.Scope, f *checkpoint.File) (*Classifier, error) {
	var errs []error
	number := func(key string) int {
		n, err := strconv.Atoi(f.Metadata[key])
		if err != nil {
			errs = append(errs, tensor.Refuse("metadata %q: expected a number, got %q",
				key, f.Metadata[key]))
		}
		return n
	}
	floats := func(key string) []float64 {
		v, err := splitFloats(f.Metadata[key])
		if err != nil {
			errs = append(errs, tensor.Refuse("metadata %q: %w", key, err))
		}
		return v
	}
	o := Options{Classes: number("classes"), InputSize: number("input_size"),
		Channels: number("channels"), Mean: floats("mean"), Std: floats("std")}
	if len(errs) > 0 {
		return nil, tensor.Refuse("models: FromFile: %s is not a classifier this program saved: %w; "+
			"name the architecture and use Load", f.Path, errors.Join(errs...))
	}
	m, err := New(f.Metadata["arch"], o)
	if err != nil {
		return nil, tensor.Refuse("%w (metadata of %s)", err, f.Path)
	}
	return m, m.Load(s, f)
}

func joinFloats(v []float64) string {
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(s, " ")
}

func splitFloats(s string) ([]float64, error) {
	var out []float64
	for _, f := range strings.Fields(s) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return nil, tensor.Refuse("expected numbers, got %q", s)
		}
		out = append(out, v)
	}
	return out, nil
}
