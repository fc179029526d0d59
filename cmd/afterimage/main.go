// Afterimage trains image classifiers and the BigGAN inverters that paint an image back from a
// classifier's logits. This package parses the command line, opens a backend and calls the
// packages that do the work.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync/atomic"
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

	Winograd bool `help:"Compute 3×3 convolutions with fewer multiplications, which rounds differently." default:"true" negatable:""`
	Memory   int  `help:"Memory for tensors in MB; 0 takes nine tenths of what is available." default:"0" placeholder:"MB"`

	Demo     demoCmd     `cmd:"" help:"Show what two small classifiers let through, then make the page again from scratch."`
	Train    trainCmd    `cmd:"" help:"Train a classifier or an inverter."`
	Evaluate evaluateCmd `cmd:"" help:"Measure a classifier or an inverter."`
	Invert   invertCmd   `cmd:"" help:"Paint images back from a classifier's logits."`
	Explore  exploreCmd  `cmd:"" help:"Run one experiment on a trained inverter."`
	Compare  compareCmd  `cmd:"" help:"Measure how alike two images, or the images of two folders, are."`
	Study    studyCmd    `cmd:"" help:"Train, invert, evaluate and report: a whole study from a preset."`
	Report   reportCmd   `cmd:"" help:"Write the page of one run: curves, pictures, settings."`
	Export   exportCmd   `cmd:"" help:"Write a finished inverter as files of their own."`
	Data     dataCmd     `cmd:"" help:"Get or show a data set."`
	Models   modelsCmd   `cmd:"" help:"List the architectures with their parameters and work."`
	Doctor   doctorCmd   `cmd:"" help:"Say what the program found: processor, kernels, memory, data."`
	Bench    benchCmd    `cmd:"" help:"Measure kernels and training steps."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code. It is the program's one boundary at
// which a panic with *tensor.Error becomes a message. Whatever is wrong is said in one line.
func run(args []string, out, errOut io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil { // a mistake of the program, not of its user
			fmt.Fprintf(errOut, "afterimage: internal error: %v: please report this command line with the "+
				"lines below\n%s", r, debug.Stack())
			code = exitOther
		}
	}()
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("afterimage"),
		kong.Description("What does a classifier keep of an image? Train one, invert it from its "+
			"logits, and look."),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
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
		fmt.Fprintf(errOut, "afterimage: %s\nTry: %s --help\n", oneLine(err), commandOf(err))
		return exitUsage
	}
	var runErr error
	if e := tensor.Try(func() { runErr = k.Run(newEnv(&c, k, out, errOut)) }); e != nil {
		runErr = e
	}
	if runErr != nil {
		fmt.Fprintln(errOut, "afterimage:", oneLine(runErr))
		return exitCode(runErr)
	}
	return exitOK
}

// commandOf returns the command whose help explains a command line that could not be parsed.
func commandOf(err error) string {
	words := []string{"afterimage"}
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		for _, p := range parse.Context.Path {
			if p.Command != nil {
				words = append(words, p.Command.Name)
			}
		}
	}
	return strings.Join(words, " ")
}

// oneLine joins the lines of a message that lists things one below the other.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// exitCode sorts errors: what the machine or the network did (a full disk, an interrupt, a diverged
// training) is 1, everything a user can mend by asking differently is 2.
func exitCode(err error) int {
	for _, machine := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO,
		syscall.EROFS, syscall.ENOMEM,
		syscall.EMFILE, syscall.ENFILE, train.ErrStopped, train.ErrDiverged} {
		if errors.Is(err, machine) {
			return exitOther
		}
	}
	var reach *url.Error
	var network *net.OpError
	if errors.As(err, &reach) || errors.As(err, &network) {
		return exitOther
	}
	return exitUsage
}

// An env is what every command gets: the options common to all, and where to write.
type env struct {
	cli   *cli
	given []string // names of the flags on the command line
	out   io.Writer
	err   io.Writer
}

func newEnv(c *cli, k *kong.Context, out, errOut io.Writer) *env {
	e := &env{cli: c, out: out, err: errOut}
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved {
			e.given = append(e.given, p.Flag.Name)
		}
	}
	return e
}

// interrupts returns a function that reports whether the user has asked to stop (Ctrl-C or
// SIGTERM); a training then saves a checkpoint and ends. A second signal ends the program at once.
func interrupts() (stopped func() bool, done func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	var seen atomic.Bool
	go func() {
		if _, ok := <-ch; ok {
			signal.Stop(ch) // the next one kills
			seen.Store(true)
			fmt.Fprintln(os.Stderr, "\nafterimage: stopping after this step; a second signal ends the "+
				"program at once")
		}
	}()
	return seen.Load, func() {
		signal.Stop(ch)
		close(ch)
	}
}
