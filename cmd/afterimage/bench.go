package main

import (
	"encoding/json"
	"fmt"
	"regexp"

	"afterimage/bench"
	"afterimage/tensor/cpu"
)

type benchCmd struct {
	Kernels benchKernelsCmd `cmd:"" help:"Measure single kernels against peak and bandwidth."`
	Steps   benchStepsCmd   `cmd:"" help:"Measure whole training steps."`
}

// A benchFlags is what both benchmarks take.
type benchFlags struct {
	Only    string  `help:"Only rows whose name and shape match." placeholder:"REGEXP"`
	Seconds float64 `help:"Time for each row; five runs are made in any case." default:"0.3"`
	JSON    bool    `help:"Print the result as JSON." name:"json"`
}

type benchKernelsCmd struct{ benchFlags }

// Help shows examples under the flags.
func (benchKernelsCmd) Help() string {
	return `Each row's fraction is of the peak (GFLOP/s) or of a copy of as many bytes (GB/s),
measured directly before and after it. On a machine shared with other programs look at
the column "by CPU", which divides by CPU seconds instead of wall time. All rows take
about two minutes.

Examples:
  afterimage bench kernels
  afterimage bench kernels --only sgemm --threads 1
  afterimage bench kernels --only 'conv weight-grad .*64 → 64' --seconds 2 --json`
}

// Run measures kernels.
func (c *benchKernelsCmd) Run(e *env) error {
	return c.run(e, func(b *cpu.Backend, o bench.Options) ([]bench.Row,
		error) {
		return bench.Kernels(b, o), nil
	})
}

type benchStepsCmd struct{ benchFlags }

// Help shows examples under the flags.
func (benchStepsCmd) Help() string {
	return `Whole steps of the program's own trainers on random images: ResNet-20 (batch 128),
ResNet-18-CIFAR (64), a PGD-7 adversarial step, and a discriminator and a generator step
of the inverter. The rate counts 6 × MACs of convolutions and linear layers an image,
4 × MACs for an attack's iteration.

Examples:
  afterimage bench steps
  afterimage bench steps --only resnet20 --seconds 10
  afterimage bench steps --threads 1 --json`
}

// Run measures steps.
func (c *benchStepsCmd) Run(e *env) error { return c.run(e, bench.Steps) }

// run measures and prints: row by row as they come, or all as JSON.
func (c benchFlags) run(e *env, measure func(*cpu.Backend, bench.Options) ([]bench.Row,
	error)) error {
	o := bench.Options{Seconds: c.Seconds}
	if c.Only != "" {
		only, err := regexp.Compile(c.Only)
		if err != nil {
			return fmt.Errorf("--only: %w", err)
		}
		o.Only = only
	}
	if !(c.Seconds >= 0) {
		return fmt.Errorf("--seconds %g: expected 0 or more", c.Seconds)
	}
	b, err := e.open()
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
		}
	}
	rows, err := measure(b, o)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("--only %q matches no row; without it all rows are shown", c.Only)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(benchResult{e.describe(b), rows})
	}
	return nil
}

// A benchResult is what bench prints as JSON.
type benchResult struct {
	Environment environment `json:"environment"`
	Rows        []bench.Row `json:"rows"`
}
