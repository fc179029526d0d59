package nn

import (
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// DefaultSpectralEps guards the norms of a power iteration against zero vectors. BigGAN's authors'
// PyTorch code uses 1e-6 for ImageNet and 1e-8 for CIFAR; it matters only for a zero matrix.
const DefaultSpectralEps = 1e-6

// SpectralNorm divides a weight by an estimate of its largest singular value on the view
// M = [out, everything else]. With the stored vector u:
//
//	v = Mᵀu/max(‖Mᵀu‖, eps),  u′ = Mv/max(‖Mv‖, eps),  σ = u′ᵀMv,  W̄ = W/σ.
//
// u′ and v are constants for differentiation; σ is differentiated through W, to any order.
//
// One iteration is made for each forward pass (Ctx), however often the layer is called in it. In
// training u′ is recorded in the pass's Updates; in evaluation the same iteration starts from the
// stored u and is forgotten, so that the estimate is never staler than the weight.
//
// Source: Miyato et al., ICLR 2018, algorithm 1; the eps convention is PyTorch's F.normalize.
type SpectralNorm struct {
	U   *Param // "weight_u" [out], a buffer
	W   *Param // the layer's own weight, which the layer lists
	Eps float64

	alone bool // its layer makes something else of W̄: PowerIterate leaves W̄ to it
}

// NewSpectralNorm declares spectral normalisation of w; eps 0 means DefaultSpectralEps.
func NewSpectralNorm(w *Param, eps float64) *SpectralNorm {
	if eps == 0 {
		eps = DefaultSpectralEps
	}
	u := &Param{Shape: tensor.Shape{w.Shape[0]}, Init: NormalInit{1}, Buffer: true, NoWD: true}
	u.norm = &SpectralNorm{U: u, W: w, Eps: eps}
	return u.norm
}

// A spectralVectors key finds a pass's power iteration in Derived.
type spectralVectors struct{ sn *SpectralNorm }

// A spectralWeight key finds a pass's W̄. A constant made where nothing is recorded must not stand
// in for the differentiable one.
type spectralWeight struct {
	sn        *SpectralNorm
	recording bool
}

// uv holds the singular vector estimates, u [1 out] and v [1 rest], and uᵀMv where a kernel has
// computed it with them, else nil.
type uv struct {
	u, v  *autodiff.Value
	sigma *tensor.Tensor
}

func (it uv) quotient(w *autodiff.Value, dt tensor.DType) autodiff.Quotient {
	return autodiff.Quotient{W: w, U: it.u, V: it.v, Sigma: it.sigma, DType: dt}
}

// Weight returns W̄ in W's shape: one and the same for all calls in an Inference and in a pass
// where a gradient may be asked for, else a new one for each call, whose owner is the caller.
func (s *SpectralNorm) Weight(c *Ctx) *autodiff.Value {
	return c.derivedWeight(spectralWeight{s, c.Graph.Recording()}, s.W,
		func() *autodiff.Value { return s.divided(c, c.Value(s.W).DType()) })
}

// divided returns W̄ in dt, W's dtype or BF16, computed anew.
func (s *SpectralNorm) divided(c *Ctx, dt tensor.DType) *autodiff.Value {
	it := s.vectors(c)
	return autodiff.SpectralQuotient(it.quotient(c.Value(s.W), dt))
}

// vectors returns the pass's singular vector estimates.
func (s *SpectralNorm) vectors(c *Ctx) uv {
	return Derived(c, spectralVectors{s}, func() uv { return s.iterate(c) })
}

// Sigma returns the estimate of the largest singular value, [1 1], for logs: its growth is the
// usual sign of a collapsing GAN.
func (s *SpectralNorm) Sigma(c *Ctx) *autodiff.Value { return s.sigma(c, c.Value(s.W)) }

// sigma returns u′ᵀMv, differentiable in w.
func (s *SpectralNorm) sigma(c *Ctx, w *autodiff.Value) *autodiff.Value {
	it := s.vectors(c)
	mv := autodiff.MatMul(it.v, s.matrix(w), false, true)
	return autodiff.MatMul(mv, it.u, false, true)
}

// An iterated key says that a pass has made all power iterations of a module.
type iterated struct{ m Module }

// PowerIterate makes the pass's power iterations of all spectrally normalised layers of m in one
// go, where the backend has a kernel for many (tensor.SpectralFuser); elsewhere, and without it,
// each layer makes its own when it needs it. Call it where a forward pass through m begins. m must
// be comparable, a pointer for example. The results are the same either way.
func PowerIterate(c *Ctx, m Module) {
	b, ok := c.Graph.Backend().(tensor.SpectralFuser)
	if !ok {
		return
	}
	Derived(c, iterated{m}, func() struct{} {
		var norms []*SpectralNorm
		for _, p := range m.Params() {
			if s := p.norm; s != nil && c.derived[spectralVectors{s}] == nil {
				norms = append(norms, s)
			}
		}
		iterateAll(c, b, norms)
		divideAll(c, norms)
		return struct{}{}
	})
}

// divideAll makes the W̄ of a pass of which a gradient may be asked, for which they are kept in any
// case, in one go where the backend can: filters in what activations are kept in, all else as the
// weight is. A layer that asks for another dtype makes its own.
func divideAll(c *Ctx, norms []*SpectralNorm) {
	if _, ok := c.Graph.Backend().(tensor.ManySpectralFuser); !ok || !c.Graph.Recording() {
		return
	}
	var quotients []autodiff.Quotient
	var keys []any
	for _, s := range norms {
		if s.alone {
			continue
		}
		w := c.Value(s.W)
		dt, key := w.DType(), any(spectralWeight{s, true})
		const filter = 4 // axes of one
		if len(s.W.Shape) == filter && dt == tensor.F32 && c.Activations == tensor.BF16 {
			dt, key = tensor.BF16, roundedWeight{s.W, tensor.BF16, true}
		}
		quotients = append(quotients, s.vectors(c).quotient(w, dt))
		keys = append(keys, key)
	}
	for i, divided := range autodiff.SpectralQuotients(quotients) {
		c.derived[keys[i]] = c.hoist(divided)
	}
}

// iterateAll makes power iterations by the backend's kernel.
func iterateAll(c *Ctx, b tensor.SpectralFuser, norms []*SpectralNorm) {
	var w, u, next, v, sigma []*tensor.Tensor
	var eps []float64
	for _, s := range norms {
		m := c.Value(s.W).Tensor()
		w, u = append(w, m), append(u, c.Value(s.U).Tensor())
		next = append(next, c.scope.New(m.DType(), 1, m.Dim(0)))
		v = append(v, c.scope.New(m.DType(), 1, m.Shape()[1:].Size()))
		sigma = append(sigma, c.scope.New(m.DType(), 1))
		eps = append(eps, s.Eps)
	}
	b.PowerIterate(next, v, sigma, w, u, eps)
	for i, s := range norms {
		c.derived[spectralVectors{s}] = uv{c.Graph.Const(next[i]), c.Graph.Const(v[i]), sigma[i]}
		s.record(c, next[i])
	}
}

// record makes u′ the next pass's u, in training.
func (s *SpectralNorm) record(c *Ctx, u *tensor.Tensor) {
	if c.Train {
		c.Updates.Set(s.U, c.scope.Reshape(u, s.U.Shape...))
	}
}

// iterate makes the pass's one power iteration of a layer, which PowerIterate has not done before:
// by the kernel, or by the definition.
func (s *SpectralNorm) iterate(c *Ctx) (it uv) {
	if b, ok := c.Graph.Backend().(tensor.SpectralFuser); ok {
		iterateAll(c, b, []*SpectralNorm{s})
		return c.derived[spectralVectors{s}].(uv)
	}
	c.Graph.NoGrad(func() {
		m := s.matrix(c.Graph.Const(c.Value(s.W).Tensor()))
		u := autodiff.Reshape(c.Value(s.U), 1, s.U.Shape[0])
		v := s.normalise(autodiff.MatMul(u, m, false, false))
		u = s.normalise(autodiff.MatMul(v, m, false, true))
		it = uv{u: c.hoist(u), v: c.hoist(v)}
	})
	s.record(c, it.u.Tensor())
	return it
}

// normalise returns x/max(‖x‖, eps).
func (s *SpectralNorm) normalise(x *autodiff.Value) *autodiff.Value {
	norm := autodiff.Sqrt(autodiff.Sum(autodiff.Square(x)))
	return autodiff.Div(x, autodiff.Clamp(norm, s.Eps, math.Inf(1)))
}

// matrix returns the view [out, everything else].
func (s *SpectralNorm) matrix(w *autodiff.Value) *autodiff.Value {
	return autodiff.Reshape(w, s.W.Shape[0], s.W.Shape[1:].Size())
}
