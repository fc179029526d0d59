package lpips

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"afterimage/autodiff"
	"afterimage/gan/metrics"
	"afterimage/nn"
	"afterimage/tensor"
)

// Eps is added to the channel norm, outside the root.
//
// Source: richzhang/PerceptualSimilarity, v0.1.
const Eps = 1e-10

// inputScaling maps [−1, 1] to what the backbones were trained on: ImageNet's channel means and
// deviations in units of [−1, 1], to the digits of the original.
func inputScaling() nn.Normalize {
	return nn.Normalize{Mean: []float64{-.030, -.088, -.188}, Std: []float64{.458, .448, .450}}
}

// A Metric is LPIPS v0.1 with one backbone. For images x, y and the backbone's taps l = 1 … L with
// activations f_l [H_l W_l C_l],
//
//	d(x, y) = Σ_l 1/(H_l·W_l) · Σ_hw Σ_c w_lc · (n_hwc(x) − n_hwc(y))²
//	n       = f / (√(Σ_c f²) + Eps).
//
// The published w are not negative, so that d ≥ 0, and 0 for equal images. Lower is more alike.
//
// Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as
// a perceptual metric", CVPR 2018, equation 1; conventions of its authors' code, version 0.1.
type Metric struct {
	net     Net
	scale   nn.Normalize
	body    backbone
	lin     []*nn.Param // a tap's weights [1 1 1 C], OHWI
	backend tensor.Backend
}

// New declares the metric without weights, for a caller that brings its own; see Open. It panics
// with *tensor.Error if there is no such net.
func New(b tensor.Backend, net Net) *Metric {
	spec := net.spec()
	m := &Metric{net: net, scale: inputScaling(), body: spec.build(), backend: b}
	for _, c := range spec.channels {
		m.lin = append(m.lin, &nn.Param{Shape: tensor.Shape{1, 1, 1, c}, Init: nn.Constant(1)})
	}
	return m
}

// Net returns the backbone's name.
func (m *Metric) Net() Net { return m.net }

// Backbone returns the backbone's parameters, under torchvision's names.
func (m *Metric) Backbone() nn.Params { return nn.List(m.body) }

// Linear returns the linear weights, under the names of the published files.
func (m *Metric) Linear() nn.Params {
	ps := make(nn.Params, len(m.lin))
	for i, p := range m.lin {
		ps[i] = nn.Named{Name: fmt.Sprintf("lin%d.model.1.weight", i), Param: p}
	}
	return ps
}

// Forward returns the distances [N] of images a, b [N H W 3] with values in [−1, 1], as a value
// that can be differentiated, to any order, with respect to the images (and to the parameters that
// c learns).
//
// The norm √(Σ f²) has no derivative where all channels of a pixel are 0, behind ReLUs a common
// case: there n is 0 and so, by definition, are its derivatives of every order.
//
// Panics with *tensor.Error if the shapes differ, there are not three channels, or the images are
// smaller than the net's Smallest.
func (m *Metric) Forward(c *nn.Ctx, a, b *autodiff.Value) *autodiff.Value {
	terms := m.Terms(c, a, b)
	sum := terms[0]
	for _, t := range terms[1:] {
		sum = autodiff.Add(sum, t)
	}
	return sum
}

// Terms returns the summands of Forward, one [N] for each tap. Panics as Forward does.
func (m *Metric) Terms(c *nn.Ctx, a, b *autodiff.Value) []*autodiff.Value {
	least := m.net.Smallest()
	if s := a.Shape(); len(s) != 4 || s[3] != 3 || min(s[1], s[2]) < least || !s.Equal(b.Shape()) {
		panic(&tensor.Error{Op: "lpips", Operands: []tensor.Operand{
			tensor.Describe("a", a.Tensor()), tensor.Describe("b", b.Tensor())},
			Reason: fmt.Sprintf(
				"expected two batches [N H W 3] of one shape, for %s with H, W ≥ %d", m.net, least)})
	}
	fa := m.body.Taps(c, m.scale.Forward(c, a))
	fb := m.body.Taps(c, m.scale.Forward(c, b))
	terms := make([]*autodiff.Value, len(fa))
	for i := range fa {
		terms[i] = c.Graph.Tidy(func() *autodiff.Value {
			d := autodiff.Sub(UnitNormalize(fa[i]), UnitNormalize(fb[i]))
			d = autodiff.Mean(autodiff.Square(d), 1, 2) // [N C]: it commutes with the convolution
			w := autodiff.Reshape(c.Value(m.lin[i]), 1, m.lin[i].Shape.Size())
			return autodiff.Reshape(autodiff.MatMul(d, w, false, true), d.Dim(0))
		})
		fa[i].Done()
		fb[i].Done()
	}
	return terms
}

