package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"afterimage/gan"
	"afterimage/gan/report"
	"afterimage/gan/shipped"
	"afterimage/gan/study"
	"afterimage/tensor"
)

// openInverter opens a run directory, a folder of weights, or weights that are part of the program
// ("shipped:scenes-robust").
func openInverter(s *tensor.Scope, path string) (*gan.Inverter, error) {
	if name, ok := strings.CutPrefix(path, shipped.Prefix); ok {
		return shipped.Open(s, name)
	}
	if exists(path) && !isDir(path) {
		return nil, tensor.Refuse("%s is a file: expected the run directory or the folder that holds an "+
			"inverter, or shipped:%s", path, strings.Join(shipped.Names(), " or shipped:"))
	}
	v, err := gan.OpenInverter(s, path)
	if errors.Is(err, fs.ErrNotExist) && !exists(path) {
		return nil, tensor.Refuse("%s: no such folder: give a run directory, a folder of weights, or "+
			"shipped:%s", path, strings.Join(shipped.Names(), " or shipped:"))
	}
	return v, withoutStat(err)
}

// withoutStat ends a message about a missing file before what the system said about its path, which
// the message has already.
func withoutStat(err error) error {
	var missing *fs.PathError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := err.Error()
	if at := strings.Index(text, ": checkpoint: Open:"); at > 0 {
		return mended{text[:at] + "; give a run directory that is done, a folder of weights, or " +
			"shipped:scenes-robust", err}
	}
	return err
}

// A mended error has another text than the one it wraps.
type mended struct {
	text string
	error
}

func (m mended) Error() string { return m.text }

func (m mended) Unwrap() error { return m.error }

type demoCmd struct {
	Out     string `help:"Folder for the pages." default:"runs/demo" placeholder:"DIR"`
	Shipped bool   `help:"Only show the shipped weights; train nothing."`
}

// Help says what the demonstration does and how long it takes.
func (demoCmd) Help() string {
	return `Two pages: first, within seconds on an idle machine, what the two shipped classifiers let
through of drawn scenes; then the same study once more from scratch, training included. Started
again, an unfinished study goes on where it was.

Examples:
  afterimage demo
  afterimage demo --shipped --out /tmp/look`
}

// Run makes both pages.
func (c *demoCmd) Run(e *env) error {
	s, err := study.Load("scenes-quick")
	if err != nil {
		return err
	}
	b, err := e.open() // before anything is promised
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Fprintf(e.out, "1. The shipped weights: a page within about %s on an idle machine.\n",
		report.Duration(shippedBudget))
	if !c.Shipped {
		fmt.Fprintf(e.out, "2. The same from scratch, training included: about %s on two idle cores.\n",
			report.Duration(s.Budget()))
	}
	if err := makeFolder("out", c.Out); err != nil {
		return err
	}
	start := time.Now()
	page := filepath.Join(c.Out, "shipped.html")
	if err := e.shippedPage(b, page, c.command("afterimage demo --shipped", e)); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\n%s after %s. Open it in a browser: in the first row what the "+
		"classifiers\nsaw, below it what the ten logits of each let through.\n\n",
		page, time.Since(start).Round(100*time.Millisecond))
	if c.Shipped {
		return nil
	}
	dir := filepath.Join(c.Out, "study")
	o := study.Options{Dir: dir, Data: "data", Command: c.command("afterimage demo", e)}
	if _, err := e.study(b, s, o); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\n%s: the same page, made from nothing in %s.\n",
		filepath.Join(dir, study.ReportFile), time.Since(start).Round(time.Second))
	return nil
}

// command returns the command line that repeats a page of the demonstration.
func (c *demoCmd) command(line string, e *env) string {
	if e.isGiven("out") {
		line += " --out " + shellWord(portable(c.Out, "OUT"))
	}
	return line + e.arithmetic()
}

// shippedBudget is a round number of seconds above the 3.8 that the first page took on two idle
// cores (bench/results).
const shippedBudget = 10

// shippedPage writes the page of the shipped weights.
func (e *env) shippedPage(b device, path, command string) error {
	var names []string
	for _, n := range shipped.Names() {
		names = append(names, strings.TrimPrefix(n, "scenes-")+"-logits")
	}
	page, res, err := study.Shipped(b, study.Shipment{Title: "What ten logits keep of a drawn scene",
		Dataset: "scenes", Open: shipped.Open, Inverters: shipped.Names(), Names: names,
		Compare: [2]string{"robust-logits", "standard-logits"}, Seed: 1, Facts: facts(e.describe(b)),
		Command: command})
	if err != nil {
		return err
	}
	if err := page.WriteFile(path); err != nil {
		return err
	}
	return report.WritePNG(filepath.Join(filepath.Dir(path), study.SheetFile), res.Lead.Draw())
}
