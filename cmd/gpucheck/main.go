// Gpucheck is for the moment a GPU is at hand: one program, carried there, that tries all of
// package cuda on the card in under ten minutes and writes what it found as JSON, a line as soon as
// there is one. Stages are processes of their own, each with a budget, so that none takes another
// down; what matters most comes first within each, since a stage may be ended before its end. The
// last lines, of the stage verdict, say for each thing that a card is asked what was measured and
// whether that is enough, or why nothing was; so they do for people on standard error.
//
//	gpucheck [-only report,compile,…] [-total 9m] [-last FILE] [-pytorch DIR] [-envelope FILE]
//	    [-tiny] [-device cuda:0]
//	gpucheck -record [-envelope FILE]
//
// Built where Go is, with gpumon, which tells the joules, beside it, and packed with the script's
// networks and the CPU's loss curves, so that one file is carried, bin/gpucheck.tgz:
//
//	make gpucheck
//
// Run where the GPU is, in the folder into which that was unpacked, with nothing installed but a
// driver; the libraries and PyTorch are found in the environment of the python3 on PATH:
//
//	bin/gpucheck -last bench/results/gpu/last.jsonl >gpucheck.jsonl
//
// or without -last the first time. Standard output is kept under bench/results/gpu; -last names the
// file of an earlier run, with which every speed is compared at the end, if that was of the same
// card and means the same. -total is the time for all stages: one that begins late gets what is
// left. -pytorch names this repository's bench/pytorch, whose networks the script of the stage
// pytorch takes. -tiny shrinks every shape, for the rehearsal on a fake GPU. The exit code is 1 if
// a check failed; being slower than last time or than asked is none, nor is a stage left out for
// lack of what it runs: PyTorch, the profiler CUPTI, which comes with it, or NVIDIA's
// compute-sanitizer, which goes through a step of small networks where it is on PATH, in the
// toolkit or among Python's packages (nvidia-cuda-sanitizer-api).
//
// The stage agreement holds 200 steps of ResNet-20 and of BigGAN-32 against loss curves that the
// CPU has made beforehand, since a lent card is not lent for that: -record makes them, in minutes,
// and writes the file that -envelope names; make envelope does it. Another configuration than the
// file's is refused. Package bench/envelope says how curves are judged.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
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

// stages in the order of what must be known first. The budgets add up to seven minutes, of which
// compute-sanitizer and the profiler cost nothing where they are not; PyTorch, which compiles for
// minutes, comes last and has the rest of -total, whose nine minutes leave a machine that is lent
// for ten the time to start and to hand the results over. Compilation fills the cache for all
// stages after it.
var stages = []stage{
	{"report", 15 * time.Second, report},
	{"compile", 40 * time.Second, compile},
	{"conformance", 50 * time.Second, conformance},
	{"ceilings", 15 * time.Second, ceilings},
	{"agreement", 45 * time.Second, agreement},
	{"steps", 75 * time.Second, steps},
	{"idle", 25 * time.Second, idle},
	{"leak", 30 * time.Second, leak},
	{"resume", 20 * time.Second, resume},
	{"faults", 10 * time.Second, faults},
	{"attention", 15 * time.Second, attention},
	{"convolutions", 25 * time.Second, convolutions},
	{"hopper", 10 * time.Second, hopper},
	{"sanitize", 45 * time.Second, sanitize},
	{"pytorch", theRest, pytorch},
}

// within are stages that others start: under a tool, or to be killed.
var within = []stage{{"small", theRest, small}, {"trained", theRest, trained}}

// theRest is the budget of a stage that has whatever is left.
const theRest = time.Hour

// A check is what a stage works with.
type check struct {
	device   string
	tiny     bool
	pytorch  string // the folder of PyTorch's networks
	envelope string // the file of the CPU's runs
	run      string // the directory of the stage trained
	out      *json.Encoder
	failed   bool
	unopened bool // there is no GPU to go on with
}

// A line is one result. What a stage measures stands in Values.
type line struct {
	Stage  string         `json:"stage"`
	Name   string         `json:"name"`
	OK     bool           `json:"ok"`
	Means  int            `json:"means,omitempty"` // meaning, when it was written
	Values map[string]any `json:"values,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// meaning is the version of what the measures are of; one that changes what a name measures raises
// it. Speeds are compared only with those of the same. 2: with bf16 tensors are BF16. Before, in
// lines that say none, they were F32 and rounded on the way into a product.
const meaning = 2

func main() {
	c := &check{out: json.NewEncoder(os.Stdout)}
	only := flag.String("only", "", "stages to run, separated by commas; all if empty")
	inside := flag.String("stage", "", "run one stage in this process (used by gpucheck itself)")
	flag.StringVar(&c.run, "run", "", "the directory of a training (used by gpucheck itself)")
	flag.StringVar(&c.device, "device", "cuda:0", "the GPU")
	total := flag.Duration("total", 9*time.Minute, "the time for all stages")
	last := flag.String("last", "", "results of an earlier run, to compare with")
	flag.StringVar(&c.pytorch, "pytorch", "bench/pytorch", "the folder of PyTorch's networks")
	flag.StringVar(&c.envelope, "envelope", "bench/results/gpu/envelope.json",
		"the CPU's runs, within which the card's losses must stay")
	recording := flag.Bool("record", false, "make the CPU's runs, here and now, and write that file")
	flag.BoolVar(&c.tiny, "tiny", false, "small shapes, for a rehearsal")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "gpucheck: unexpected argument %q: see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	if *recording {
		if err := record(c.envelope, c.tiny, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "gpucheck:", err)
			os.Exit(1)
		}
		return
	}
	if *inside != "" {
		ok := c.inside(*inside)
		if c.unopened {
			os.Exit(codeUnopened)
		}
		exit(ok)
	}
	r := runner{only: *only, total: *total, flags: os.Args[1:], out: os.Stdout, errOut: os.Stderr}
	if name := r.unknown(); name != "" {
		fmt.Fprintf(os.Stderr, "gpucheck: no stage %q: there are %s\n", name, stageNames())
		os.Exit(2)
	}
	if c.tiny {
		r.slack = 5 // the emulator is slow
	}
	exit(r.report(*last, c.tiny))
}

// exit ends the process.
func exit(ok bool) {
	if !ok {
		os.Exit(1)
	}
	os.Exit(0)
}

// stageNames lists the stages in words.
func stageNames() string {
	var names []string
	for _, s := range stages {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// inside runs one stage; what goes wrong becomes a line of its own.
func (c *check) inside(name string) bool {
	for _, s := range slices.Concat(stages, within) {
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

// say writes a line at once. JSON knows no NaN and no infinity, which are what a line must not be
// lost for: they are written as words.
func (c *check) say(l line) {
	c.failed, l.Means = c.failed || !l.OK, meaning
	for k, v := range l.Values {
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			l.Values[k] = fmt.Sprint(f)
		}
	}
	if err := c.out.Encode(l); err != nil {
		c.failed = true
		c.out.Encode(line{Stage: l.Stage, Name: l.Name, Means: meaning, Error: err.Error()})
	}
}

// open opens the GPU.
func (c *check) open(o cuda.Options) (*cuda.Backend, error) { return cuda.Open(c.device, o) }
