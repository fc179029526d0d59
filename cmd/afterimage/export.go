package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"afterimage/gan"
	"afterimage/gan/shipped"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type exportCmd struct {
	What    string `arg:"" name:"run" help:"An inverter (a run directory, a folder of weights, shipped:scenes-robust or shipped:scenes-standard) or a classifier (a run directory or a file of weights, then perhaps with --arch)." placeholder:"RUN|FILE"`
	Out     string `help:"Folder to write to." required:"" placeholder:"DIR"`
	Format  string `help:"native: files that every command here opens; onnx; pytorch: state_dicts as safetensors." default:"native" enum:"native,onnx,pytorch"`
	Half    bool   `help:"Write native weights as F16: half the size, about three digits."`
	Classes int    `help:"Classes of foreign weights; 0: the architecture's usual number." default:"0"`
	weightFlags
}

// Help shows examples under the flags.
func (exportCmd) Help() string {
	return `An inverter becomes inverter.safetensors and its classifier (native), generator.onnx and
classifier.onnx (onnx), or generator-pytorch.safetensors and classifier-pytorch.safetensors
(pytorch: the names and layouts of PyTorch's modules); a classifier becomes the one file. Beside
onnx and pytorch files stand examples: inputs, and what this program computes from them.

ONNX files take images [N 3 H W] in [0, 1], the normalisation is inside; a generator takes
noise [N Z], standard normal, and raw logits [N K], and gives images [N 3 H W] in [-1, 1].

Examples:
  afterimage export shipped:scenes-robust --out weights/robust
  afterimage export runs/inverter --half --out weights/mine
  afterimage export runs/inverter --format onnx --out onnx
  afterimage export resnet20.th --arch resnet20-cifar --format onnx --out onnx`
}

// Run writes an inverter with its classifier, or a classifier alone.
func (c *exportCmd) Run(e *env) error {
	if err := c.checkOut(); err != nil {
		return err
	}
	_, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	write, err := c.open(e, s)
	if err != nil {
		return err
	}
	if c.Half && c.Format != string(gan.Native) {
		return tensor.Refuse("--half is for --format native: leave it out")
	}
	if err := makeFolder("out", c.Out); err != nil {
		return err
	}
	files, err := write()
	if err != nil {
		return err
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "wrote %s, %d kB\n", name, (info.Size()+1023)>>10)
	}
	return nil
}

// checkOut returns an error if the files would lie among those of a run, whose own have the same
// names.
func (c *exportCmd) checkOut() error {
	dir, err := filepath.Abs(c.Out)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	run := dir
	if filepath.Base(dir) == train.CheckpointDir {
		run = filepath.Dir(dir)
	}
	if exists(filepath.Join(run, train.ConfigFile)) {
		return tensor.Refuse("--out %s holds a run's own files, which would be written over: give "+
			"another folder", c.Out)
	}
	return nil
}

// open reads what is to be exported into s and returns what writes it.
func (c *exportCmd) open(
	e *env, s *tensor.Scope,
) (write func() (files []string, err error), err error) {
	format := gan.Format(c.Format)
	if c.inverter() {
		v, err := openInverter(s, c.What)
		if err != nil {
			return nil, err
		}
		return func() ([]string, error) {
			return v.Export(s, c.Out, format, c.dtype(), map[string]string{"program": "afterimage " +
				revision()})
		}, nil
	}
	if gan.IsONNX(c.What) {
		return nil, tensor.Refuse("%s is an ONNX file already: copy it", c.What)
	}
	path, err := classifierFlags{Weights: c.What}.file()
	if err != nil {
		return nil, err
	}
	m, note, err := c.weights(s, path, c.Classes)
	if err != nil {
		return nil, err
	}
	if err := sound(path, m); err != nil {
		return nil, err
	}
	if note != "" {
		fmt.Fprintln(e.err, note)
	}
	return func() ([]string, error) {
		return gan.ExportClassifier(s, c.Out, m, format, c.dtype())
	}, nil
}

// dtype is what weights are stored as.
func (c *exportCmd) dtype() tensor.DType {
	if c.Half {
		return tensor.F16
	}
	return tensor.F32
}

// inverter reports whether an inverter is meant: shipped weights, or a folder that holds one or is
// no run of a classifier.
func (c *exportCmd) inverter() bool {
	if strings.HasPrefix(c.What, shipped.Prefix) || exists(filepath.Join(c.What, gan.FinalInverter)) {
		return true
	}
	kind, err := train.Kind(c.What)
	return isDir(c.What) && (err != nil || kind != "classifier") || !exists(c.What)
}
