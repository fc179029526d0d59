package main

import (
	"encoding/json"
	"fmt"

	"afterimage/bench"
	"afterimage/tensor"
)

type benchScalingCmd struct {
	Only    string  `help:"Only steps whose key, or name and shape, match." placeholder:"REGEXP"`
	Rounds  int     `help:"How often one thread and all take turns on a step." default:"5"`
	Seconds float64 `help:"Time for each step and turn; one run is made in any case." default:"0.5"`
	JSON    bool    `help:"Print the result as JSON." name:"json"`
}

// Help explains the columns.
func (benchScalingCmd) Help() string {
	return `Each step runs with one thread and with --threads in turn, in one process. Beside how
much faster it gets stands how much faster it would get on the roofline: if each of its
kernels ran at the multiply-add peak, or as fast as a copy of its bytes, whichever takes
longer, with peak and copies measured at both numbers of threads in every round.

Examples:
  afterimage bench scaling --only '^step/(resnet|biggan)[^/]*$'
  afterimage bench scaling --only resnet20 --rounds 9 --json`
}

// Run measures and prints: step by step as they come, or all as JSON.
func (c *benchScalingCmd) Run(e *env) error {
	only, err := rowsOnly(c.Only)
	if err != nil {
		return err
	}
	if err := checkSeconds(c.Seconds); err != nil {
		return err
	}
	if c.Rounds < 1 {
		return tensor.Refuse("--rounds %d: expected 1 or more", c.Rounds)
	}
	b, err := e.openCPU()
	if err != nil {
		return err
	}
	b.Close() // every step opens backends of its own
	if b.Threads() < 2 {
		return tensor.Refuse("--threads %d: expected 2 or more, to be compared with one", b.Threads())
	}
	first := true
	show := func(u bench.SpeedUp) {
		if first {
			fmt.Fprintf(e.out, "%s, %s\n%s\n", cpuName(), e.describe(b).Kernels,
				bench.ScalingHeader(b.Threads()))
			first = false
		}
		fmt.Fprintln(e.out, u)
	}
	if c.JSON {
		show = func(bench.SpeedUp) {}
	}
	all, err := bench.SpeedUps(b, bench.Options{Seconds: c.Seconds, Only: only}, c.Rounds, show)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return tensor.Refuse("--only %q matches no step; without it all steps are measured", c.Only)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(scalingResult{e.describe(b), all})
	}
	return nil
}

// A scalingResult is what bench scaling prints as JSON.
type scalingResult struct {
	Environment environment     `json:"environment"`
	Steps       []bench.SpeedUp `json:"steps"`
}
