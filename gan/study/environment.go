package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"afterimage/nn/train"
)

// former tells o.Former with what the trainings found in the study's directory were last computed:
// a study that goes on elsewhere would otherwise mix two arithmetics without a word.
func (r *runner) former() error {
	if r.o.Former == nil {
		return nil
	}
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
		text := bytes.TrimSpace(raw)
		if last := text[bytes.LastIndexByte(text, '\n')+1:]; len(last) > 0 {
			r.o.Former(path, json.RawMessage(last))
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
