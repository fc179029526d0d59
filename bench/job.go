package bench

import (
	"errors"
	"fmt"
	"time"

	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A job is a measurement that is ready to run: memory taken, inputs drawn.
type job struct {
	run   func() error
	close func()
	peak  func() float64 // in place of run: measures a rate itself, of one unit of work
	tally tally          // what a run asks of the machine, if it is a step that was counted
	// waited is how long all runs so far have waited for the loader; nil: they take no batch of it.
	waited func() time.Duration
}

// ErrUnsupported says that this program has no way of doing a measurement.
var ErrUnsupported = errors.New("not supported")

// open prepares a measurement on b, whose precision it changes if the row has one of its own.
func open(b *cpu.Backend, s Spec) (job, error) {
	switch s.Precision {
	case "":
	case tensor.BF16.String():
		if err := b.SetPrecision(tensor.BF16); err != nil {
			return job{}, tensor.Refuse("bench: %s: %w: %w", s.Key, ErrUnsupported, err)
		}
	default:
		return job{}, tensor.Refuse("bench: %s: precision %s: %w", s.Key, s.Precision, ErrUnsupported)
	}
	f := openerOf(s.Kind)
	if f == nil {
		return job{}, tensor.Refuse("bench: %s: kind %q: %w", s.Key, s.Kind, ErrUnsupported)
	}
	var j job
	var err error
	if e := tensor.Try(func() { j, err = f(b, s) }); e != nil { // out of memory
		err = e
	}
	if err != nil {
		return job{}, fmt.Errorf("bench: %s: %w", s.Key, err)
	}
	return j, nil
}

// An opener prepares the measurements of one kind.
type opener func(b *cpu.Backend, s Spec) (job, error)

// openerOf returns the opener of a kind, nil if there is none.
func openerOf(kind string) opener {
	if step := stepOpeners()[kind]; step != nil {
		return func(b *cpu.Backend, s Spec) (job, error) { return step(b, s) }
	}
	return openers()[kind]
}

// openers lists the kinds of single kernels and layers, and the loader; "start" and "memory" take a
// fresh process. It is a function because packages here have no mutable state.
func openers() map[string]opener {
	return map[string]opener{
		"fma": openPeak, "copy": openCopy, "sgemm": openMatMul,
		"conv-forward": openConv, "conv-input-grad": openConv, "conv-weight-grad": openConv,
		"depthwise-forward": openConv, "depthwise-input-grad": openConv,
		"depthwise-weight-grad": openConv,
		"norm":                  openNorm, "norm-relu": openNorm, "norm-relu-add": openNorm,
		"cond-norm": openCondNorm, "attention": openAttention,
		"relu": openElement, "relu-grad": openElement, "add": openElement, "tanh": openElement,
		"bias-grad": openElement,
		"avgpool2":  openPool, "avgpool2-grad": openPool, "maxpool2": openPool,
		"maxpool2-grad": openPool, "maxpool3s2": openPool, "global-avgpool": openPool,
		"upsample2": openPool, "upsample2-grad": openPool,
		"softmax": openSoftmax, "cross-entropy": openCrossEntropy,
		"sgd": openOptimizer, "adam": openOptimizer, "ema": openOptimizer,
		"adam-ema": openOptimizer, "spectral": openSpectral,
		"loader": openLoader,
	}
}

// stepOpeners lists the kinds of steps, which run on any backend: on one that keeps a ledger too.
func stepOpeners() map[string]func(tensor.Backend, Spec) (job, error) {
	return map[string]func(tensor.Backend, Spec) (job, error){
		"classifier": openClassifier, "training": openTraining, "gan-d": openPlayer, "gan-g": openPlayer,
		"inverter": openInverter, "inference": openInference, "paint": openPaint,
	}
}

// scoped is a job whose memory is a scope's.
func scoped(s *tensor.Scope, run func()) job {
	return job{run: func() error { run(); return nil }, close: s.Close}
}

// inference is a job of forward passes of m, all with one nn.Inference, which owns m's weights.
func inference(b tensor.Backend, s *tensor.Scope, m nn.Module, run func(*nn.Inference)) job {
	i := nn.NewInference(b)
	i.Own(nn.List(m), func(p nn.Named) { nn.Redraw(p, seed) })
	return job{run: func() error { run(i); return nil }, close: func() {
		i.Close()
		s.Close()
	}}
}

// draw returns random numbers in (−1, 1) of the given shape; equal names give equal numbers.
func draw(s *tensor.Scope, name string, shape ...int) *tensor.Tensor {
	return tensor.FromSlice(s, random(tensor.Shape(shape).Size(), name), shape...)
}
