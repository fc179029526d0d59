package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
)

// Files of a comparison's folder. RowsFile grows by a line a row, so that a comparison that is cut
// off loses at most the row it was measuring; the others are written anew after each row.
const (
	RowsFile  = "rows.jsonl"
	JSONFile  = "compare.json"
	TableFile = "compare.md"
)

// A Session is one call of the comparison: what was compared, where and how.
type Session struct {
	Date    string         `json:"date"`
	Command string         `json:"command"`
	Threads int            `json:"threads"`
	Rounds  int            `json:"rounds"`
	Seconds float64        `json:"seconds"`
	Modes   []string       `json:"modes,omitempty"` // the other program's ways asked for; nil: all
	Ours    map[string]any `json:"ours"`            // environment of this program
	Theirs  map[string]any `json:"theirs"`          // of the other one
}

// A Record is a comparison on disk.
type Record struct {
	Sessions []Session    `json:"sessions"`
	Rows     []Comparison `json:"rows"`
	dir      string
}

// A recordLine is a line of RowsFile: one of the two.
type recordLine struct {
	Session *Session    `json:"session,omitempty"`
	Row     *Comparison `json:"row,omitempty"`
}

// OpenRecord reads what a folder holds of an earlier comparison, and makes the folder if there is
// none. A last line that was cut off is dropped. Errors: files that cannot be read, or a damaged
// line before the last.
func OpenRecord(dir string) (*Record, error) {
	r := &Record{dir: dir}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	path := filepath.Join(dir, RowsFile)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("bench: %w", err)
	}
	whole := raw[:bytes.LastIndexByte(raw, '\n')+1]
	n := 0
	for text := range strings.Lines(string(whole)) {
		n++
		var l recordLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return nil, tensor.Refuse("bench: %s: line %d is damaged: %w: remove it, or choose another "+
				"folder", path, n, err)
		}
		r.take(l)
	}
	if len(whole) < len(raw) {
		if err := os.Truncate(path, int64(len(whole))); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	return r, nil
}

func (r *Record) take(l recordLine) {
	if l.Session != nil {
		r.Sessions = append(r.Sessions, *l.Session)
	}
	if l.Row == nil {
		return
	}
	l.Row.Session = len(r.Sessions) // by its place in the file, which may be several put together
	if i := r.index(l.Row.Key, l.Row.Threads); i >= 0 {
		r.Rows[i] = *l.Row // measured again
		return
	}
	r.Rows = append(r.Rows, *l.Row)
}

func (r *Record) index(key string, threads int) int {
	return slices.IndexFunc(r.Rows, func(c Comparison) bool {
		return c.Key == key && c.Threads == threads
	})
}

// Find returns a row that is there already.
func (r *Record) Find(key string, threads int) (Comparison, bool) {
	i := r.index(key, threads)
	if i < 0 {
		return Comparison{}, false
	}
	return r.Rows[i], true
}

// Finished is Find for rows that need no further try: one in which a program failed does.
func (r *Record) Finished(key string, threads int) (Comparison, bool) {
	c, ok := r.Find(key, threads)
	return c, ok && !slices.ContainsFunc(c.Notes, func(n string) bool {
		return strings.Contains(n, failed)
	})
}

// Begin notes a session.
func (r *Record) Begin(s Session) error { return r.add(recordLine{Session: &s}) }

// Add appends a row and writes the other files anew.
func (r *Record) Add(c Comparison) error {
	if err := r.add(recordLine{Row: &c}); err != nil {
		return err
	}
	return r.Write()
}

func (r *Record) add(l recordLine) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, RowsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	r.take(l)
	return nil
}

// Write writes the record as JSON and as a table.
func (r *Record) Write() error {
	err := atomicfile.Write(filepath.Join(r.dir, JSONFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(r)
	})
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(r.dir, TableFile), []byte(r.Markdown()))
}

// ReadRecord reads a JSONFile.
func ReadRecord(path string) (*Record, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, tensor.Refuse("bench: %w: give the %s that `afterimage bench compare` wrote", err,
			JSONFile)
	}
	r := &Record{dir: filepath.Dir(path)}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, tensor.Refuse("bench: %s: not a comparison that `afterimage bench compare` wrote: %w",
			path, err)
	}
	return r, nil
}
