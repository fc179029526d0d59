// Gpucheck is for the moment a GPU is at hand: one program, carried there, that tries all of
// package cuda on the card in under ten minutes and writes what it found as JSON, a line as soon as
// there is one. Stages are processes of their own, each with a budget, so that none takes another
// down.
//
//	gpucheck [-only report,compile,…] [-last FILE] [-pytorch DIR] [-tiny] [-device cuda:0]
//
// Standard output is kept under bench/results/gpu; -last names the file of an earlier run, with
// which every speed is compared at the end. -pytorch names this repository's bench/pytorch, whose
// networks the script of the stage pytorch takes. gpumon beside the program, or on PATH, tells the
// joules. -tiny shrinks every shape, for the rehearsal on a fake GPU. The exit code is 1 if a check
// failed; being slower than last time is none.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"afterimage/cuda"
	"afterimage/tensor"
)

// A stage is one part of the check.
type stage struct {
	name   string
	budget time.Duration
	run    func(*check) error
}

// stages in the order of what must be known first. The budgets add up to ten minutes. Compilation
// fills the cache for all stages after it; its budget is what two busy cores would need.
var stages = []stage{
	{"report", 15 * time.Second, report},
	{"compile", 110 * time.Second, compile},
	{"conformance", 80 * time.Second, conformance},
	{"convolutions", 80 * time.Second, convolutions},
	{"ceilings", 25 * time.Second, ceilings},
	{"agreement", 55 * time.Second, agreement},
	{"steps", 120 * time.Second, steps},
	{"pytorch", 115 * time.Second, pytorch},
}

// A check is what a stage works with.
type check struct {
	device  string
	tiny    bool
	pytorch string // the folder of PyTorch's networks
	out     *json.Encoder
	failed  bool
}

// A line is one result. What a stage measures stands in Values.
type line struct {
	Stage  string         `json:"stage"`
	Name   string         `json:"name"`
	OK     bool           `json:"ok"`
	Values map[string]any `json:"values,omitempty"`
	Error  string         `json:"error,omitempty"`
}

func main() {
	c := &check{out: json.NewEncoder(os.Stdout)}
	only := flag.String("only", "", "stages to run, separated by commas; all if empty")
	inside := flag.String("stage", "", "run one stage in this process (used by gpucheck itself)")
	flag.StringVar(&c.device, "device", "cuda:0", "the GPU")
	last := flag.String("last", "", "results of an earlier run, to compare with")
	flag.StringVar(&c.pytorch, "pytorch", "bench/pytorch", "the folder of PyTorch's networks")
	flag.BoolVar(&c.tiny, "tiny", false, "small shapes, for a rehearsal")
	flag.Parse()
	ok := false
	if *inside != "" {
		ok = c.inside(*inside)
	} else {
		var before []line
		if *last != "" {
			var err error
			if before, err = readResults(*last); err != nil { // before ten minutes are spent
				fmt.Fprintln(os.Stderr, "gpucheck:", err)
				os.Exit(2)
			}
		}
		var results bytes.Buffer
		ok = runAll(*only, os.Args[1:], io.MultiWriter(os.Stdout, &results), os.Stderr)
		if before != nil {
			now, err := parseResults(&results)
			if err != nil {
				fmt.Fprintln(os.Stderr, "gpucheck:", err)
			}
			compare(before, now, os.Stdout, os.Stderr)
		}
	}
	if !ok {
		os.Exit(1)
	}
}

// inside runs one stage; what goes wrong becomes a line of its own.
func (c *check) inside(name string) bool {
	for _, s := range stages {
		if s.name != name {
			continue
		}
		var err error
		if misuse := tensor.Try(func() { err = s.run(c) }); misuse != nil {
			err = misuse
		}
		if err != nil {
			c.say(line{Stage: name, Name: "stage", Error: err.Error()})
		}
		return !c.failed
	}
	fmt.Fprintf(os.Stderr, "gpucheck: no stage %q\n", name)
	return false
}

// say writes a line at once.
func (c *check) say(l line) {
	c.failed = c.failed || !l.OK
	c.out.Encode(l)
}

// open opens the GPU.
func (c *check) open(o cuda.Options) (*cuda.Backend, error) { return cuda.Open(c.device, o) }

// runAll runs the stages one after the other as processes of this program, with its flags, and
// prints a summary to errOut. A stage that exceeds its budget is ended.
func runAll(only string, flags []string, out, errOut io.Writer) bool {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(errOut, "gpucheck:", err)
		return false
	}
	good := true
	for _, s := range stages {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), s.budget)
		cmd := exec.CommandContext(ctx, self, append(flags, "-stage", s.name)...)
		cmd.Stdout, cmd.Stderr = out, errOut
		err := cmd.Run()
		if ctx.Err() != nil {
			err = errors.New("over its budget")
		}
		cancel()
		verdict := "ok"
		if err != nil {
			good, verdict = false, "FAILED: "+err.Error()
		}
		json.NewEncoder(out).Encode(line{Stage: s.name, Name: "done", OK: err == nil,
			Values: map[string]any{"seconds": time.Since(begin).Seconds()}})
		fmt.Fprintf(errOut, "%-14s %6.1f s  %s\n", s.name, time.Since(begin).Seconds(), verdict)
	}
	return good
}
