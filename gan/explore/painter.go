package explore

import (
	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/gan/metrics"
	"afterimage/nn"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// An Answer is what a classifier says of n images, in host memory.
type Answer struct {
	Logits   *mat.Dense // [n K], raw
	Features *mat.Dense // [n F], penultimate; nil if the classifier has none
}

// Classes returns the class each image is put into: argmax of the logits.
func (a Answer) Classes() []int32 { return metrics.Argmax(a.Logits) }

// A Network looks at images.
type Network interface {
	// Ask returns what the network says of the images, one row for each.
	Ask(m metrics.Images) Answer
}

// Noise names one noise draw: image i's vector is a pure function of (Seed, Draw, i).
type Noise struct {
	Seed uint64
	Draw int
}

// A Painter is a network with an inverter of its answers.
type Painter interface {
	Network
	// Paint returns a picture for each row of the answer.
	Paint(a Answer, n Noise) metrics.Images
}

// batchSize is how many images pass through a network at a time: a few tens of megabytes of
// activations for the networks of 32-pixel images.
const batchSize = 64

// FromClassifier returns a classifier, whose weights live in s, as a Network. It lasts as long as
// s, as does what its layers derive from weights (nn.Inference).
func FromClassifier(s *tensor.Scope, m gan.Classifier) Network { return newClassifier(s, m) }

type classifier struct {
	passes *nn.Inference
	model  gan.Classifier
}

func newClassifier(s *tensor.Scope, m gan.Classifier) *classifier {
	c := &classifier{m.Inference(s.Backend()), m}
	s.OnClose(c.passes.Close)
	return c
}

// Ask runs the classifier in evaluation mode.
func (c *classifier) Ask(m metrics.Images) Answer {
	m = m.In(metrics.Unit)
	a := Answer{Logits: metrics.NewDense(m.N, c.model.Classes())}
	if d := c.model.FeatureDim(); d > 0 {
		a.Features = metrics.NewDense(m.N, d)
	}
	for lo := 0; lo < m.N; lo += batchSize {
		part := m.Slice(lo, min(lo+batchSize, m.N))
		c.passes.Pass(func(ctx *nn.Ctx) {
			g := ctx.Graph
			x := tensor.FromSlice(g.Scope(), part.Pix, part.N, part.H, part.W, part.C)
			f, z := c.model.Features(ctx, g.Const(x))
			if f != nil {
				copyRows(a.Features, lo, tensor.ToHost[float32](f.Tensor()))
			}
			copyRows(a.Logits, lo, tensor.ToHost[float32](z.Tensor()))
		})
	}
	return a
}

// FromInverter returns an inverter, whose weights live in s, as a Painter. It lasts as long as s,
// as does what its layers derive from weights (nn.Inference).
func FromInverter(s *tensor.Scope, v *gan.Inverter) Painter {
	p := &inverter{newClassifier(s, v.Conditioner.Model), s.Backend(), v, v.Inference(s.Backend())}
	s.OnClose(p.painting.Close)
	return p
}

type inverter struct {
	*classifier
	backend  tensor.Backend
	v        *gan.Inverter
	painting *nn.Inference // of the generator
}

// Paint turns the answer into the inverter's condition and paints from it.
func (p *inverter) Paint(a Answer, n Noise) metrics.Images {
	rows, _ := a.Logits.Dims()
	size := p.v.Config.Net.Size
	pix := make([]float32, 0, rows*size*size*3)
	s := tensor.NewScope(p.backend)
	defer s.Close()
	key := tensor.NewKey(n.Seed, "explore/noise")
	z, dim := tensor.ToHost[float32](p.v.Noise(s, key, uint32(n.Draw), rows)), p.v.Config.Net.ZDim
	for lo := 0; lo < rows; lo += batchSize {
		hi := min(lo+batchSize, rows)
		g := autodiff.NewGraph(p.backend)
		g.NoGrad(func() {
			logits := g.Const(upload(g.Scope(), a.Logits, lo, hi))
			var features *autodiff.Value
			if a.Features != nil {
				features = g.Const(upload(g.Scope(), a.Features, lo, hi))
			}
			cond := p.v.Conditioner.Of(g, logits, features).Tensor()
			noise := tensor.FromSlice(g.Scope(), z[lo*dim:hi*dim], hi-lo, dim)
			pix = append(pix, tensor.ToHost[float32](p.v.PaintWith(p.painting, g.Scope(), cond,
				noise))...)
		})
		g.Close()
	}
	return metrics.NewImages(rows, size, size, 3, metrics.Signed, pix)
}

// upload copies rows lo to hi−1 of a matrix into a float32 tensor of s.
func upload(s *tensor.Scope, m *mat.Dense, lo, hi int) *tensor.Tensor {
	_, d := m.Dims()
	x := make([]float32, 0, (hi-lo)*d)
	for i := lo; i < hi; i++ {
		for _, v := range m.RawRowView(i) {
			x = append(x, float32(v))
		}
	}
	return tensor.FromSlice(s, x, hi-lo, d)
}

// copyRows writes rows of float32 values into m from row lo on.
func copyRows(m *mat.Dense, lo int, x []float32) {
	_, d := m.Dims()
	for i, v := range x {
		m.Set(lo+i/d, i%d, float64(v))
	}
}
