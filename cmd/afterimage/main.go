// Afterimage trains image classifiers and the BigGAN inverters that paint an image back from a
// classifier's logits. This package parses the command line, opens a backend and calls the
// packages that do the work.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/nn/onnx"
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

// A cli is the command line. Options of all commands are here, each command's own beside its code;
// its help shows these first.
type cli struct {
	Device  string `group:"every" help:"Where to compute." default:"auto" placeholder:"auto|cpu|cuda:N"`
	Threads int    `group:"every" help:"Threads to use; 0 takes all cores. Results do not depend on it." default:"0"`

	Winograd  bool   `group:"every" help:"On a CPU, compute 3×3 convolutions with fewer multiplications, which rounds differently and spreads NaN and infinities over a tile of 4×4 outputs." default:"true" negatable:""`
	Precision string `group:"every" help:"What convolutions and matrix products multiply in: f32, or bf16, faster and less precise, on a CPU with AVX512_BF16 or a GPU, where activations are kept in it, too. Weights stay F32 and sums are made in F32." enum:"f32,bf16" default:"f32" placeholder:"f32|bf16"`
	TF32      bool   `group:"every" help:"On a GPU, let NVIDIA's libraries round the operands of F32 products to TF32: faster, errs by 1e-3." name:"tf32"`

	Memory int `group:"every" help:"Memory for tensors in MB; 0 takes nine tenths of what is available, on a GPU all." default:"0" placeholder:"MB"`

	Version kong.VersionFlag `group:"every" help:"Say which program this is: its revision and the Go it was built with."`

	Demo     demoCmd     `cmd:"" help:"Show what two small classifiers let through, then make the page again from scratch."`
	Train    trainCmd    `cmd:"" help:"Train a classifier or an inverter."`
	Evaluate evaluateCmd `cmd:"" help:"Measure a classifier or an inverter."`
	Invert   invertCmd   `cmd:"" help:"Paint images back from a classifier's logits."`
	Explore  exploreCmd  `cmd:"" help:"Run one experiment on a trained inverter."`
	Compare  compareCmd  `cmd:"" help:"Measure how alike two images, or the images of two folders, are."`
	Study    studyCmd    `cmd:"" help:"Train, invert, evaluate and report: a whole study from a preset."`
	Report   reportCmd   `cmd:"" help:"Write the page of one run: curves, pictures, settings."`
	Export   exportCmd   `cmd:"" help:"Write an inverter or a classifier as files of their own: native, ONNX, PyTorch."`
	Data     dataCmd     `cmd:"" help:"Get or show a data set."`
	Models   modelsCmd   `cmd:"" help:"List the architectures with their parameters and work."`
	Doctor   doctorCmd   `cmd:"" help:"Say what the program found: processor, kernels, memory, data."`
	Bench    benchCmd    `cmd:"" help:"Measure kernels and training steps."`
}

// description stands at the head of the help.
const description = `What does a classifier keep of an image? Train one, invert it from its
logits, and look.

Exit codes: 0 done; 2 what was asked for cannot be, and another command line, file
or setting would mend that; 1 anything else: a full disk, too little memory, a
download that failed, an interrupt, a training that went wrong, a fault of the
program.`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code. Results that could not be written are a
// failure, also where the command did not look.
func run(args []string, out, errOut io.Writer) int {
	results := &output{w: out}
	code := execute(args, results, errOut)
	if results.err != nil && code == exitOK {
		fmt.Fprintln(errOut, "afterimage: standard output:", oneLine(results.err))
		return exitOther
	}
	return code
}

// An output remembers the first error of its writer.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// execute is the program's one boundary at which a panic with *tensor.Error becomes a message.
// Whatever is wrong is said in one line.
func execute(args []string, out *output, errOut io.Writer) (code int) {
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
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Vars{"version": fmt.Sprintf("afterimage %s, %s, %s/%s", revision(), runtime.Version(),
			runtime.GOOS, runtime.GOARCH)},
		kong.Exit(func(code int) { exited = code }),
		kong.ValueFormatter(helpText),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true}),
		kong.PostBuild(func(k *kong.Kong) error { k.Model.HelpFlag.Help = "Show this."; return nil }),
		kong.ExplicitGroups([]kong.Group{{Key: "every", Title: "Flags of every command:"}}),
	)
	if err != nil {
		fmt.Fprintln(errOut, "afterimage:", err)
		return exitOther
	}
	if len(args) == 0 { // who types the name alone wants to know what there is
		args = []string{"--help"}
	}
	k, err := parser.Parse(joinNegative(args))
	if out.err != nil { // the help was not written, which run says
		return exitOK
	}
	if exited >= 0 { // --help has been printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "afterimage: %s\nTry: %s --help\n", parseMessage(err), commandOf(err))
		return exitUsage
	}
	env := newEnv(&c, k, out, errOut)
	runErr := twoNames(k, args)
	if runErr == nil {
		runErr = env.check()
	}
	if runErr == nil {
		if e := tensor.Try(func() { runErr = k.Run(env) }); e != nil {
			runErr = e
		}
	}
	if runErr != nil {
		fmt.Fprintln(errOut, "afterimage:", oneLine(runErr))
		if c.Memory > 0 && isOutOfMemory(runErr) { // of a limit that was asked for
			return exitUsage
		}
		return exitCode(runErr)
	}
	return exitOK
}

