package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"afterimage/nn/tensorboard"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"

	"github.com/goccy/go-yaml"
)

// The files of a run directory.
const (
	ConfigFile      = "config.yaml"
	EnvironmentFile = "environment.jsonl" // a line for every start
	MetricsFile     = "metrics.jsonl"
	TelemetryFile   = "telemetry.jsonl" // of a GPU, where something tells
	PlansFile       = "plans.json"      // of a GPU: which kernel, a library's or ours, a shape gets
	CheckpointDir   = "checkpoints"
	LatestFile      = "latest.safetensors"
	FinalFile       = "final.safetensors" // the trained network alone, written at the end
	SampleDir       = "samples"
	ReportFile      = "report.html"
)

// ErrInUse says that another process writes to a run's directory.
var ErrInUse = errors.New("in use by another process")

// A Run is a run directory open for writing.
type Run struct {
	Dir     string
	metrics *os.File
	written int64
	saved   int // step of the last checkpoint
	lock    io.Closer

	config      []byte // the text of the configuration
	environment []byte // the environment record with this start, until it is written

	set   string // name of the data set
	print string // its fingerprint; empty: it needs none

	board     bool // keep an event file for TensorBoard
	eventFile *tensorboard.File
	made      float64 // when the configuration was written, in seconds since 1970
}

// Create makes a new run directory, opens its log, and writes environment, whatever files write,
// and last the configuration: a directory with a configuration is a run that can be resumed. What a
// killed Create left behind is taken over.
//
// It returns an error if dir holds a run, anything else that Create does not write, or is in use.
func Create(dir string, config, environment any, files ...func(*Run) error) (*Run, error) {
	if err := vacant(dir); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("train: configuration: %w", err)
	}
	err = os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, incompleteFile), nil, 0o644)
	}
	for _, d := range []string{CheckpointDir, SampleDir} {
		if err == nil {
			err = os.MkdirAll(filepath.Join(dir, d), 0o755)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("train: cannot make the run directory: %w", err)
	}
	r, err := open(dir)
	if err != nil {
		return nil, err
	}
	if exists(r.Path(ConfigFile)) { // another process made its run since vacant looked
		return nil, errors.Join(holdsRun(dir), r.Close())
	}
	r.config = text
	files = append(files,
		func(r *Run) error { return atomicfile.WriteBytes(r.Path(ConfigFile), text) },
		func(r *Run) error { return os.Remove(r.Path(incompleteFile)) })
	err = errors.Join(r.cut(0), os.RemoveAll(r.Path(EnvironmentFile)))
	if err == nil {
		_, err = r.Continue(environment)
	}
	if err == nil {
		err = r.record()
	}
	for _, write := range files {
		if err == nil {
			err = write(r)
		}
	}
	// the directories' own entries
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err == nil {
			err = atomicfile.SyncDir(d)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.Abandon())
	}
	return r, nil
}

// incompleteFile marks a directory in which Create is at work or was killed.
const incompleteFile = ".incomplete"

// vacant returns an error if dir holds a run or something else that must not be written over.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return tensor.Refuse("train: %s cannot hold a run: %w: give another --out", dir, err)
	case holds(entries, ConfigFile):
		return holdsRun(dir)
	case holds(entries, incompleteFile):
		return nil
	}
	return tensor.Refuse("train: %s is not empty (it holds %s) and is not a run: give a new "+
		"directory as --out", dir, entries[0].Name())
}

func holdsRun(dir string) error {
	return tensor.Refuse("train: %s already holds a run: give --resume to go on with it, or another "+
		"--out", dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func holds(entries []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
}

// Abandon closes a new run and removes what it consists of, provided that no checkpoint has been
// written: a training that could not start leaves nothing behind. Otherwise it only closes the run.
func (r *Run) Abandon() error {
	if _, err := os.Stat(r.Path(CheckpointDir, LatestFile)); err == nil {
		return r.Close()
	}
	err := errors.Join(r.metrics.Close(), r.closeEvents())
	for _, name := range []string{ConfigFile, EnvironmentFile, MetricsFile, EventsFile,
		TelemetryFile, PlansFile, incompleteFile, CheckpointDir, SampleDir} {
		err = errors.Join(err, os.RemoveAll(r.Path(name)))
	}
	_ = os.Remove(r.Dir) // not if the caller put something there
	return errors.Join(err, r.lock.Close())
}

// Open opens an existing run directory to go on with it and reads its configuration into config.
// Temporary files of a killed process are removed. It returns an error if the run is in use.
func Open(dir string, config any) (*Run, error) {
	text, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	if err := DecodeYAML(text, config); err != nil {
		return nil, damagedConfig(dir, err)
	}
	r, err := open(dir)
	if err == nil {
		r.config = text
		_ = os.Remove(r.Path(incompleteFile)) // Create was killed at its very end
	}
	return r, err
}

// Kind returns what a run trains, "classifier" or "inverter", from its configuration.
func Kind(dir string) (string, error) {
	text, err := readConfig(dir)
	if err != nil {
		return "", err
	}
	var c struct {
		Kind string `yaml:"kind"`
	}
	if err := decodeYAML(text, &c); err != nil {
		return "", damagedConfig(dir, err)
	}
	return c.Kind, nil
}

// ReadConfig reads the configuration of a run.
func ReadConfig(dir string, config any) error {
	text, err := readConfig(dir)
	if err != nil {
		return err
	}
	if err := DecodeYAML(text, config); err != nil {
		return damagedConfig(dir, err)
	}
	return nil
}

func readConfig(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, tensor.Refuse("train: %s is not a run directory: it has no %s; give the --out of a "+
			"training", dir, ConfigFile)
	case err != nil:
		return nil, fmt.Errorf("train: %w", err)
	}
	return text, nil
}

// damagedConfig names the file in what the YAML reader says.
func damagedConfig(dir string, err error) error {
	return tensor.Refuse("train: %s: %w; undo the change to this file, or start a new run",
		filepath.Join(dir, ConfigFile), err)
}

// open locks dir, clears away what a killed process left half written, and opens the log.
func open(dir string) (*Run, error) {
	l, err := Lock(dir)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, lock: l}
	for _, d := range []string{"", CheckpointDir, SampleDir} {
		entries, err := os.ReadDir(r.Path(d))
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("train: %w", err)
		}
		for _, e := range entries {
			if temporary(e.Name()) {
				_ = os.Remove(r.Path(d, e.Name())) // it is in nobody's way
			}
		}
	}
	r.metrics, err = os.OpenFile(r.Path(MetricsFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		r.written, err = r.metrics.Seek(0, io.SeekEnd)
	}
	if err == nil {
		err = atomicfile.SyncDir(dir)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("train: %w", err)
	}
	return r, nil
}

// temporary reports whether a name is one under which files are written before they are renamed: a
// dot, the file's name and something random.
func temporary(name string) bool {
	if !strings.HasPrefix(name, ".") {
		return false
	}
	for _, ext := range []string{".yaml.", ".json.", ".jsonl.", ".safetensors.", ".png.", ".html."} {
		if strings.Contains(name, ext) {
			return true
		}
	}
	return false
}

// Close closes the log, the event file if there is one, and lets other processes open the run.
func (r *Run) Close() error {
	return errors.Join(r.metrics.Close(), r.closeEvents(), r.lock.Close())
}

// Path returns a path inside the run directory.
func (r *Run) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}

// Log appends one line to metrics.jsonl: a JSON object with sorted keys. Numbers that JSON cannot
// hold (NaN, Inf) are written as strings. A run with an event file appends the line and the sample
// sheet of its step there, too: write the sheet first.
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
	return r.logEvent(values)
}
