package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"afterimage/gan/report"
	"afterimage/gan/study"
	"afterimage/nn/data"
	"afterimage/nn/train"
)

// rehearsalSteps is how many steps of each training a rehearsal runs: the first ones fill the
// pools, the rest are timed.
const rehearsalSteps = 8

// A rehearsal is what --rehearse prints.
type rehearsal struct {
	Study     string           `json:"study"`
	PeakBytes int64            `json:"peak_bytes"` // resident, of all stages
	Trainings float64          `json:"trainings_seconds"`
	Stages    []rehearsedStage `json:"stages"`
}

// A rehearsedStage is one stage: what it took of memory, and how long its training would be.
type rehearsedStage struct {
	Name        string  `json:"stage"`
	PeakBytes   int64   `json:"peak_bytes"`
	StepSeconds float64 `json:"seconds_per_step,omitempty"`
	Steps       int     `json:"steps,omitempty"` // of the whole training

	start, end time.Time // of the steps that are timed
	timed      int
}

// rehearse runs a study with its trainings cut short in a folder of its own and prints what the
// whole would take on this machine.
func (c *studyCmd) rehearse(e *env, b device, s *study.Spec) error {
	set, err := data.Open(s.Dataset, c.Data, data.Options{Train: s.TrainImages, Test: s.TestImages})
	if err != nil {
		return err
	}
	images := set.Train.Len()
	short := s.Rehearsal(images, rehearsalSteps)
	dir, err := os.MkdirTemp("", "afterimage-rehearsal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	set = nil // the study reads the data itself: twice would count twice
	steps := s.Steps(images)
	found := map[string]*rehearsedStage{}
	stopped, done := e.interrupts()
	defer done()
	res, err := study.Run(b, short, study.Options{Dir: dir, Data: c.Data, Environment: e.describe(b),
		PeakMemory: peakMemory, CPUSeconds: cpuSeconds, Stopped: stopped,
		Note: func(st study.Stage) {
			fmt.Fprintf(e.err, "[%d/%d] %s\n", st.Number, st.Of, st.Name)
		},
		Observe: func(stage string, p train.Progress) {
			r := found[stage]
			if r == nil {
				r = &rehearsedStage{Name: stage, Steps: steps[stage]}
				found[stage] = r
			}
			r.step(p.Step, p.Total)
		}})
	if err != nil {
		return ofRehearsal(err)
	}
	out := rehearsal{Study: s.Name}
	for _, st := range res.Stages {
		r := found[st.Name]
		if r == nil {
			r = &rehearsedStage{Name: st.Name}
		}
		r.PeakBytes = st.PeakBytes
		out.add(*r)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(out)
	}
	fmt.Fprint(e.out, out.text())
	return nil
}

// ofRehearsal is what is said of a study that was cut short: a training that was stopped names the
// folder to go on with, which is gone by then.
func ofRehearsal(err error) error {
	if errors.Is(err, train.ErrStopped) {
		return fmt.Errorf("rehearsal: %w: it keeps nothing, give the same command again",
			train.ErrStopped)
	}
	return fmt.Errorf("rehearsal: %w", err)
}

// step notes when a step ended. The last one is not timed: it holds the checkpoint and the sheets.
func (r *rehearsedStage) step(step, total int) {
	now := time.Now()
	switch {
	case step <= 2 || r.start.IsZero():
		r.start = now
	case step < total:
		r.end = now
		r.timed++
		r.StepSeconds = r.end.Sub(r.start).Seconds() / float64(r.timed)
	}
}

func (r *rehearsal) add(st rehearsedStage) {
	r.Stages = append(r.Stages, st)
	r.PeakBytes = max(r.PeakBytes, st.PeakBytes)
	r.Trainings += st.StepSeconds * float64(st.Steps)
}

// text lays a rehearsal out as a table: the stages that train, and the largest of the others.
func (r *rehearsal) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %10s %12s %9s %12s\n", r.Study, "peak", "a step", "steps", "together")
	trainings, others := int64(0), int64(0)
	for _, st := range r.Stages {
		if st.Steps == 0 {
			others = max(others, st.PeakBytes)
			continue
		}
		trainings = max(trainings, st.PeakBytes)
		fmt.Fprintf(&b, "%-32s %7d MB %9.0f ms %9d %12s\n", st.Name, st.PeakBytes/1e6,
			1e3*st.StepSeconds, st.Steps, report.Duration(st.StepSeconds*float64(st.Steps)))
	}
	fmt.Fprintf(&b, "%-32s %7d MB\n", "measurements, cut short", others/1e6)
	fmt.Fprintf(&b, "%-32s %7d MB %35s\n", "all trainings", trainings/1e6,
		report.Duration(r.Trainings))
	return b.String()
}
