package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"afterimage/bench"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// rowsOnly compiles the flag --only; empty selects all rows.
func rowsOnly(text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	only, err := regexp.Compile(text)
	if err != nil {
		return nil, tensor.Refuse("--only: %w", err)
	}
	return only, nil
}

func noRow(only string) error {
	return tensor.Refuse("--only %q matches no row; without it all rows are shown", only)
}

// serveCommand is the command line that starts this program as a server of measurements.
func (e *env) serveCommand(threads int) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	command := []string{self, "--threads", strconv.Itoa(threads)}
	command = append(command, strings.Fields(e.arithmetic())...)
	return append(command, "bench", "serve"), nil
}

type benchRowsCmd struct{}

// Help says what the list is for.
func (benchRowsCmd) Help() string {
	return `The list is what both programs of a comparison work from; bench/pytorch/rows.json is a
copy, and a test says when it is out of date.

Examples:
  afterimage bench rows`
}

// Run prints the catalogue.
func (benchRowsCmd) Run(e *env) error {
	text, err := bench.NewCatalogue().JSON()
	if err != nil {
		return err
	}
	_, err = e.out.Write(text)
	return err
}

type benchServeCmd struct{}

// Help says who asks.
func (benchServeCmd) Help() string {
	return `Reads a request, a line of JSON, from standard input and writes the answer, a line of
JSON, to standard output, until the input ends: how "afterimage bench compare" keeps both
programs ready. bench/README.md describes the lines.

Examples:
  echo '{"op":"hello"}' | afterimage bench serve`
}

// Run answers requests.
func (benchServeCmd) Run(e *env) error {
	b, err := e.openCPU()
	if err != nil {
		return err
	}
	b.Close() // the options are good; every measurement opens a backend of its own
	var environment map[string]any
	raw, err := json.Marshal(e.describe(b))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &environment); err != nil {
		return err
	}
	open := func() *cpu.Backend { return cpu.OpenLike(b, b.Threads()) }
	return bench.Serve(open, os.Stdin, e.out, environment)
}

type benchCompareCmd struct {
	Python  string   `help:"Python interpreter that has PyTorch (bench/pytorch/README.md): a path, or a name on PATH." required:"" placeholder:"FILE"`
	Script  string   `help:"The PyTorch side." default:"bench/pytorch/bench.py" placeholder:"FILE"`
	Only    string   `help:"Only rows whose key, or name and shape, match." placeholder:"REGEXP"`
	Each    []int    `help:"Numbers of threads to compare with, one after the other; --threads gives a single one." default:"2,1" placeholder:"N"`
	Rounds  int      `help:"How often the two take turns on a row." default:"5"`
	Seconds float64  `help:"Time for each row, program and turn; one run is made in any case." default:"0.2"`
	Modes   []string `help:"PyTorch's ways to try of eager, eager-cl, compile, compile-cl, freeze; all if not given." placeholder:"MODE"`
	Flush   bool     `help:"Let PyTorch flush denormal numbers to zero." name:"flush-denormal"`
	Malloc  string   `help:"C library's malloc under PyTorch's times: tuned to keep what is freed, or as the system has it (default). Memory and start are measured with the latter." enum:"tuned,default" default:"tuned"`
	Out     string   `help:"Folder for rows, table, JSON and pictures; rows that are in it already are not measured again." default:"bench-compare" placeholder:"DIR"`
}

// Help explains the procedure.
func (benchCompareCmd) Help() string {
	return `Both programs are started once and kept; on each row they take turns, ours, theirs,
ours, theirs, …, never at the same time. In the first round PyTorch tries every mode, in
the others those within 10 % of its best. Its malloc keeps what is freed, which makes it
faster, but where memory or start is measured. Every row is written as soon as it is there: a
comparison that was cut off goes on where it was with the same --out. The record is made to
be shown: of absolute paths in the command line it keeps the last element.

Examples:
  afterimage bench compare --python ~/torchvenv/bin/python
  afterimage bench compare --python ~/torchvenv/bin/python --only '^step/' --threads 2
  afterimage bench compare --python ~/torchvenv/bin/python --only '^conv/' --modes eager,eager-cl`
}

// Run compares, first with the first number of threads.
func (c *benchCompareCmd) Run(e *env) error {
	only, err := c.check(e)
	if err != nil {
		return err
	}
	all := bench.NewCatalogue()
	list := append(slices.Clone(all.Steps), all.Kernels...) // what matters most comes first
	if !slices.ContainsFunc(list, func(s bench.Spec) bool { return s.Matches(only) }) {
		return noRow(c.Only)
	}
	record, err := bench.OpenRecord(c.Out)
	if err != nil {
		return err
	}
	each := c.Each
	if e.isGiven("threads") {
		each = []int{e.cli.Threads}
	}
	for _, threads := range each {
		if err := c.compare(e, record, list, only, threads); err != nil {
			return err
		}
	}
	if err := record.Write(); err != nil {
		return err
	}
	return plotAll(e, record, c.Out)
}

