package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes: a network could not be written; the command was used wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
)

// A subject is a network to write: a classifier of an architecture, or a generator.
type subject struct {
	name    string // of its folder
	options models.Options
	net     *gan.Config // nil for a classifier
	kind    gan.Condition
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("exports", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pattern := flags.String("run", "", "write only networks whose name matches `REGEXP`")
	large := flags.Bool("large", false, "write the deeper variants of an architecture, too")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: exports [flags] DIR")
		flags.PrintDefaults()
	}
	if flags.Parse(args) != nil {
		return exitUsage
	}
	re, err := regexp.Compile(*pattern)
	if err != nil || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "exports: expected one DIR and a valid -run:", err)
		flags.Usage()
		return exitUsage
	}
	b := cpu.Open(0)
	defer b.Close()
	for _, x := range append(classifiers(*large), generators()...) {
		if !re.MatchString(x.name) {
			continue
		}
		files, err := x.write(b, filepath.Join(flags.Arg(0), x.name))
		if err != nil {
			fmt.Fprintf(stderr, "exports: %s: %v\n", x.name, err)
			return exitFailed
		}
		fmt.Fprintf(stdout, "%s: %d files\n", x.name, len(files))
	}
	return 0
}

// deeper lists architectures that another one stands for: it has the same layers, fewer of them.
func deeper() []string {
	return []string{"resnet32-cifar", "resnet44-cifar", "resnet56-cifar", "resnet110-cifar",
		"resnet34", "resnet101", "resnet152", "resnet34-cifar", "resnet101-cifar",
		"resnet152-cifar"}
}

// classifiers lists the architectures; those for ImageNet take smaller images than they usually do.
func classifiers(large bool) []subject {
	var out []subject
	for _, name := range models.List() {
		if !large && slices.Contains(deeper(), name) {
			continue
		}
		o := models.Options{Classes: 10}
		m, err := models.New(name, o)
		if err != nil {
			panic(err) // of the list itself
		}
		if m.Channels() == 3 {
			o.Mean, o.Std = []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
		}
		if o.InputSize = m.InputSize(); o.InputSize > 96 {
			o.InputSize = 96
		}
		out = append(out, subject{name: name, options: o})
	}
	return out
}

// generators lists networks that differ in every choice of gan.Config that an export must follow.
func generators() []subject {
	slim, big := gan.Slim32(4, 0), gan.BigGAN32(4, 0)
	zero := big
	zero.Upsample, zero.PlainGain, zero.SkipRule = "zero", true, "widening"
	plain := big
	plain.Hierarchical, plain.Embed, plain.CondSN = false, 0, false
	wide := gan.BigGAN128(8, 0)
	var out []subject
	for _, g := range []struct {
		name string
		net  gan.Config
		kind gan.Condition
	}{{"slim", slim, gan.Logits}, {"biggan", big, gan.Label}, {"zero-insertion", zero, gan.Logits},
		{"one-chunk", plain, gan.Features}, {"attention-128", wide, gan.Logits}} {
		out = append(out, subject{name: "generator-" + g.name, net: &g.net, kind: g.kind,
			options: models.Options{Classes: 10}})
	}
	return out
}

// write exports a subject in both formats.
func (x subject) write(b tensor.Backend, dir string) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := tensor.NewScope(b)
	defer s.Close()
	arch := x.name
	if x.net != nil {
		arch = "resnet8"
	}
	m, err := models.New(arch, x.options)
	if err != nil {
		return nil, err
	}
	draw(s, nn.List(m))
	export := func(f gan.Format) ([]string, error) {
		return gan.ExportClassifier(s, dir, m, f, tensor.F32)
	}
	if x.net != nil {
		v, err := x.inverter(s, m)
		if err != nil {
			return nil, err
		}
		export = func(f gan.Format) ([]string, error) { return v.Export(s, dir, f, tensor.F32, nil) }
	}
	for _, f := range []gan.Format{gan.ONNX, gan.PyTorch} {
		list, err := export(f)
		if err != nil {
			return nil, err
		}
		files = append(files, list...)
	}
	return files, nil
}

// inverter makes a generator for a classifier.
func (x subject) inverter(s *tensor.Scope, m gan.Classifier) (*gan.Inverter, error) {
	cond, err := gan.NewConditioner(m, x.kind)
	if err != nil {
		return nil, err
	}
	c := gan.DefaultInverter()
	c.Condition, c.Net = x.kind, *x.net
	c.Net.Cond = cond.Dim()
	v := &gan.Inverter{Config: c, G: gan.NewGenerator(c.Net), Conditioner: cond}
	draw(s, nn.Join(nn.List(v.G), cond.State()))
	return v, nil
}

// draw gives parameters their initial values, and adds up to a half to gains, biases and
// statistics.
func draw(s *tensor.Scope, all nn.Params) {
	nn.Init(s, all, 1)
	for _, p := range all {
		if len(p.Param.Shape) != 1 || strings.HasSuffix(p.Name, "_u") {
			continue
		}
		x, key := p.Param.T.Floats(), tensor.NewKey(1, "exports/"+p.Name)
		for i := range x {
			x[i] += 0.5 * tensor.Uniform01(key.Word(0, uint64(i)))
		}
		p.Param.T.SetFloats(x)
	}
}
