// Command agreement measures how far this program is from values that nobody here made, and writes
// bench/AGREEMENT.md.
//
//	go run ./bench/agreement [--data DIR] [--long] [--out FILE]
//
// It runs the tests that hold computations against PyTorch's goldens and against published figures
// and collects what they report (golden.Row, figures.Measurement), runs ONNX's operator cases, and
// writes one page: what was compared, the error and the bound. Without --data (or AFTERIMAGE_DATA)
// what needs other people's files says that it was skipped. Figures that take minutes are read from
// the record they name; --long measures them.
//
// It exits with 1 if anything failed or was not measured, after writing the page; with 2 on wrong
// use.
//
// Non-goals: computing an error of its own: the tests do, so that the page and the tests cannot
// disagree.
//
// Invariants:
//  1. The page depends on the code, the data and the instruction set, on nothing else.
//  2. A row is on the page whether it was measured, failed or was skipped; the rows follow from the
//     golden files, the list of figures and the cases, and a test holds the page to them.
//  3. The page is written whole or not at all.
//
// Comes from: the golden and published-figure tests, nn/onnx/cases, bench/results. Goes to:
// bench/AGREEMENT.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"afterimage/tensor/atomicfile"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// The exit codes: something disagrees or was not measured; the command was used wrongly.
const (
	exitDisagrees = 1
	exitUsage     = 2
)

// pagePath is where the page lies in the module.
const pagePath = "bench/AGREEMENT.md"

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("agreement", flag.ContinueOnError)
	flags.SetOutput(stderr)
	data := flags.String("data", os.Getenv("AFTERIMAGE_DATA"), "`DIR` with other people's files; "+
		"rows that need them are skipped without it")
	long := flags.Bool("long", false, "measure what takes minutes, too, instead of reading its record")
	out := flags.String("out", "", "write `FILE` instead of "+pagePath)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: go run ./bench/agreement [flags]")
		flags.PrintDefaults()
	}
	if flags.Parse(args) != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "agreement: %q is too much: expected flags only\n", flags.Arg(0))
		return exitUsage
	}
	if *data != "" {
		dir, err := filepath.Abs(*data)
		if info, statErr := os.Stat(dir); err != nil || statErr != nil || !info.IsDir() {
			fmt.Fprintf(stderr, "agreement: --data %s is no folder: give the one that holds onnx, "+
				"models, images\n", *data)
			return exitUsage
		}
		*data = dir
	}
	root, err := moduleRoot()
	if err != nil {
		fmt.Fprintln(stderr, "agreement:", err)
		return exitUsage
	}
	p, err := measure(root, *data, *long, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "agreement:", err)
		return exitDisagrees
	}
	if *out == "" {
		*out = filepath.Join(root, filepath.FromSlash(pagePath))
	}
	if err := atomicfile.WriteBytes(*out, []byte(p.markdown())); err != nil {
		fmt.Fprintln(stderr, "agreement:", err)
		return exitDisagrees
	}
	fmt.Fprintf(stderr, "wrote %s: %s\n", *out, p.verdict())
	if !p.agrees() {
		return exitDisagrees
	}
	return 0
}

// moduleRoot returns the folder of go.mod at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod at or above %s: run it inside the repository", dir)
		}
	}
}