// check returns the rows that are asked for.
func (c *benchCompareCmd) check(e *env) (*regexp.Regexp, error) {
	if e.cli.Precision != "f32" {
		return nil, tensor.Refuse("--precision %s: a comparison measures it in rows of their own, "+
			"against PyTorch's: leave it out, and give --only 'bf16$' for those alone", e.cli.Precision)
	}
	switch bad := slices.IndexFunc(c.Each, func(n int) bool { return n < 1 || n > 1024 }); {
	case c.Rounds < 1:
		return nil, tensor.Refuse("--rounds %d: expected 1 or more", c.Rounds)
	case bad >= 0:
		return nil, tensor.Refuse("--each %d: expected 1 to 1024", c.Each[bad])
	}
	if err := checkSeconds(c.Seconds); err != nil {
		return nil, err
	}
	for _, m := range c.Modes {
		if !slices.Contains([]string{bench.Eager, bench.EagerCL, bench.Compile, bench.CompileCL,
			bench.Freeze}, m) {
			return nil, tensor.Refuse("--modes %s: expected some of eager, eager-cl, compile, compile-cl, "+
				"freeze", m)
		}
	}
	if _, err := exec.LookPath(c.Python); err != nil {
		return nil, tensor.Refuse("--python %s: %w: bench/pytorch/README.md says how to install PyTorch",
			c.Python, errors.Unwrap(err))
	}
	if !exists(c.Script) {
		return nil, tensor.Refuse("--script %s: no such file: run in the repository, or name it",
			c.Script)
	}
	return rowsOnly(c.Only)
}

// other is the command line that starts PyTorch as a server of measurements.
func (c *benchCompareCmd) other(threads int, tuned bool) []string {
	command := []string{c.Python, c.Script, "serve", "--threads", strconv.Itoa(threads)}
	if c.Flush {
		command = append(command, "--flush-denormal")
	}
	if tuned {
		command = append(command, "--tune-malloc")
	}
	return command
}

// compare measures every row with one number of threads.
func (c *benchCompareCmd) compare(
	e *env, record *bench.Record, list []bench.Spec, only *regexp.Regexp, threads int,
) error {
	self, err := e.serveCommand(threads)
	if err != nil {
		return err
	}
	ours, theirs := bench.Start(self), bench.Start(c.other(threads, c.Malloc == "tuned"))
	s := bench.Session{Date: time.Now().UTC().Format(time.RFC3339), Threads: threads,
		Command: published(os.Args[1:]), Rounds: c.Rounds, Seconds: c.Seconds, Modes: c.Modes}
	if s.Ours, err = bench.Hello(ours); err != nil {
		return err
	}
	if s.Theirs, err = bench.Hello(theirs); err != nil {
		return tensor.Refuse("--python %s: %w", c.Python, err)
	}
	if err := record.Begin(s); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "threads %d, rounds %d of %g s; rows go to %s\n", threads, c.Rounds, c.Seconds,
		filepath.Join(c.Out, bench.TableFile))
	o := bench.CompareOptions{Only: only, Threads: threads, Rounds: c.Rounds, Seconds: c.Seconds,
		Modes: c.Modes, Fresh: bench.Start(c.other(threads, false)), Done: record.Finished,
		Observe: func(r bench.Comparison) error {
			fmt.Fprintln(e.out, r)
			return record.Add(r)
		}}
	if err := bench.Compare(list, ours, theirs, o); err != nil {
		return err
	}
	for _, m := range record.Means(threads) {
		fmt.Fprintf(e.out, "%-28s %3d rows  mean ratio %.2f (%.2f … %.2f), smallest %.2f %s\n", m.Group,
			m.Rows, m.Ratio, m.Low, m.High, m.Worst, m.Row)
	}
	return nil
}

type benchPlotCmd struct {
	File string `arg:"" help:"compare.json of a comparison."`
	Out  string `help:"Folder for the pictures; the file's own if not given." placeholder:"DIR"`
}

// Help shows an example.
func (benchPlotCmd) Help() string {
	return `Draws, as SVG and PNG for each number of threads, the groups' mean ratios, the steps'
ratios, and the kernels' shares of what the machine can do.

Examples:
  afterimage bench plot bench-compare/compare.json`
}

// Run draws.
func (c *benchPlotCmd) Run(e *env) error {
	record, err := bench.ReadRecord(c.File)
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = filepath.Dir(c.File)
	}
	return plotAll(e, record, c.Out)
}

func plotAll(e *env, record *bench.Record, dir string) error {
	paths, err := record.Plot(dir)
	for _, p := range paths {
		fmt.Fprintln(e.out, p)
	}
	return err
}

// typed returns the command line as a shell takes it.
func typed(args []string) string {
	line := "afterimage"
	for _, a := range args {
		line += " " + shellWord(a)
	}
	return line
}

// published is typed for a record that is made to be shown to others: of an absolute path, which
// only this machine has, it keeps the last element.
func published(args []string) string {
	short := make([]string, len(args))
	for i, a := range args {
		short[i] = portable(a, filepath.Base(a))
	}
	return typed(short)
}
