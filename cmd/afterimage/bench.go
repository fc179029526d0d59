package main

import (
	"encoding/json"
	"fmt"

	"afterimage/bench"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

type benchCmd struct {
	Kernels benchKernelsCmd `cmd:"" help:"Measure single kernels against peak and bandwidth."`
	Steps   benchStepsCmd   `cmd:"" help:"Measure whole training steps, inference, start and memory."`
	Scaling benchScalingCmd `cmd:"" help:"Measure steps with one thread and with all in turn."`
	Compare benchCompareCmd `cmd:"" help:"Measure this program and PyTorch in turn."`
	Plot    benchPlotCmd    `cmd:"" help:"Draw the pictures of a comparison."`
	Rows    benchRowsCmd    `cmd:"" help:"List every measurement as JSON."`
	Serve   benchServeCmd   `cmd:"" help:"Measure what is asked for, line by line."`
}

// A benchFlags is what both benchmarks take.
type benchFlags struct {
	Only    string  `help:"Only rows whose key, or name and shape, match." placeholder:"REGEXP"`
	Seconds float64 `help:"Time for each row; five runs are made in any case." default:"0.3"`
	JSON    bool    `help:"Print the result as JSON." name:"json"`
}

type benchKernelsCmd struct{ benchFlags }

// Help shows examples under the flags.
func (benchKernelsCmd) Help() string {
	return `Each row's fraction is of the peak (GFLOP/s), measured between its runs, or of a copy
of as many bytes (GB/s), directly before and after it. On a machine shared with other
programs look at the column "by CPU", which divides by CPU seconds instead of wall time.
All rows take some ten minutes.

Examples:
  afterimage bench kernels
  afterimage bench kernels --only sgemm --threads 1
  afterimage bench kernels --only 'conv weight-grad .*64 → 64' --seconds 2 --json`
}

// Run measures kernels.
func (c *benchKernelsCmd) Run(e *env) error { return c.run(e, bench.Kernels, false) }

type benchStepsCmd struct {
	benchFlags
	ByKernel bool `help:"Show the time of each kernel under its step."`
}

// Help shows examples under the flags.
func (benchStepsCmd) Help() string {
	return `Whole steps of the program's own trainers on random images: ResNets, a PGD-7
adversarial step, BigGAN's discriminator and generator; inference; the loader; the time
to the first step and the memory of a program started for it. The rate counts 6 × MACs
of convolutions and linear layers an image, 4 × MACs for an attack's iteration. The
roofline is the time that the step's kernels take together if each runs at the
multiply-add peak or as fast as a copy of its bytes, whichever is longer.

Examples:
  afterimage bench steps
  afterimage bench steps --only resnet20 --seconds 10
  afterimage bench steps --only '^step/resnet50-n8h224$' --by-kernel
  afterimage bench steps --threads 1 --json`
}

// Run measures steps.
func (c *benchStepsCmd) Run(e *env) error { return c.run(e, bench.Steps, c.ByKernel) }

// run measures and prints: row by row as they come, or all as JSON.
func (c benchFlags) run(e *env, measure func(*cpu.Backend, bench.Options) ([]bench.Row, error),
	byKernel bool) error {
	only, err := rowsOnly(c.Only)
	if err != nil {
		return err
	}
	if err := checkSeconds(c.Seconds); err != nil {
		return err
	}
	self, err := e.serveCommand(e.cli.Threads)
	if err != nil {
		return err
	}
	o := bench.Options{Seconds: c.Seconds, Only: only, Program: self}
	b, err := e.openCPU()
	if err != nil {
		return err
	}
	defer b.Close()
	if !c.JSON {
		first := true
		o.Observe = func(r bench.Row) {
			if first {
				fmt.Fprintf(e.out, "%s, %d threads, %s\n%s\n", cpuName(), b.Threads(),
					e.describe(b).Kernels, bench.Header())
				first = false
			}
			fmt.Fprintln(e.out, r)
			if byKernel {
				fmt.Fprint(e.out, r.ByKernel())
			}
		}
	}
	rows, err := measure(b, o)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return noRow(c.Only)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(benchResult{e.describe(b), rows})
	}
	return nil
}

// checkSeconds refuses a negative time, and what is no number.
func checkSeconds(seconds float64) error {
	if !(seconds >= 0) {
		return tensor.Refuse("--seconds %g: expected 0 or more", seconds)
	}
	return nil
}

// A benchResult is what bench prints as JSON.
type benchResult struct {
	Environment environment `json:"environment"`
	Rows        []bench.Row `json:"rows"`
}
