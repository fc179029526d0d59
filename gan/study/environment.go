package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"afterimage/gan/report"
	"afterimage/nn/train"
)

// former tells o.Former with what the trainings found in the study's directory were last computed:
// a study that goes on elsewhere would otherwise mix two arithmetics without a word.
func (r *runner) former() error {
	if r.o.Former == nil {
		return nil
	}
	return r.environments(func(path string, starts []json.RawMessage) {
		r.o.Former(path, starts[len(starts)-1])
	})
}

// facts returns what o.Facts says of the trainings' starts.
func (r *runner) facts() (facts []report.Fact, err error) {
	if r.o.Facts == nil {
		return nil, nil
	}
	var all []json.RawMessage
	err = r.environments(func(_ string, starts []json.RawMessage) { all = append(all, starts...) })
	return r.o.Facts(all), err
}

// environments calls f with the records of every training that has any, one for each start, in the
// order of their paths.
func (r *runner) environments(f func(path string, starts []json.RawMessage)) error {
	paths, err := filepath.Glob(r.path("*", train.EnvironmentFile)) // sorted
	if err != nil {
		return err
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var starts []json.RawMessage
		for line := range bytes.Lines(raw) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				starts = append(starts, line)
			}
		}
		if len(starts) > 0 {
			f(path, starts)
		}
	}
	return nil
}

// begin opens the run directory of a training and tells who wants to know.
func (r *runner) begin(dir string, config, stored any) (*train.Run, error) {
	run, err := r.open(dir, config, stored)
	if err != nil || r.o.Opened == nil {
		return run, err
	}
	if err := r.o.Opened(run); err != nil {
		return nil, errors.Join(err, run.Close())
	}
	return run, nil
}

// open opens the run directory of a training, new or to be gone on with; the run notes where it
// goes on.
func (r *runner) open(dir string, config, stored any) (*train.Run, error) {
	if _, err := os.Stat(filepath.Join(dir, train.ConfigFile)); err != nil {
		run, err := train.Create(dir, config, r.o.Environment)
		if err == nil && r.o.TensorBoard {
			run.TensorBoard()
		}
		return run, err
	}
	run, err := train.Open(dir, stored)
	if err != nil {
		return nil, err
	}
	if r.o.TensorBoard {
		run.TensorBoard()
	}
	if _, err := run.Continue(r.o.Environment); err != nil {
		return nil, errors.Join(err, run.Close())
	}
	return run, nil
}