// helpText returns the help of a flag with its default, which a placeholder would hide.
func helpText(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || v.Flag.PlaceHolder == "" || !v.HasDefault || v.Default == "" {
		return text
	}
	return strings.TrimSuffix(text, ".") + " (default " + v.Default + ")."
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

// mendable lists what the system answers to a path that another command line would mend: what is
// not there, is something else, or is not the user's.
func mendable() []syscall.Errno {
	return []syscall.Errno{syscall.ENOENT, syscall.EEXIST, syscall.ENOTDIR, syscall.EISDIR,
		syscall.ENOTEMPTY, syscall.EACCES, syscall.EPERM, syscall.ENAMETOOLONG, syscall.ELOOP,
		syscall.EINVAL, syscall.ENXIO, syscall.EADDRINUSE}
}

// engineOps are the operations whose *tensor.Error is a mistake of this program, a failure of the
// device, or memory that is not there: no file or flag decides how they are called. All others name
// shapes of models, images and data.
func engineOps() []string {
	return []string{"Alloc", "Tensor", "Free", "Assign", "Reshape", "SetFloats", "Floats", "Item",
		"CopyToHost", "CopyFromHost", "Host", "Optimizer.Begin", "Ctx.Value", "Ctx.Bind", "Params",
		"RNG.IntN", "Device"}
}

// exitCode sorts errors: what a user can mend by asking differently, and is marked as such, is 2;
// what the machine, the network or the program itself did (a full disk, too little memory, an
// interrupt, a diverged training, an error of the system not in mendable, a write that failed), and
// whatever nobody has marked, is 1.
func exitCode(err error) int {
	if errors.Is(err, train.ErrStopped) || errors.Is(err, train.ErrDiverged) {
		return exitOther
	}
	var system syscall.Errno
	if errors.As(err, &system) && !slices.Contains(mendable(), system) {
		return exitOther
	}
	var file *fs.PathError
	if errors.As(err, &file) && slices.Contains([]string{"write", "sync", "truncate", "close",
		"seek"}, file.Op) {
		return exitOther
	}
	var misuse *tensor.Error
	if errors.As(err, &misuse) && slices.Contains(engineOps(), misuse.Op) {
		return exitOther
	}
	var reach *url.Error
	var network *net.OpError
	if errors.As(err, &reach) || errors.As(err, &network) {
		return exitOther
	}
	var set *data.FileError
	var weights *checkpoint.FormatError
	var unfit *checkpoint.MatchError
	var graph *onnx.Error
	if tensor.IsRefusal(err) || misuse != nil || system != 0 || errors.As(err, &set) ||
		errors.As(err, &weights) || errors.As(err, &unfit) || errors.As(err, &graph) {
		return exitUsage
	}
	return exitOther
}

// isOutOfMemory reports whether a tensor found no room.
func isOutOfMemory(err error) bool {
	var misuse *tensor.Error
	return errors.As(err, &misuse) && misuse.Op == "Alloc" && misuse.Err != nil
}

// An env is what every command gets: the options common to all, and where to write.
type env struct {
	cli   *cli
	given []string // names of the flags on the command line
	out   io.Writer
	err   io.Writer
}

// isGiven reports whether a flag stands on the command line.
func (e *env) isGiven(flag string) bool { return slices.Contains(e.given, flag) }

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
func (e *env) interrupts() (stopped func() bool, done func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	var seen atomic.Bool
	go func() {
		if _, ok := <-ch; ok {
			signal.Stop(ch) // the next one kills
			seen.Store(true)
			fmt.Fprintln(e.err, "\nafterimage: stopping after this step; a second signal ends the "+
				"program at once")
		}
	}()
	return seen.Load, func() {
		signal.Stop(ch)
		close(ch)
	}
}
