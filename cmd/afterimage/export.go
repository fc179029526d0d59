package main

import (
	"fmt"
	"os"
	"path/filepath"

	"afterimage/gan"
	"afterimage/tensor"
)

type exportCmd struct {
	Inverter string `arg:"" help:"Inverter: a run directory, or shipped:scenes-robust or shipped:scenes-standard." placeholder:"RUN"`
	Out      string `help:"Folder to write to." required:"" placeholder:"DIR"`
	Half     bool   `help:"Write the numbers as F16: half the size, about three digits."`
}

// Help shows examples under the flags.
func (exportCmd) Help() string {
	return `Writes inverter.safetensors and classifier.safetensors, which every command that
takes an inverter can open.

Examples:
  afterimage export shipped:scenes-robust --out weights/robust
  afterimage export runs/inverter --half --out weights/mine`
}

// Run writes a finished inverter and its classifier as files of their own.
func (c *exportCmd) Run(e *env) error {
	b, err := e.open()
	if err != nil {
		return err
	}
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	v, err := openInverter(s, c.Inverter)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	if err := v.Save(c.Out, c.Half, map[string]string{"program": "afterimage " +
		revision()}); err != nil {
		return err
	}
	for _, name := range []string{gan.FinalInverter, gan.InverterClassifier} {
		info, err := os.Stat(filepath.Join(c.Out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "wrote %s, %d kB\n", filepath.Join(c.Out, name), info.Size()>>10)
	}
	return nil
}
