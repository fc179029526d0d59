package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/gan/report"
	"afterimage/gan/study"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type studyCmd struct {
	Preset   string `help:"What to do: a preset's name or a YAML file; --list shows them." placeholder:"NAME"`
	Data     string `help:"Folder that holds data sets." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
	Out      string `help:"Folder of the study; an unfinished study there is gone on with (default runs/study-NAME)." default:"" placeholder:"DIR"`
	Describe bool   `help:"State parameters, work and memory of every part, and train nothing."`
	Rehearse bool   `help:"Run a few steps of every training in a folder of its own; print the memory and the time that the study would take here."`
	List     bool   `help:"List the presets."`
	JSON     bool   `help:"Print the description or the result as JSON." name:"json"`
	Board    bool   `help:"Keep event files in the trainings for TensorBoard (tensorboard --logdir OUT)." name:"tensorboard"`
}

// Help lists the presets.
func (studyCmd) Help() string {
	return "Presets: " + strings.Join(study.Presets(), ", ") + "\n\nExamples:\n" +
		"  afterimage study --preset scenes-quick\n" +
		"  afterimage study --preset cifar10-hours --data ~/data --out runs/hours --tensorboard\n" +
		"  afterimage study --preset cifar10 --data ~/data --rehearse\n" +
		"  afterimage study --preset imagenet128 --describe\n\n" +
		"A study that was stopped goes on where it was when the same command is given again.\n" +
		"Given a second time while the first runs, it shares the work, stage by stage."
}

// Run makes or describes a study.
func (c *studyCmd) Run(e *env) error {
	if c.List {
		return listStudies(e, c.JSON)
	}
	if c.Preset == "" {
		return tensor.Refuse("which study? Give --preset one of %s, or a YAML file; --list shows them "+
			"with their costs", strings.Join(study.Presets(), ", "))
	}
	if strings.HasSuffix(c.Preset, ".yaml") && !exists(c.Preset) {
		return tensor.Refuse("--preset %s: no such file: check the path, or give one of %s", c.Preset,
			strings.Join(study.Presets(), ", "))
	}
	s, err := study.Load(c.Preset)
	if err != nil {
		return err
	}
	if c.Describe {
		return describeStudy(e, s, c.Data, c.JSON)
	}
	dir := c.Out
	if dir == "" {
		dir = filepath.Join("runs", "study-"+s.Name)
	}
	b, err := e.open()
	if err != nil {
		return err
	}
	defer b.Close()
	if c.Rehearse {
		return c.rehearse(e, b, s)
	}
	res, err := e.study(b, s, study.Options{Dir: dir, Data: c.Data, Command: c.command(e),
		TensorBoard: c.Board})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(res)
	}
	fmt.Fprintf(e.out, "the page is %s\n", filepath.Join(dir, study.ReportFile))
	return nil
}

// A listedStudy is a preset as --list shows it.
type listedStudy struct {
	Name          string  `json:"name"`
	Title         string  `json:"title"`
	BudgetSeconds float64 `json:"budget_seconds,omitempty"` // on two cores
	DescribeOnly  bool    `json:"describe_only,omitempty"`
}

// listStudies prints the presets with what they cost.
func listStudies(e *env, asJSON bool) error {
	var list []listedStudy
	for _, name := range study.Presets() {
		s, err := study.Load(name)
		if err != nil {
			return err
		}
		l := listedStudy{Name: name, Title: s.Title, DescribeOnly: s.DescribeOnly}
		if !s.DescribeOnly {
			l.BudgetSeconds = s.Budget()
		}
		list = append(list, l)
	}
	if asJSON {
		return json.NewEncoder(e.out).Encode(list)
	}
	for _, l := range list {
		cost := report.Duration(l.BudgetSeconds) + " on two cores"
		if l.DescribeOnly {
			cost = "described only"
		}
		fmt.Fprintf(e.out, "%-14s %24s  %s\n", l.Name, cost, l.Title)
	}
	return nil
}

// command returns the command line that repeats the study, with what was typed of all that its
// numbers depend on. A path that only this machine has is left as a placeholder.
func (c *studyCmd) command(e *env) string {
	preset := c.Preset
	if filepath.IsAbs(preset) {
		preset = filepath.Base(preset)
	}
	line := "afterimage study --preset " + shellWord(preset)
	// AFTERIMAGE_DATA is given, too, and is nobody else's
	if e.isGiven("data") {
		line += " --data " + shellWord(portable(c.Data, "DATA"))
	} else if _, ok := os.LookupEnv("AFTERIMAGE_DATA"); ok && c.Data != "" {
		line += " --data DATA"
	}
	if c.Out != "" {
		line += " --out " + shellWord(portable(c.Out, "OUT"))
	}
	return line + e.arithmetic()
}

// arithmetic returns the flags that choose other last digits, as they were given.
func (e *env) arithmetic() (flags string) {
	if !e.cli.Winograd {
		flags += " --no-winograd"
	}
	if e.cli.Precision != "f32" {
		flags += " --precision " + e.cli.Precision
	}
	if e.cli.TF32 {
		flags += " --tf32"
	}
	return flags
}

// shellWord returns an argument as a shell takes it for one: in quotes where it has to be.
func shellWord(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=,+@%", r)
	}
	if arg != "" && !strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// portable returns a path as it was typed, or a placeholder for an absolute one.
func portable(path, placeholder string) string {
	if filepath.IsAbs(path) {
		return placeholder
	}
	return path
}

// study runs a study with progress on the error stream. What o does not say of the machine and of
// who listens is filled in.
func (e *env) study(b device, s *study.Spec, o study.Options) (*study.Result, error) {
	now, warned := e.describe(b), false
	stopped, done := e.interrupts()
	defer done()
	o.Environment, o.Stopped, o.CPUSeconds, o.PeakMemory = now, stopped, cpuSeconds, peakMemory
	o.Former = func(path string, last json.RawMessage) {
		if !warned { // one line for a study, not one for each of its trainings
			warned = e.warnOtherKernels("study", path, last, now)
		}
	}
	o.Opened = func(r *train.Run) error { return e.keepPlans(b, r.Path(train.PlansFile)) }
	o.Facts = func(trained []json.RawMessage) []report.Fact { return studyFacts(now, trained) }
	var bar *progress
	o.Note = func(st study.Stage) {
		if bar != nil {
			bar.close()
			bar = nil
		}
		state := ""
		switch {
		case st.Done:
			state = " (done)"
		case st.Budget > 0:
			state = " (about " + report.Duration(st.Budget) + ")"
		}
		fmt.Fprintf(e.err, "[%d/%d] %s%s\n", st.Number, st.Of, st.Name, state)
	}
	o.Remark = func(text string) {
		if e.isGiven("data") { // else nobody asked for what lies there
			fmt.Fprintln(e.err, text)
		}
	}
	o.Observe = func(stage string, p train.Progress) {
		if bar == nil {
			bar = newProgress(e.err, "  "+stage, p.Total)
		}
		bar.step(p)
	}
	o.Waiting = func() { fmt.Fprintln(e.err, "waiting for another process of this study") }
	res, err := study.Run(b, s, o)
	if bar != nil {
		bar.close()
	}
	if errors.Is(err, train.ErrStopped) {
		return nil, fmt.Errorf("%w: give the same command again", err)
	}
	return res, err
}

// studyFacts describes for a report what computed a study's trainings, as their starts recorded it.
// Whoever writes the page again may be another program on another machine, and is named beside them
// if so; it is all there is where nothing was trained.
func studyFacts(now environment, trained []json.RawMessage) []report.Fact {
	var all []environment
	for _, raw := range trained {
		var e environment
		if json.Unmarshal(raw, &e) == nil { // a line cut short by a crash is no record
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return facts(now)
	}
	out := facts(all...)
	ours := func(e environment) bool { return e.build() == now.build() }
	if !slices.ContainsFunc(all, ours) {
		out = append(out, report.Fact{Name: "Page written by", Value: now.build()})
	}
	return out
}

// facts describes machines and programs for a report: of each property the values, in the order in
// which they first appear.
func facts(all ...environment) (out []report.Fact) {
	for _, f := range []struct {
		name  string
		value func(e environment) string
	}{
		{"Processor", func(e environment) string { return e.CPU }},
		{"Device", func(e environment) string {
			if e.Device == nil {
				return ""
			}
			return e.Device.Name
		}},
		{"Threads", func(e environment) string {
			if e.Device != nil {
				return ""
			}
			return fmt.Sprint(e.Threads)
		}},
		{"Kernels", func(e environment) string { return e.Kernels }},
		{"Program", environment.build},
		{"Go", func(e environment) string { return e.Go + " " + e.Platform }},
	} {
		var values []string
		for _, e := range all {
			if v := f.value(e); v != "" && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			out = append(out, report.Fact{Name: f.name, Value: strings.Join(values, "; ")})
		}
	}
	return out
}

// build names the program that an environment's record was made by.
func (e environment) build() string { return "afterimage " + e.Revision }
