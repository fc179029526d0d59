package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"

	"github.com/goccy/go-yaml"
)

// The files of a run directory.
const (
	ConfigFile      = "config.yaml"
	EnvironmentFile = "environment.json"
	MetricsFile     = "metrics.jsonl"
	CheckpointDir   = "checkpoints"
	LatestFile      = "latest.safetensors"
	FinalFile       = "final.safetensors" // the trained network alone, written at the end
	SampleDir       = "samples"
	ReportFile      = "report.html"
)

// A Run is a run directory open for writing.
type Run struct {
	Dir     string
	metrics *os.File
	written int64
}

// Create makes a new run directory, writes its configuration and environment, and opens its log.
// It returns an error if dir already holds a run.
func Create(dir string, config, environment any) (*Run, error) {
	if _, err := os.Stat(filepath.Join(dir, ConfigFile)); err == nil {
		return nil, fmt.Errorf("train: %s already holds a run: give --resume to go on with it, or another --out", dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, CheckpointDir), filepath.Join(dir, SampleDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("train: cannot make the run directory: %w", err)
		}
	}
	if err := writeJSON(filepath.Join(dir, EnvironmentFile), environment); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("train: configuration: %w", err)
	}
	if err := writeBytes(filepath.Join(dir, ConfigFile), text); err != nil {
		return nil, err
	}
	return open(dir)
}

// Open opens an existing run directory to go on with it and reads its configuration into config.
func Open(dir string, config any) (*Run, error) {
	if err := ReadConfig(dir, config); err != nil {
		return nil, err
	}
	return open(dir)
}

// ReadConfig reads the configuration of a run.
func ReadConfig(dir string, config any) error {
	text, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("train: %s is not a run directory: it has no %s", dir, ConfigFile)
	}
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, config, yaml.Strict()); err != nil {
		return fmt.Errorf("train: %s: %w", filepath.Join(dir, ConfigFile), err)
	}
	return nil
}

func open(dir string) (*Run, error) {
	f, err := os.OpenFile(filepath.Join(dir, MetricsFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return &Run{Dir: dir, metrics: f, written: end}, nil
}

// Close closes the log.
func (r *Run) Close() error { return r.metrics.Close() }

// Path returns a path inside the run directory.
func (r *Run) Path(elem ...string) string { return filepath.Join(append([]string{r.Dir}, elem...)...) }

// Log appends one line to metrics.jsonl: a JSON object with sorted keys. Numbers that JSON cannot
// hold (NaN, Inf) are written as strings.
func (r *Run) Log(values map[string]float64) error {
	line := make(map[string]any, len(values))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		v := values[k]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			line[k] = strconv.FormatFloat(v, 'g', -1, 64)
		} else {
			line[k] = v
		}
	}
	raw, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	n, err := r.metrics.Write(append(raw, '\n'))
	r.written += int64(n)
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// The metadata keys of a checkpoint.
const (
	metaStep    = "step"
	metaMetrics = "metrics_bytes"
)

// Save writes all parameters of state and the step reached as checkpoints/name, whole or not at all. The log
// is synced first, and its length noted, so that Restore can cut it back to this moment.
func (r *Run) Save(name string, state nn.Params, step int, meta map[string]string) error {
	if err := r.metrics.Sync(); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	f := checkpoint.NewFile()
	maps.Copy(f.Metadata, meta)
	f.Metadata[metaStep] = strconv.Itoa(step)
	f.Metadata[metaMetrics] = strconv.FormatInt(r.written, 10)
	if err := nn.Store(f, state); err != nil {
		return err
	}
	return checkpoint.SaveSafetensors(r.Path(CheckpointDir, name), f)
}

// Restore reads checkpoints/name into state, which must have the same names and shapes, cuts the log
// back to the moment of the checkpoint, and returns the step reached and the metadata. Without such a
// checkpoint it empties the log and returns step 0: the run starts from the beginning.
func (r *Run) Restore(name string, state nn.Params) (step int, meta map[string]string, err error) {
	f, err := checkpoint.Open(r.Path(CheckpointDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil, r.cut(0)
	}
	if err != nil {
		return 0, nil, err
	}
	if err := nn.Restore(f, state); err != nil {
		return 0, nil, err
	}
	step, err1 := strconv.Atoi(f.Metadata[metaStep])
	size, err2 := strconv.ParseInt(f.Metadata[metaMetrics], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, nil, fmt.Errorf("train: %s: not a checkpoint of a run: %w", r.Path(CheckpointDir, name), err)
	}
	return step, f.Metadata, r.cut(size)
}

func (r *Run) cut(size int64) error {
	if size > r.written {
		return fmt.Errorf("train: %s is shorter (%d bytes) than its checkpoint says (%d): it was changed by hand; "+
			"start a new run", r.Path(MetricsFile), r.written, size)
	}
	if err := r.metrics.Truncate(size); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	if _, err := r.metrics.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	r.written = size
	return nil
}

// ReadMetrics returns the lines of a run's log. A last line cut short by a crash is left out.
func ReadMetrics(dir string) ([]map[string]float64, error) {
	raw, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	var out []map[string]float64
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var line map[string]any
		if json.Unmarshal(sc.Bytes(), &line) != nil {
			break
		}
		m := map[string]float64{}
		for k, v := range line {
			switch v := v.(type) {
			case float64:
				m[k] = v
			case string:
				m[k], _ = strconv.ParseFloat(v, 64)
			}
		}
		out = append(out, m)
	}
	return out, sc.Err()
}

// keepBest returns the k best (score, file) pairs of list after adding one; a higher score is better, and
// of two equal ones the earlier stays first.
func keepBest(list []scored, s scored, k int) []scored {
	list = append(slices.Clone(list), s)
	slices.SortStableFunc(list, func(a, b scored) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return list[:min(k, len(list))]
}

// A scored names a checkpoint and how well it did on the held-out images.
type scored struct {
	File  string
	Score float64
}

// prune removes checkpoints called prefix… that are not in keep.
func (r *Run) prune(prefix string, keep []scored) error {
	entries, err := os.ReadDir(r.Path(CheckpointDir))
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && !slices.ContainsFunc(keep, func(s scored) bool { return s.File == e.Name() }) {
			if err := os.Remove(r.Path(CheckpointDir, e.Name())); err != nil {
				return fmt.Errorf("train: %w", err)
			}
		}
	}
	return nil
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("train: %s: %w", path, err)
	}
	return writeBytes(path, append(raw, '\n'))
}

func writeBytes(path string, raw []byte) error {
	return checkpoint.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}
