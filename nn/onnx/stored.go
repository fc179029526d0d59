package onnx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
)

// storedKey is the entry of a file's metadata under which Save keeps the options, as JSON.
const storedKey = "afterimage.classifier"

// Ext is the extension of ONNX files, and what Save appends.
const Ext = ".onnx"

// Save writes the model's file, byte for byte but for one entry of metadata with the options, to
// stem + ".onnx": any runtime reads it, and StoredOptions gives back how it is to be fed. Weights
// stay as they are, whatever dtype is asked for. It returns the file's path.
func (c *Classifier) Save(stem string, _ tensor.DType) (file string, err error) {
	return stem + Ext, atomicfile.Write(stem+Ext, c.Write)
}

// Write writes what Save writes to a file.
func (c *Classifier) Write(w io.Writer) error {
	text, err := json.Marshal(c.Options())
	if err != nil {
		return fmt.Errorf("onnx: Write: %w", err)
	}
	out, err := withoutProperty(c.model.data, storedKey)
	if err != nil {
		return inFile(err, c.file)
	}
	out.bytes(tagProperty, property{storedKey, string(text)}.encode())
	_, err = w.Write(out)
	return err
}

// withoutProperty copies a model's file without one entry of its metadata. Fields are copied as
// they stand, known or not.
func withoutProperty(data []byte, key string) (message, error) {
	r := wireReader{data, maxDepth}
	out := make(message, 0, len(data))
	for {
		before := r.buf
		f, ok, err := r.next()
		if err != nil || !ok {
			return out, err
		}
		if f.tag == tagProperty {
			if p, err := parseProperty(f); err != nil || p.key == key {
				continue
			}
		}
		out = append(out, before[:len(before)-len(r.buf)]...)
	}
}

// StoredOptions returns the options that Classifier.Save or Export left in a model; ok is false if
// there are none. An error says that the entry is damaged.
func (m *Model) StoredOptions() (o ClassifierOptions, ok bool, err error) {
	text, ok := m.Property(storedKey)
	if !ok {
		return o, false, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, true, &Error{File: m.file, Op: "StoredOptions", Err: err,
			Reason: fmt.Sprintf("its metadata %q cannot be read", storedKey), Next: damaged}
	}
	return o, true, nil
}
