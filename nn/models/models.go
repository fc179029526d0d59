package models

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
)

// Options are what a network's constructor needs beside its name.
type Options struct {
	Classes   int       // number of logits; 0 means the architecture's data set's (10 or 1000)
	InputSize int       // height and width of the images; 0 means the architecture's usual one
	Channels  int       // of the images; 0 means the architecture's usual number
	Mean, Std []float64 // per-channel normalisation inside the model; nil: none
}

// A network is an architecture without its input normalisation.
type network interface {
	nn.Module
	// features is Classifier.Features behind nn.Ctx.Enter; it leaves before its head.
	features(c *nn.Ctx, x *autodiff.Value) (penultimate, logits *autodiff.Value)
	macs(h, w int) int
	// flattened names linear weights behind a flattened image and gives its C, H, W.
	flattened() map[string][3]int
}

type builder func(Options) network

// An arch is an entry of the registry: a constructor and the defaults of Options.
type arch struct {
	name           string
	size, channels int
	classes        int
	build          builder
	smallest       int // extent of the smallest image that every layer can take
}

// archs lists every architecture. It is a function because packages here have no mutable state.
func archs() []arch {
	list := []arch{
		{name: "lenet5", size: 32, channels: 1, classes: 10, build: newLeNet, smallest: 32},
		{name: "convnet-mnist", size: 28, channels: 1, classes: 10, build: newConvNet, smallest: 4},
		{name: "squeezenet1_1", size: 224, channels: 3, classes: 1000, build: newSqueezeNet,
			smallest: SqueezeSmallest},
		{name: "resnet2b", size: 32, channels: 3, classes: 10, build: newResNet2b, smallest: 4},
		{name: "preactresnet18", size: 32, channels: 3, classes: 10, build: preact18(false),
			smallest: 8},
		{name: "preactresnet18-bn", size: 32, channels: 3, classes: 10, build: preact18(true),
			smallest: 8},
	}
	for _, n := range []int{1, 3, 5, 7, 9, 18} {
		name := fmt.Sprintf("resnet%d-cifar", 6*n+2)
		if n == 1 {
			name = "resnet8"
		}
		list = append(list, arch{name: name, size: 32, channels: 3, classes: 10,
			build: newResNet6n2(n), smallest: 4})
	}
	for _, d := range []struct {
		depth int
		s     stages
	}{{18, basic(2, 2, 2, 2)}, {34, basic(3, 4, 6, 3)}, {50, bottlenecks(3, 4, 6, 3)},
		{101, bottlenecks(3, 4, 23, 3)}, {152, bottlenecks(3, 8, 36, 3)}} {
		list = append(list,
			arch{name: fmt.Sprintf("resnet%d", d.depth), size: 224, channels: 3, classes: 1000,
				build: imagenet(d.s), smallest: 32},
			arch{name: fmt.Sprintf("resnet%d-cifar", d.depth), size: 32, channels: 3, classes: 10,
				build: cifar(d.s), smallest: 8})
	}
	return list
}

// List returns the names New knows, sorted.
func List() []string {
	var names []string
	for _, a := range archs() {
		names = append(names, a.name)
	}
	slices.Sort(names)
	return names
}

// A Classifier maps images to logits: one of the registry's architectures behind a per-channel
// normalisation. Its parameter names are those of the architecture's published checkpoints.
//
// Architectures ("cifar" ones take 32×32, the plain ones 224×224 images unless told otherwise):
//
//	resnet20-cifar … 32, 44, 56, 110   He's CIFAR networks (16, 32, 64 channels, option A)
//	resnet8                            the same with one block a stage, for small demonstrations
//	resnet18, 34, 50, 101, 152         torchvision's
//	resnet18-cifar … 34, 50, 101, 152  the same stages behind a 3×3 stem
//	preactresnet18, preactresnet18-bn  pre-activation, without and with a last normalisation
//	squeezenet1_1                      torchvision's
//	resnet2b                           VNN-COMP 2021's small network without normalisation
//	lenet5, convnet-mnist              greyscale digits
type Classifier struct {
	arch string
	opts Options
	norm nn.Normalize
	net  network

	again func(name string) (checkpoint.Array, error) // reads weights; nil if they are of no file
}

