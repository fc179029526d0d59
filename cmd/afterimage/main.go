// Afterimage trains image classifiers and the BigGAN inverters that paint an image back from a
// classifier's logits. This package parses the command line, opens a backend and calls the
// packages that do the work.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"afterimage/nn/train"
	"afterimage/tensor"

	"github.com/alecthomas/kong"
)

// The exit codes: a caller's mistake that another command line or file would mend, and the rest.
const (
	exitOK    = 0
	exitOther = 1
	exitUsage = 2
)

// A cli is the command line. Options of all commands are here, each command's own beside its code.
type cli struct {
	Device  string `help:"Where to compute: auto or cpu." default:"auto" placeholder:"auto|cpu"`
	Threads int    `help:"Threads to use; 0 takes all cores. Results do not depend on it." default:"0"`

	Train    trainCmd    `cmd:"" help:"Train a classifier or an inverter."`
	Evaluate evaluateCmd `cmd:"" help:"Measure a classifier or an inverter."`
	Invert   invertCmd   `cmd:"" help:"Paint images back from a classifier's logits."`
	Explore  exploreCmd  `cmd:"" help:"Run one experiment on a trained inverter."`
	Data     dataCmd     `cmd:"" help:"Get or show a data set."`
	Doctor   doctorCmd   `cmd:"" help:"Say what the program found: processor, kernels, memory, data."`
	Bench    benchCmd    `cmd:"" help:"Measure kernels and training steps."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code. It is the program's one boundary at which
// a panic with *tensor.Error becomes a message.
func run(args []string, out, errOut io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("afterimage"),
		kong.Description("What does a classifier keep of an image? Train one, invert it from its logits, and look."),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(errOut, "afterimage:", err)
		return exitOther
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help has been printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "afterimage: %v\nTry: afterimage --help\n", err)
		return exitUsage
	}
	var runErr error
	if e := tensor.Try(func() { runErr = k.Run(&env{cli: &c, out: out, err: errOut}) }); e != nil {
		runErr = e
	}
	if runErr != nil {
		fmt.Fprintln(errOut, "afterimage:", runErr)
		return exitCode(runErr)
	}
	return exitOK
}

// exitCode sorts errors: what the machine did (a full disk, an interrupt, a diverged training) is 1,
// everything a user can mend by asking differently is 2.
func exitCode(err error) int {
	for _, machine := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, train.ErrStopped, train.ErrDiverged} {
		if errors.Is(err, machine) {
			return exitOther
		}
	}
	return exitUsage
}

// An env is what every command gets: the options common to all, and where to write.
type env struct {
	cli *cli
	out io.Writer
	err io.Writer
}

// interrupts returns a function that reports whether the user has asked to stop (Ctrl-C or SIGTERM); a
// training then saves a checkpoint and ends. A second signal ends the program at once.
func interrupts() (stopped func() bool, done func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	seen := false
	return func() bool {
			select {
			case <-ch:
				seen = true
				signal.Stop(ch) // the next one kills
			default:
			}
			return seen
		}, func() {
			signal.Stop(ch)
		}
}
