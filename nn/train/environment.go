package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"afterimage/tensor/atomicfile"
)

// Continue notes where a run goes on. The note becomes a line of the environment record, which has
// one for every start, once Restore has succeeded: a resume that fails leaves no trace. The result
// is the record's last line, nil without one. A caller warns when the two differ in what the bytes
// of a run depend on, its instruction set.
func (r *Run) Continue(environment any) (last json.RawMessage, err error) {
	line, err := json.Marshal(environment)
	if err != nil {
		return nil, fmt.Errorf("train: environment: %w", err)
	}
	old, err := os.ReadFile(r.Path(EnvironmentFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("train: %w", err)
	}
	if text := bytes.TrimSpace(old); len(text) > 0 {
		last = bytes.Clone(text[bytes.LastIndexByte(text, '\n')+1:])
	}
	r.environment = append(append(old, line...), '\n')
	return last, nil
}

// record writes what Continue noted.
func (r *Run) record() error {
	if r.environment == nil {
		return nil
	}
	if err := atomicfile.WriteBytes(r.Path(EnvironmentFile), r.environment); err != nil {
		return err
	}
	r.environment = nil
	return nil
}
