package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A runner runs the stages one after the other as processes of this program.
type runner struct {
	only        string // stages, separated by commas; all if empty
	total       time.Duration
	slack       int      // times that a stage's budget is stretched; 0 is once
	flags       []string // for each stage, too
	out, errOut io.Writer
	unopened    bool // the stage report could not open the GPU
}

// least is the time with which a stage is still begun.
const least = 5 * time.Second

// all runs the stages and prints a summary. A stage that exceeds its budget, or what is left of the
// time for all, is ended, and so is whatever it has started.
func (r *runner) all() bool {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(r.errOut, "gpucheck:", err)
		return false
	}
	forget, err := cacheSomewhere()
	if err != nil {
		fmt.Fprintln(r.errOut, "gpucheck:", err)
		return false
	}
	defer forget()
	good, end := true, time.Now().Add(r.total)
	for _, s := range stages {
		if !r.asked(s.name) {
			continue
		}
		begin := time.Now()
		err := errors.New("no time is left for it")
		if left := time.Until(end); left >= least {
			err = r.stage(self, s.name, min(s.budget*time.Duration(max(r.slack, 1)), left))
		}
		verdict := "ok"
		if err != nil {
			good, verdict = false, "FAILED: "+err.Error()
		}
		l := line{Stage: s.name, Name: "done", OK: err == nil, Means: meaning,
			Values: map[string]any{"seconds": time.Since(begin).Seconds()}}
		if err != nil {
			l.Error = err.Error()
		}
		json.NewEncoder(r.out).Encode(l)
		fmt.Fprintf(r.errOut, "%-14s %6.1f s  %s\n", s.name, time.Since(begin).Seconds(), verdict)
		if r.unopened = errors.Is(err, errUnopened); r.unopened {
			break // no other stage would get further
		}
	}
	return good
}

// report runs the stages, compares their results with those of the file last, if there is one, and
// says what has been reached.
func (r *runner) report(last string, tiny bool) (ok bool) {
	var before []line
	if last != "" {
		var err error
		if before, err = readResults(last); err != nil { // before ten minutes are spent
			fmt.Fprintln(r.errOut, "gpucheck:", err)
			os.Exit(2)
		}
	}
	var results bytes.Buffer
	out := r.out
	r.out = io.MultiWriter(out, &results)
	ok = r.all()
	now, err := parseResults(&results)
	if err != nil {
		fmt.Fprintln(r.errOut, "gpucheck:", err)
	}
	if before != nil {
		compare(before, now, out, r.errOut)
	}
	if r.only == "" && !r.unopened {
		verdict(now, tiny, out, r.errOut)
	}
	return ok
}

// asked reports whether a stage is to be run.
func (r *runner) asked(name string) bool {
	return r.only == "" || slices.Contains(strings.Split(r.only, ","), name)
}

// unknown returns the first of the stages asked for that there is none of; "" if all are known.
func (r *runner) unknown() string {
	for name := range strings.SplitSeq(r.only, ",") {
		if r.only != "" && !slices.ContainsFunc(stages, func(s stage) bool { return s.name == name }) {
			return name
		}
	}
	return ""
}

// stage runs one stage for at most that long. Its error is what the stage itself said first.
func (r *runner) stage(self, name string, budget time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append(r.flags, "-stage", name)...)
	results := &lines{out: r.out, rest: r.errOut}
	defer results.end()
	cmd.Stdout, cmd.Stderr = results, r.errOut
	endAll(cmd)
	cmd.WaitDelay = 2 * time.Second // should something survive, its pipes are not waited for
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return errors.New("over its budget")
	case errors.As(err, &exit) && exit.ExitCode() == codeUnopened:
		return fmt.Errorf("%w: %s", errUnopened, results.failed)
	case err != nil && results.failed != "":
		return errors.New(results.failed)
	}
	return err
}

// errUnopened says that there is no GPU to check.
var errUnopened = errors.New("the GPU cannot be opened")

// codeUnopened is the exit code by which the stage report says so.
const codeUnopened = 3

// lines passes results on, a line at a time as soon as it is whole, and everything else that a
// stage or a library in it has printed to rest: a stage that ends in the middle of a line spoils no
// other's.
type lines struct {
	out, rest io.Writer
	held      []byte
	failed    string // the first result that is none
}

// Write takes part of the output.
func (l *lines) Write(p []byte) (int, error) {
	l.held = append(l.held, p...)
	for {
		end := bytes.IndexByte(l.held, '\n') + 1
		if end == 0 {
			return len(p), nil
		}
		l.pass(l.held[:end])
		l.held = l.held[end:]
	}
}

func (l *lines) pass(text []byte) {
	var r line
	if json.Unmarshal(text, &r) == nil && r.Stage != "" {
		l.out.Write(text)
		if !r.OK && l.failed == "" {
			l.failed = r.Name
			if r.Error != "" {
				l.failed = r.Error
			}
		}
	} else {
		l.rest.Write(text)
	}
}

// end says what is left of a line.
func (l *lines) end() {
	if len(l.held) > 0 {
		l.rest.Write(append(l.held, '\n'))
	}
}

// cacheSomewhere makes sure that the stages share a cache of compiled kernels and chosen plans: the
// user's, or a folder for this run alone where there is none that can be written. forget removes
// that.
func cacheSomewhere() (forget func(), err error) {
	base, err := os.UserCacheDir()
	if err == nil {
		err = os.MkdirAll(base, 0o755)
	}
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(base, ".gpucheck.*"); err == nil {
			probe.Close()
			return func() {}, os.Remove(probe.Name())
		}
	}
	dir, err := os.MkdirTemp("", "gpucheck-cache-")
	if err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(dir) }, os.Setenv("XDG_CACHE_HOME", dir)
}
