package nn

import (
	"fmt"
	"iter"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A LinearConfig describes a Linear layer. In and Out are required.
type LinearConfig struct {
	In, Out  int
	NoBias   bool
	Spectral bool        // divide the weight by its largest singular value; see SpectralNorm
	Eps      float64     // of Spectral; 0 means DefaultSpectralEps
	Init     Initializer // nil means PyTorch's default, U(±1/√In)
	BiasInit Initializer // nil means U(±1/√In)
}

// A Linear layer computes y = x·Wᵀ + b: x [N In] → y [N Out]. Parameters: "weight" [Out In] and,
// unless NoBias, "bias" [Out]; with Spectral also the buffer "weight_u" [Out].
type Linear struct {
	Weight   *Param
	Bias     *Param        // nil without a bias
	Spectral *SpectralNorm // nil without spectral normalisation
}

// NewLinear declares a linear layer. Panics with *tensor.Error if In or Out is not positive.
func NewLinear(cfg LinearConfig) *Linear {
	if cfg.In <= 0 || cfg.Out <= 0 {
		panic(&tensor.Error{Op: "NewLinear", Reason: fmt.Sprintf(
			"In %d and Out %d must be positive", cfg.In, cfg.Out)})
	}
	shape := tensor.Shape{cfg.Out, cfg.In}
	l := &Linear{Weight: newWeight(shape, cfg.Init)}
	if !cfg.NoBias {
		l.Bias = newBias(shape, cfg.BiasInit)
	}
	if cfg.Spectral {
		l.Spectral = NewSpectralNorm(l.Weight, cfg.Eps)
	}
	return l
}

// Params yields weight, bias and weight_u, as far as there are such.
func (l *Linear) Params() iter.Seq2[string, *Param] {
	return weightParams(l.Weight, l.Bias, l.Spectral).Params()
}

// Forward applies the layer to x [N In]. Panics if x has another shape.
func (l *Linear) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	w := effectiveWeight(c, l.Weight, l.Spectral, x.DType())
	defer c.spent(w, l.Weight)
	if l.Bias == nil {
		return autodiff.MatMul(x, w, false, true)
	}
	bias := effectiveWeight(c, l.Bias, nil, x.DType())
	defer c.spent(bias, l.Bias)
	return autodiff.Linear(x, w, bias)
}

// MACs returns the multiply-accumulates of one sample, In·Out.
func (l *Linear) MACs() int { return l.Weight.Shape.Size() }

// An Embedding is a table of rows, one for each class: "weight" [Classes Dim], with Spectral also
// the buffer "weight_u" [Classes].
type Embedding struct {
	Weight   *Param
	Spectral *SpectralNorm // nil without spectral normalisation
}

// An EmbeddingConfig describes an Embedding. Classes and Dim are required.
type EmbeddingConfig struct {
	Classes, Dim int
	Spectral     bool        // normalise the table as one matrix; see SpectralNorm
	Eps          float64     // of Spectral; 0 means DefaultSpectralEps
	Init         Initializer // nil means N(0, 1), PyTorch's default
}

// NewEmbedding declares a table. Panics with *tensor.Error if an extent is not positive.
func NewEmbedding(cfg EmbeddingConfig) *Embedding {
	if cfg.Classes <= 0 || cfg.Dim <= 0 {
		panic(&tensor.Error{Op: "NewEmbedding", Reason: fmt.Sprintf(
			"Classes %d and Dim %d must be positive", cfg.Classes, cfg.Dim)})
	}
	if cfg.Init == nil {
		cfg.Init = NormalInit{1}
	}
	e := &Embedding{Weight: &Param{Shape: tensor.Shape{cfg.Classes, cfg.Dim}, Init: cfg.Init}}
	if cfg.Spectral {
		e.Spectral = NewSpectralNorm(e.Weight, cfg.Eps)
	}
	return e
}

// Params yields weight and, if spectrally normalised, weight_u.
func (e *Embedding) Params() iter.Seq2[string, *Param] {
	return weightParams(e.Weight, nil, e.Spectral).Params()
}

// Lookup returns the rows of the labels idx, I32 [N] with values in [0, Classes): [N Dim].
func (e *Embedding) Lookup(c *Ctx, idx *tensor.Tensor) *autodiff.Value {
	w := effectiveWeight(c, e.Weight, e.Spectral, c.Value(e.Weight).DType())
	defer c.spent(w, e.Weight)
	return autodiff.Gather(w, idx)
}

// Mix returns v·W for weights v [N Classes]: [N Dim]. For one-hot rows it equals Lookup; for
// logits it is the dense form in which a vector takes a label's place.
func (e *Embedding) Mix(c *Ctx, v *autodiff.Value) *autodiff.Value {
	w := effectiveWeight(c, e.Weight, e.Spectral, v.DType())
	defer c.spent(w, e.Weight)
	return autodiff.MatMul(v, w, false, false)
}
