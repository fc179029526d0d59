package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"afterimage/nn/onnx"
	"afterimage/nn/onnx/cases"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes: a case failed; the command was used wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
)

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("onnxcases", flag.ContinueOnError)
	flags.SetOutput(stderr)
	verbose := flags.Bool("v", false, "print passed cases, too, with their largest error "+
		"as a fraction of the tolerance")
	pattern := flags.String("run", "", "run only folders whose path below DIR matches `REGEXP`")
	f64 := flags.Bool("f64", false, "compute float tensors in 64 bits")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: onnxcases [flags] DIR")
		flags.PrintDefaults()
	}
	if flags.Parse(args) != nil {
		return exitUsage
	}
	re, err := regexp.Compile(*pattern)
	if err != nil || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "onnxcases: expected one DIR and a valid -run:", err)
		flags.Usage()
		return exitUsage
	}
	root := flags.Arg(0)
	dirs, err := cases.Find(root)
	if err != nil {
		fmt.Fprintln(stderr, "onnxcases:", err)
		return exitUsage
	}
	o := onnx.Options{}
	if *f64 {
		o.DType = tensor.F64
	}
	var results []cases.Result
	for _, dir := range dirs {
		name, err := filepath.Rel(root, dir)
		if err != nil || !re.MatchString(name) {
			continue
		}
		r := cases.Run(ref.New(), dir, o)
		results = append(results, r)
		switch {
		case r.Status != cases.Passed:
			fmt.Fprintf(stdout, "%-11s  %s: %s\n", r.Status, name, r.Reason)
		case *verbose:
			fmt.Fprintf(stdout, "%-11s  %s (%.2g of the tolerance)\n", r.Status, name, r.Worst)
		}
	}
	if len(results) == 0 {
		fmt.Fprintf(stderr, "onnxcases: no case below %s: expected folders with model.onnx and "+
			"test_data_set_0, as in ONNX's repository under onnx/backend/test/data\n", root)
		return exitUsage
	}
	passed, failed, unsupported := cases.Count(results)
	fmt.Fprintf(stdout, "%d passed, %d failed, %d unsupported\n", passed, failed, unsupported)
	if failed > 0 {
		return exitFailed
	}
	return 0
}
