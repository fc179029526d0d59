package tensorboard

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
)

// A File is an event file open for more events.
type File struct {
	f  *os.File
	at int64
}

// Sync opens or makes the file at path and makes it hold events and no others: what it has of them
// stays, the rest is cut off and written. The first event should have a Version.
func Sync(path string, events iter.Seq[Event]) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	t, same := &File{f: f}, true
	for e := range events {
		record := e.Append(nil)
		if same {
			have := make([]byte, len(record))
			_, err := f.ReadAt(have, t.at)
			same = err == nil && bytes.Equal(have, record)
			if !same {
				err = f.Truncate(t.at)
			}
			if err != nil {
				return nil, fmt.Errorf("tensorboard: %w", closed(f, err))
			}
		}
		if same {
			t.at += int64(len(record))
		} else if err := t.write(record); err != nil {
			return nil, closed(f, err)
		}
	}
	if err := f.Truncate(t.at); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", closed(f, err))
	}
	return t, nil
}

// closed closes f and returns err.
func closed(f io.Closer, err error) error {
	_ = f.Close() // what went wrong before matters
	return err
}

// Add appends an event.
func (t *File) Add(e Event) error { return t.write(e.Append(nil)) }

// write appends a record whole, so that a reader sees no half of one for longer than one write.
func (t *File) write(record []byte) error {
	n, err := t.f.WriteAt(record, t.at)
	if err != nil {
		// a half record would hide what follows
		_ = t.f.Truncate(t.at)
		return fmt.Errorf("tensorboard: %w", err)
	}
	t.at += int64(n)
	return nil
}

// Close closes the file.
func (t *File) Close() error { return t.f.Close() }
