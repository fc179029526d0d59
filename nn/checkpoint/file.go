package checkpoint

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Single is the name of the array in a file that holds one array without a name: a .npy file, or a
// single tensor saved by PyTorch.
const Single = "tensor"

// A File is what a checkpoint file holds: arrays by name in the file's order, string metadata, and
// the scalar fields beside the weights. Make one with NewFile; readers return it. It is not safe
// for concurrent writing.
type File struct {
	// Format is "safetensors", "torch", "npy" or "npz"; empty for a File that was not read.
	Format string
	// Path is where the File was read from; it appears in messages.
	Path string
	// Metadata is safetensors' __metadata__; never nil in a File from NewFile or a reader.
	Metadata map[string]string
	// Fields holds what a PyTorch file stores beside its tensors, by name ("best_prec1", "epoch"):
	// float64, int64, bool or string. Tensors and NumPy scalars of one element beside a state_dict
	// are here as numbers. Writers ignore Fields.
	Fields map[string]any
	// Skipped names what a PyTorch file holds that was not taken over, such as "optimizer".
	Skipped []string

	names   []string
	arrays  map[string]Array
	origins map[string]origin // of the arrays of a file that can be read again
	length  int64             // of that file
}

// NewFile returns an empty File.
func NewFile() *File {
	return &File{Metadata: map[string]string{}, Fields: map[string]any{}, arrays: map[string]Array{}}
}

// Len returns the number of arrays.
func (f *File) Len() int { return len(f.names) }

// Names returns the names in order; the slice is a copy.
func (f *File) Names() []string { return slices.Clone(f.names) }

// All iterates over the arrays in order.
func (f *File) All() iter.Seq2[string, Array] {
	return func(yield func(string, Array) bool) {
		for _, n := range f.names {
			if !yield(n, f.arrays[n]) {
				return
			}
		}
	}
}

// Get returns the array called name and whether there is one.
func (f *File) Get(name string) (Array, bool) {
	a, ok := f.arrays[name]
	return a, ok
}

// Lookup is Get with an error that names the file and some of the keys it does have.
func (f *File) Lookup(name string) (Array, error) {
	if a, ok := f.arrays[name]; ok {
		return a, nil
	}
	return Array{}, &FormatError{
		Format: f.Format, File: f.Path, Key: name,
		Reason: fmt.Sprintf("not in the file, which has %d arrays: %s", len(f.names), listed(f.names)),
		Next:   "check that the file belongs to this network, or strip a prefix such as \"module.\"",
	}
}

// Set adds an array at the end, or replaces the one of that name in place.
func (f *File) Set(name string, a Array) {
	if _, ok := f.arrays[name]; !ok {
		f.names = append(f.names, name)
	}
	f.arrays[name] = a
}

// Elements returns the number of elements in all arrays whose name the predicate accepts; a nil
// predicate accepts all. With a predicate that refuses buffers this is the parameter count.
func (f *File) Elements(accept func(name string, a Array) bool) int {
	n := 0
	for name, a := range f.All() {
		if accept == nil || accept(name, a) {
			n += a.Len()
		}
	}
	return n
}

// Number returns the field called name as float64, whether it is stored as a float, an integer or a
// bool (0 or 1); ok is false when it is missing or not a number.
func (f *File) Number(name string) (v float64, ok bool) {
	switch x := f.Fields[name].(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// StripPrefix returns a File with prefix removed from every name that has it, such as the "module."
// that PyTorch's DataParallel adds; other names are kept. Arrays are shared with f. It returns an
// error when two names become equal.
func (f *File) StripPrefix(prefix string) (*File, error) {
	out := NewFile()
	out.Format, out.Path, out.Metadata, out.Fields = f.Format, f.Path, f.Metadata, f.Fields
	out.Skipped, out.length = f.Skipped, f.length
	if f.origins != nil {
		out.origins = map[string]origin{}
	}
	for name, a := range f.All() {
		short := strings.TrimPrefix(name, prefix)
		if _, ok := out.arrays[short]; ok {
			return nil, &FormatError{Format: f.Format, File: f.Path, Key: name,
				Reason: fmt.Sprintf("becomes %q without the prefix %q, and the file has that too",
					short, prefix),
				Next: "use the names as they are"}
		}
		out.Set(short, a)
		if o, ok := f.origins[name]; ok {
			out.origins[short] = o
		}
	}
	return out, nil
}

// maxListed is how many names a message lists before it counts the rest: what fits on a screen.
const maxListed = 8

// listed joins the first few names and says how many were left out.
func listed(names []string) string {
	short := names[:min(len(names), maxListed)]
	s := make([]string, len(short))
	for i, n := range short {
		s[i] = quote(n)
	}
	text := strings.Join(s, ", ")
	if more := len(names) - len(short); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
