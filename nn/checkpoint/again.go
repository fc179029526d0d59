package checkpoint

import (
	"fmt"
	"os"
	"unsafe"

	"afterimage/tensor"
)

// An origin says where the bytes of an array lie in the file it was read from.
type origin struct {
	array Array // without its bytes
	at    int64
}

// Again returns a function that reads one array once more, and nothing else, from the file that
// Open read f from: weights that were given up come back for the price of themselves. It is nil for
// a File that was not opened, and for one with an array that is not in its file as it is in memory:
// compressed, strided or of a narrower type. It keeps none of f's arrays.
//
// The function returns an error if the file is gone or has another length, or the File had no such
// array. Other values in a file of the same length are for the caller to notice.
func (f *File) Again() func(name string) (Array, error) {
	if f.origins == nil {
		return nil
	}
	path, length, origins := f.Path, f.length, f.origins
	return func(name string) (Array, error) {
		o, ok := origins[name]
		if !ok {
			return Array{}, tensor.Refuse("checkpoint: %s: no array %s in it", path, quote(name))
		}
		r, err := os.Open(path)
		if err != nil {
			return Array{}, fmt.Errorf("checkpoint: %w", err)
		}
		defer r.Close()
		info, err := r.Stat()
		if err != nil {
			return Array{}, fmt.Errorf("checkpoint: %w", err)
		}
		if info.Size() != length {
			return Array{}, tensor.Refuse("checkpoint: %s: expected the %d bytes that were opened, got %d: "+
				"put that file back", path, length, info.Size())
		}
		a := o.array
		a.Data = make([]byte, a.Len()*a.DType.Size())
		if _, err := r.ReadAt(a.Data, o.at); err != nil {
			return Array{}, fmt.Errorf("checkpoint: %s: %w", path, err)
		}
		return a, nil
	}
}

// originate notes where f's arrays lie in data, the bytes of the file at its path, if all do.
func (f *File) originate(data []byte) {
	origins := map[string]origin{}
	for name, a := range f.All() {
		at, ok := within(a.Data, data)
		if !ok {
			return
		}
		origins[name] = origin{Array{DType: a.DType, Shape: a.Shape}, at}
	}
	f.origins, f.length = origins, int64(len(data))
}

// within returns where part, if it is a slice of whole, begins. What is empty is in anything.
func within(part, whole []byte) (at int64, ok bool) {
	if len(part) == 0 {
		return 0, true
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	p := uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	return int64(p - begin), p >= begin && p-begin < uintptr(len(whole))
}