// UnitNormalize returns n = f / (√(Σ_c f²) + Eps) for activations f [N H W C], 0 where all channels
// are 0. The derivative of n there is 0 in this function, of every order. A column whose squares
// all underflow counts as zero.
func UnitNormalize(f *autodiff.Value) *autodiff.Value {
	g := f.Graph()
	sum := autodiff.SumKeep(autodiff.Square(f), -1)
	zero, one := g.Scalar(f.DType(), 0), g.Scalar(f.DType(), 1)
	dead := autodiff.Equal(sum, zero)
	// Guarding the root's operand keeps infinities out of its derivatives; masking the reciprocal
	// cuts the way through the factor f, too.
	norm := autodiff.AddScalar(autodiff.Sqrt(autodiff.Where(dead, one, sum)), Eps)
	return autodiff.Mul(f, autodiff.Where(dead, zero, autodiff.Recip(norm)))
}

// pixelsAtOnce bounds how many pixels of one side pass through the backbone at a time: some hundred
// megabytes of VGG's activations.
const pixelsAtOnce = 1 << 16

// Distance returns, per image, the distance between a and b. Batches of either range may be given,
// also of different ones; grey images count as three equal channels. It panics with *tensor.Error
// as Forward does.
func (m *Metric) Distance(a, b metrics.Images) []float64 {
	out := make([]float64, 0, a.N)
	m.each(a, b, func(c *nn.Ctx, x, y *autodiff.Value) {
		out = append(out, m.Forward(c, x, y).Tensor().Floats()...)
	})
	return out
}

// Layers returns, for each tap, the summands of Distance per image.
func (m *Metric) Layers(a, b metrics.Images) [][]float64 {
	out := make([][]float64, len(m.lin))
	m.each(a, b, func(c *nn.Ctx, x, y *autodiff.Value) {
		for i, t := range m.Terms(c, x, y) {
			out[i] = append(out[i], t.Tensor().Floats()...)
		}
	})
	return out
}

// each runs f on parts of a and b in [−1, 1], without recording.
func (m *Metric) each(a, b metrics.Images, f func(c *nn.Ctx, x, y *autodiff.Value)) {
	a, b = colour(a.In(metrics.Signed)), colour(b.In(metrics.Signed))
	if a.N != b.N || a.H != b.H || a.W != b.W {
		panic(&tensor.Error{Op: "lpips.Distance", Reason: fmt.Sprintf(
			"shapes differ: [%d %d %d %d] and [%d %d %d %d]",
			a.N, a.H, a.W, a.C, b.N, b.H, b.W, b.C)})
	}
	step := max(1, pixelsAtOnce/(a.H*a.W))
	for lo := 0; lo < a.N; lo += step {
		hi := min(lo+step, a.N)
		g := autodiff.NewGraph(m.backend)
		g.NoGrad(func() {
			value := func(p metrics.Images) *autodiff.Value {
				return g.Const(tensor.FromSlice(g.Scope(), p.Pix, p.N, p.H, p.W, p.C))
			}
			f(nn.NewCtx(g, nn.Eval), value(a.Slice(lo, hi)), value(b.Slice(lo, hi)))
		})
		g.Close()
	}
}

// colour repeats a single channel three times.
func colour(m metrics.Images) metrics.Images {
	if m.C != 1 {
		return m
	}
	pix := make([]float32, 0, 3*len(m.Pix))
	for _, v := range m.Pix {
		pix = append(pix, v, v, v)
	}
	return metrics.NewImages(m.N, m.H, m.W, 3, m.Range, pix)
}

// Features describes images by what the backbone's last tap says of them: the mean of each channel
// over all positions, one row an image [N C], for distances between sets of images. Grey images
// count as three equal channels. It panics with *tensor.Error if the images are smaller than the
// net's Smallest or there are none.
func (m *Metric) Features(images metrics.Images) *mat.Dense {
	if least := m.net.Smallest(); images.N == 0 || min(images.H, images.W) < least {
		panic(&tensor.Error{Op: "lpips.Features", Reason: fmt.Sprintf(
			"[%d %d %d %d]: expected images, for %s with H, W ≥ %d", images.N, images.H, images.W,
			images.C, m.net, least)})
	}
	channels := m.net.Channels()
	width := channels[len(channels)-1]
	out := make([]float32, 0, images.N*width)
	images = colour(images.In(metrics.Signed))
	step := max(1, pixelsAtOnce/(images.H*images.W))
	for lo := 0; lo < images.N; lo += step {
		part := images.Slice(lo, min(lo+step, images.N))
		g := autodiff.NewGraph(m.backend)
		g.NoGrad(func() {
			c := nn.NewCtx(g, nn.Eval)
			x := g.Const(tensor.FromSlice(g.Scope(), part.Pix, part.N, part.H, part.W, part.C))
			taps := m.body.Taps(c, m.scale.Forward(c, x))
			last := autodiff.Mean(taps[len(taps)-1], 1, 2)
			out = append(out, tensor.ToHost[float32](last.Tensor())...)
		})
		g.Close()
	}
	return metrics.Matrix(images.N, width, out)
}
