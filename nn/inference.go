package nn

import (
	"afterimage/autodiff"
	"afterimage/tensor"
)

// An Inference makes forward passes in evaluation mode through networks whose parameters stay as
// they are. What layers derive from parameters alone, convolutions with batch norm inside them and
// spectrally normalised weights, is computed by the first pass and kept until Close. On the CPU
// their packed forms stay too: in all twice the memory of the weights, and four to five times that
// of 3×3 filters in Winograd's form. After a change of parameters a new Inference is needed; one
// that was opened before may answer with old values.
type Inference struct {
	graph *autodiff.Graph
	ctx   *Ctx
}

// NewInference opens an Inference on b.
func NewInference(b tensor.Backend) *Inference {
	g := autodiff.NewGraph(b)
	c := NewCtx(g, false)
	c.lasting = true
	return &Inference{g, c}
}

// Pass calls f with the context for one or several forward passes on c.Graph, which records
// nothing. What f computes is freed when it returns, so f copies what it wants to keep.
func (i *Inference) Pass(f func(c *Ctx)) {
	i.graph.NoGrad(func() {
		i.graph.Tidy(func() *autodiff.Value {
			f(i.ctx)
			return nil
		})
	})
}

// Close frees what was kept.
func (i *Inference) Close() { i.graph.Close() }
