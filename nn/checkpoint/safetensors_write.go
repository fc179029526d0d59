package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
)

// A WriteOption changes how WriteSafetensors stores arrays.
type WriteOption func(*writeOptions)

type writeOptions struct {
	half   func(name string, a Array) bool
	sealed bool
}

// stored returns an array as the file holds it.
func (o *writeOptions) stored(name string, a Array) (Array, error) {
	if o.half == nil || !o.half(name, a) {
		return a, nil
	}
	data, err := toF16(name, a)
	return Array{DType: tensor.F16, Shape: a.Shape, Data: data}, err
}

// StoreF16 stores the F32 arrays that where accepts (all, when it is nil) as F16, rounded to
// nearest even. A finite value beyond ±65504 is an error that names its key: keep that array in
// F32. Meant for shipped weights; a checkpoint to resume from is stored as it is.
func StoreF16(where func(name string, a Array) bool) WriteOption {
	return func(o *writeOptions) {
		o.half = func(name string, a Array) bool {
			return a.DType == tensor.F32 && (where == nil || where(name, a))
		}
	}
}

// WriteSafetensors writes the arrays and Metadata of f; Fields are not written. The header lists
// names in sorted order and is padded with spaces so that the data starts at a multiple of 8; the
// data is laid out by falling element size and then by name, so that every array is aligned to its
// elements. Equal input gives equal bytes. Errors: an Array that fails Check, a name that is not
// UTF-8 or is "__metadata__", StoreF16 on a value that does not fit, and what w returns.
func WriteSafetensors(w io.Writer, f *File, opts ...WriteOption) error {
	var o writeOptions
	for _, opt := range opts {
		opt(&o)
	}
	names := slices.Sorted(slices.Values(f.names))
	dtypes := make(map[string]tensor.DType, len(names))
	for _, n := range names {
		a := f.arrays[n]
		if err := a.Check(); err != nil {
			return fmt.Errorf("checkpoint: WriteSafetensors: key %q: %w", n, err)
		}
		if !utf8.ValidString(n) || n == metadataKey {
			return fmt.Errorf("checkpoint: WriteSafetensors: key %q: expected a UTF-8 name other "+
				"than %s; rename it", n, metadataKey)
		}
		dtypes[n] = a.DType
		if o.half != nil && o.half(n, a) {
			dtypes[n] = tensor.F16
		}
	}
	layout := slices.Clone(names)
	slices.SortStableFunc(layout, func(a, b string) int {
		return cmp.Compare(dtypes[b].Size(), dtypes[a].Size())
	})
	stored := func(name string) (Array, error) { return o.stored(name, f.arrays[name]) }
	meta := maps.Clone(f.Metadata)
	if o.sealed {
		sum, err := digest(meta, names, stored)
		if err != nil {
			return err
		}
		if meta == nil {
			meta = map[string]string{}
		}
		meta[digestKey] = sum
	}
	header, err := stHeader(f, meta, names, layout, dtypes)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("checkpoint: WriteSafetensors: header: %w", err)
	}
	for _, n := range layout {
		a, err := stored(n)
		if err != nil {
			return err
		}
		if _, err := w.Write(a.Data); err != nil {
			return fmt.Errorf("checkpoint: WriteSafetensors: key %q: %w", n, err)
		}
	}
	return nil
}

// SaveSafetensors writes f to path as WriteSafetensors does, atomically as atomicfile.Write does.
func SaveSafetensors(path string, f *File, opts ...WriteOption) error {
	return atomicfile.Write(path, func(w io.Writer) error { return WriteSafetensors(w, f, opts...) })
}

// stHeader returns the length, the JSON and the padding.
func stHeader(
	f *File, meta map[string]string, names, layout []string, dtypes map[string]tensor.DType,
) ([]byte, error) {
	begin := make(map[string]int, len(layout))
	at := 0
	for _, n := range layout {
		begin[n] = at
		at += f.arrays[n].Len() * dtypes[n].Size()
	}
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteString("{")
	separator := ""
	if len(meta) > 0 {
		keys := make([]string, 0, len(meta))
		for k, v := range meta {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("checkpoint: WriteSafetensors: metadata %q: expected UTF-8; "+
					"encode it", k)
			}
			keys = append(keys, k)
		}
		slices.Sort(keys)
		fmt.Fprintf(&b, "%s:{", jsonString(metadataKey))
		for _, k := range keys {
			fmt.Fprintf(&b, "%s%s:%s", separator, jsonString(k), jsonString(meta[k]))
			separator = ","
		}
		b.WriteString("}")
		separator = ","
	}
	for _, n := range names {
		end := begin[n] + f.arrays[n].Len()*dtypes[n].Size()
		shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(f.arrays[n].Shape), "[]"), " ", ",")
		fmt.Fprintf(&b, `%s%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}`, separator,
			jsonString(n), stName(dtypes[n]), shape, begin[n], end)
		separator = ","
	}
	b.WriteString("}")
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	header := b.Bytes()
	if len(header)-8 > maxHeader {
		return nil, fmt.Errorf("checkpoint: WriteSafetensors: header: expected at most %d bytes, got "+
			"%d; store less metadata", maxHeader, len(header)-8)
	}
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, nil
}

// jsonString quotes s, which is valid UTF-8, leaving <, > and & readable.
func jsonString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("checkpoint: a string that does not encode as JSON: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// toF16 converts an F32 array and refuses finite values that would become infinite.
func toF16(name string, a Array) ([]byte, error) {
	out := make([]byte, 0, len(a.Data)/2)
	for i, v := range a.Float32s() {
		h := f32ToF16(v)
		if h&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
			return nil, tensor.Refuse("checkpoint: WriteSafetensors: key %q: element %d is %g: expected "+
				"at most 65504 in F16; keep this array in F32", name, i, v)
		}
		out = binary.LittleEndian.AppendUint16(out, h)
	}
	return out, nil
}
