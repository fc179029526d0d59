package train

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"

	"afterimage/nn/tensorboard"
)

// EventsFile is what TensorBoard reads of a run that asked for it: the curves of metrics.jsonl and
// the sheets of samples.
const EventsFile = "events.out.tfevents.afterimage"

// SampleFile returns the name of the sample sheet of a step.
func SampleFile(step int) string { return fmt.Sprintf("step-%06d.png", step) }

// TensorBoard makes the run keep an event file beside its log. Call it before Restore, which every
// training begins with: it brings the file to the state of the log, also that of a run that has
// trained for a while without one. A run that has the file already keeps it, asked or not.
func (r *Run) TensorBoard() { r.board = true }

// events yields what an event file has to hold by the log: a version, then the lines' numbers with
// the sheets of their steps.
func (r *Run) events() (iter.Seq[tensorboard.Event], error) {
	info, err := os.Stat(r.Path(ConfigFile))
	if err != nil {
		return nil, err
	}
	r.made = float64(info.ModTime().UnixNano()) / 1e9
	lines, err := ReadMetrics(r.Dir)
	if err != nil {
		return nil, err
	}
	return func(yield func(tensorboard.Event) bool) {
		if !yield(tensorboard.Event{Wall: r.made, Version: tensorboard.Version}) {
			return
		}
		for _, values := range lines {
			if !yield(r.event(values)) {
				return
			}
		}
	}, nil
}

// event turns a line of the log into an event. Its time is the training's: the configuration was
// written, and so many seconds later the step was made, pauses left out; so a line gives the same
// bytes whenever it is written.
func (r *Run) event(values map[string]float64) tensorboard.Event {
	step := int(values["step"])
	e := tensorboard.Event{Wall: r.made + values["seconds"], Step: int64(step)}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if k != "step" && k != "seconds" {
			e.Scalars = append(e.Scalars, tensorboard.Scalar{Tag: k, Value: values[k]})
		}
	}
	sheet, err := os.ReadFile(r.Path(SampleDir, SampleFile(step)))
	if err != nil {
		return e // most steps have none
	}
	if c, err := png.DecodeConfig(bytes.NewReader(sheet)); err == nil {
		e.Images = []tensorboard.Image{{Tag: SampleDir, Height: c.Height, Width: c.Width,
			Channels: 3, PNG: sheet}}
	}
	return e
}

// openEvents brings the event file to the state of the log, if the run has one or asked for it.
func (r *Run) openEvents() error {
	if !r.board {
		if _, err := os.Stat(r.Path(EventsFile)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	events, err := r.events()
	if err != nil {
		return fmt.Errorf("train: events for TensorBoard: %w", err)
	}
	if r.board, err = true, r.closeEvents(); err == nil {
		r.eventFile, err = tensorboard.Sync(r.Path(EventsFile), events)
	}
	return err
}

// logEvent appends a line of the log to the event file, if there is one.
func (r *Run) logEvent(values map[string]float64) error {
	if r.eventFile == nil {
		return nil
	}
	return r.eventFile.Add(r.event(values))
}

func (r *Run) closeEvents() error {
	if r.eventFile == nil {
		return nil
	}
	err := r.eventFile.Close()
	r.eventFile = nil
	return err
}
