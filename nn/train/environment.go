package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Continue adds a line to the run's environment record, which has one for every start, and returns
// the line before it: nil at the first start. A caller warns when the two differ in what the bytes
// of a run depend on, its instruction set.
func (r *Run) Continue(environment any) (last json.RawMessage, err error) {
	line, err := json.Marshal(environment)
	if err != nil {
		return nil, fmt.Errorf("train: environment: %w", err)
	}
	path := r.Path(EnvironmentFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("train: %w", err)
	}
	if text := bytes.TrimSpace(old); len(text) > 0 {
		last = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	return bytes.Clone(last), writeBytes(path, append(append(old, line...), '\n'))
}
