package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"afterimage/gan/report"
	"afterimage/gan/study"
	"afterimage/nn/train"
	"afterimage/tensor/cpu"
)

type studyCmd struct {
	Preset   string `help:"What to do: a preset's name or a YAML file." default:"scenes-quick" placeholder:"NAME"`
	Data     string `help:"Folder that holds data sets (also AFTERIMAGE_DATA)." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
	Out      string `help:"Folder of the study; an unfinished study there is gone on with." default:"" placeholder:"DIR"`
	Describe bool   `help:"State parameters, work and memory of every part, and train nothing."`
	List     bool   `help:"List the presets."`
	JSON     bool   `help:"Print the description or the result as JSON." name:"json"`
}

// Help lists the presets.
func (studyCmd) Help() string {
	return "Presets: " + strings.Join(study.Presets(), ", ") + "\n\nExamples:\n" +
		"  afterimage study --preset scenes-quick\n" +
		"  afterimage study --preset cifar10-hours --data ~/data --out runs/hours\n" +
		"  afterimage study --preset imagenet128 --describe\n\n" +
		"A study that was stopped goes on where it was when the same command is given again."
}

// Run makes or describes a study.
func (c *studyCmd) Run(e *env) error {
	if c.List {
		for _, name := range study.Presets() {
			s, err := study.Load(name)
			if err != nil {
				return err
			}
			cost := seconds(s.Budget()) + " on two cores"
			if s.DescribeOnly {
				cost = "described only"
			}
			fmt.Fprintf(e.out, "%-14s %24s  %s\n", name, cost, s.Title)
		}
		return nil
	}
	s, err := study.Load(c.Preset)
	if err != nil {
		return err
	}
	if c.Describe {
		return describeStudy(e, s, c.JSON)
	}
	dir := c.Out
	if dir == "" {
		dir = filepath.Join("runs", "study-"+s.Name)
	}
	res, err := e.study(s, dir, c.Data, "afterimage study --preset "+c.Preset)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(res)
	}
	fmt.Fprintf(e.out, "the page is %s\n", filepath.Join(dir, study.ReportFile))
	return nil
}

func seconds(s float64) string { return (time.Duration(s) * time.Second).String() }

// study runs a study with progress on the error stream.
func (e *env) study(s *study.Spec, dir, dataDir, command string) (*study.Result, error) {
	b, err := e.open()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	stopped, done := interrupts()
	defer done()
	var bar *progress
	res, err := study.Run(b, s, study.Options{Dir: dir, Data: dataDir, Environment: describe(b),
		Facts: facts(b), Command: command, Note: func(st study.Stage) {
			if bar != nil {
				bar.close()
				bar = nil
			}
			state := "about " + seconds(st.Budget)
			if st.Done {
				state = "done"
			}
			fmt.Fprintf(e.err, "[%d/%d] %s (%s)\n", st.Number, st.Of, st.Name, state)
		},
		Observe: func(stage string, p train.Progress) {
			if bar == nil {
				bar = newProgress(e.err, "  "+stage, p.Total)
			}
			bar.step(p)
		},
		Stopped: stopped, CPUSeconds: cpuSeconds})
	if bar != nil {
		bar.close()
	}
	if errors.Is(err, train.ErrStopped) {
		return nil, fmt.Errorf("%w: give the same command again", err)
	}
	return res, err
}

// facts describes the machine and the program for a report.
func facts(b *cpu.Backend) []report.Fact {
	d := describe(b)
	return []report.Fact{{Name: "Processor", Value: d.CPU},
		{Name: "Threads", Value: fmt.Sprint(d.Threads)}, {Name: "Kernels", Value: d.Kernels},
		{Name: "Program", Value: "afterimage " + d.Revision},
		{Name: "Go", Value: d.Go + " " + d.Platform}}
}