// New declares the network called name; give it memory with nn.Init or Load. It returns an error,
// with the known names, when there is no such network or the options do not fit it.
func New(name string, o Options) (*Classifier, error) {
	i := slices.IndexFunc(archs(), func(a arch) bool { return a.name == name })
	if i < 0 {
		return nil, tensor.Refuse("models: New: no network is called %q: expected one of %s",
			name, strings.Join(List(), ", "))
	}
	a := archs()[i]
	for _, d := range []struct {
		field    *int
		fallback int
	}{{&o.Classes, a.classes}, {&o.InputSize, a.size}, {&o.Channels, a.channels}} {
		if *d.field == 0 {
			*d.field = d.fallback
		}
	}
	switch {
	case o.Classes < 1 || o.Channels < 1:
		return nil, tensor.Refuse("models: New: %s: Classes %d and Channels %d must be positive",
			name, o.Classes, o.Channels)
	case o.InputSize < a.smallest:
		return nil, tensor.Refuse("models: New: %s: InputSize %d is too small: expected at least %d",
			name, o.InputSize, a.smallest)
	case len(o.Mean) != len(o.Std) || len(o.Mean) != 0 && len(o.Mean) != o.Channels:
		return nil, tensor.Refuse("models: New: %s: Mean has %d and Std %d values: "+
			"expected %d each, or none", name, len(o.Mean), len(o.Std), o.Channels)
	case slices.ContainsFunc(o.Std, func(s float64) bool { return !(s > 0) || math.IsInf(s, 1) }):
		return nil, tensor.Refuse("models: New: %s: Std %v must be positive", name, o.Std)
	case slices.ContainsFunc(o.Mean, func(m float64) bool {
		return math.IsNaN(m) || math.IsInf(m, 0)
	}):
		return nil, tensor.Refuse("models: New: %s: Mean %v must be finite", name, o.Mean)
	}
	o.Mean, o.Std = slices.Clone(o.Mean), slices.Clone(o.Std)
	return &Classifier{arch: name, opts: o, norm: nn.Normalize{Mean: o.Mean, Std: o.Std},
		net: a.build(o)}, nil
}

// Params yields the parameters under the published names.
func (m *Classifier) Params() iter.Seq2[string, *nn.Param] { return m.net.Params() }

// Forward returns the logits [N Classes] of images x [N H W C] with values in [0, 1].
// Panics with *tensor.Error if x has other extents than the model was made for.
func (m *Classifier) Forward(c *nn.Ctx, x *autodiff.Value) *autodiff.Value {
	_, logits := m.Features(c, x)
	return logits
}

// Features returns what the last linear layer reads, [N F], and the logits [N Classes].
func (m *Classifier) Features(c *nn.Ctx, x *autodiff.Value) (penultimate, logits *autodiff.Value) {
	want := tensor.Shape{m.opts.InputSize, m.opts.InputSize, m.opts.Channels}
	if s := x.Shape(); len(s) != 4 || !s[1:].Equal(want) {
		panic(&tensor.Error{Op: m.arch,
			Operands: []tensor.Operand{tensor.Describe("x", x.Tensor())},
			Reason:   fmt.Sprintf("expected images [N %d %d %d]", want[0], want[1], want[2])})
	}
	normed := m.norm.Forward(c, x)
	h := c.Enter(normed)
	if h != normed && normed != x {
		normed.Done()
	}
	return m.net.features(c, h)
}

// Arch returns the name given to New.
func (m *Classifier) Arch() string { return m.arch }

// Options returns what the classifier was made with, defaults filled in.
func (m *Classifier) Options() Options {
	o := m.opts
	o.Mean, o.Std = slices.Clone(o.Mean), slices.Clone(o.Std)
	return o
}

// Classes returns the number of logits.
func (m *Classifier) Classes() int { return m.opts.Classes }

// InputSize returns the height and width of the images.
func (m *Classifier) InputSize() int { return m.opts.InputSize }

// Channels returns the number of channels of the images.
func (m *Classifier) Channels() int { return m.opts.Channels }

// MACs returns the multiply-accumulates of convolutions and linear layers for one image, from the
// shapes alone. Training takes about 6·MACs floating-point operations an image.
func (m *Classifier) MACs() int { return m.net.macs(m.opts.InputSize, m.opts.InputSize) }

// FeatureDim returns the width F of what the last linear layer reads: see Features.
func (m *Classifier) FeatureDim() int {
	width := 0
	for _, p := range m.Params() {
		if len(p.Shape) >= 2 { // weights [out in] or OHWI; the last one is the head
			width = p.Shape[len(p.Shape)-1]
		}
	}
	return width
}
