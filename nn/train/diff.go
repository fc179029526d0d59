package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"afterimage/nn/checkpoint"
)

// Diff lists in what two run directories differ: files that only one has, configuration, log lines,
// tensors and metadata of checkpoints, bytes of everything else. Two runs of the same configuration
// on the same instruction set do not differ, whatever interrupted them. Left out is what differs
// between such runs: the seconds in log and checkpoints, the environment record, TensorBoard's copy
// of the log, a GPU's telemetry, and the plans it chose by time, of which only what they compute
// counts.
func Diff(a, b string) ([]string, error) {
	in := [2]map[string][]byte{}
	for i, dir := range []string{a, b} {
		var err error
		if in[i], err = readTree(dir); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(in[0])) {
		other, ok := in[1][name]
		if !ok {
			out = append(out, fmt.Sprintf("%s is only in %s", name, a))
			continue
		}
		d, err := diffFile(name, in[0][name], other)
		if err != nil {
			return nil, fmt.Errorf("train: Diff: %s: %w", name, err)
		}
		out = append(out, d...)
	}
	for _, name := range slices.Sorted(maps.Keys(in[1])) {
		if _, ok := in[0][name]; !ok {
			out = append(out, fmt.Sprintf("%s is only in %s", name, b))
		}
	}
	return out, nil
}

// readTree returns the content of every file under dir that is compared, by its path in dir.
func readTree(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil && !varies(rel) {
			files[rel], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("train: Diff: %w", err)
	}
	return files, nil
}

// varies reports whether a file of a run may differ between equal runs, or be there in one alone.
func varies(name string) bool {
	return slices.Contains([]string{EnvironmentFile, EventsFile, TelemetryFile, PlansFile}, name)
}

func diffFile(name string, a, b []byte) ([]string, error) {
	switch {
	case name == MetricsFile:
		return diffLog(a, b)
	case filepath.Ext(name) == ".safetensors":
		return diffCheckpoint(name, a, b)
	case !bytes.Equal(a, b):
		return []string{name + " differs"}, nil
	}
	return nil, nil
}

// diffLog compares logs line by line, but for the seconds. It fails where lines differ and one of
// them is no JSON.
func diffLog(a, b []byte) (out []string, err error) {
	x, y := bytes.Split(a, []byte{'\n'}), bytes.Split(b, []byte{'\n'})
	if len(x) != len(y) {
		return []string{fmt.Sprintf("%s has %d and %d lines", MetricsFile, len(x)-1, len(y)-1)}, nil
	}
	for i := range x {
		var p, q map[string]any
		if bytes.Equal(x[i], y[i]) {
			continue
		}
		if err := json.Unmarshal(x[i], &p); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if err := json.Unmarshal(y[i], &q); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		delete(p, metaSeconds)
		delete(q, metaSeconds)
		if !reflect.DeepEqual(p, q) {
			out = append(out, fmt.Sprintf("%s line %d: %v and %v", MetricsFile, i+1, p, q))
		}
	}
	return out, nil
}

func diffCheckpoint(name string, a, b []byte) (out []string, err error) {
	x, err := checkpoint.Decode(name, a)
	if err != nil {
		return nil, err
	}
	y, err := checkpoint.Decode(name, b)
	if err != nil {
		return nil, err
	}
	// the log's length depends on the digits of its seconds
	for _, f := range []*checkpoint.File{x, y} {
		delete(f.Metadata, metaSeconds)
		delete(f.Metadata, metaMetrics)
	}
	if !maps.Equal(x.Metadata, y.Metadata) {
		out = append(out, fmt.Sprintf("%s: metadata %v and %v", name, x.Metadata, y.Metadata))
	}
	if p, q := x.Names(), y.Names(); !slices.Equal(p, q) {
		return append(out, fmt.Sprintf("%s: tensors %v and %v", name, p, q)), nil
	}
	for key, p := range x.All() {
		q, _ := y.Get(key)
		if p.DType != q.DType || !slices.Equal(p.Shape, q.Shape) || !bytes.Equal(p.Data, q.Data) {
			out = append(out, fmt.Sprintf("%s: %s differs", name, key))
		}
	}
	return out, nil
}
