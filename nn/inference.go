package nn

import (
	"fmt"
	"hash/crc32"

	"afterimage/autodiff"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
)

// An Inference makes forward passes in evaluation mode through networks whose parameters stay as
// they are. What layers derive from parameters alone, convolutions with batch norm inside them and
// spectrally normalised weights, is computed by the first pass and kept until Close. On the CPU
// their packed forms are what stays, and the rest is computed again should a pass of another shape
// need another form: in all as much memory again as the weights, and up to four times that of 3×3
// filters in Winograd's form. With Own the parameters themselves go, too. Of an imported network's
// pass the list of its ops stays as well (Ctx.Planned). After a change of parameters a new
// Inference is needed; one that was opened before may answer with old values.
type Inference struct {
	graph *autodiff.Graph
	ctx   *Ctx
}

// NewInference opens an Inference on b.
func NewInference(b tensor.Backend) *Inference {
	g := autodiff.NewGraph(b)
	c := NewCtx(g, Eval)
	c.lasting, c.owned, c.plans = true, map[*Param]func(){}, map[any]*plan{}
	return &Inference{g, c}
}

// Own lets the Inference give up the memory of parameters in ps once it has derived all it needs
// from them: that of convolution and spectrally normalised weights, where it is 256 KiB or more and
// the system can take pages back (Linux). Whoever reads or writes such a parameter later, the
// Inference for another form of a weight included, which a pass of another shape may need, has
// again called, which writes the parameter's values once more, from the file they came from for
// instance. It panics with *tensor.Error, in whatever touches the parameter, if they are not the
// same bits; until they are, so does the next. Call Own before the first pass, for parameters in
// host memory. Others, and parameters without values, stay. To give the network other weights, load
// them into a new one: the old values have to be had again before they can be overwritten.
func (i *Inference) Own(ps Params, again func(p Named)) {
	for _, p := range ps {
		if p.Param.T == nil || p.Param.T.DType() != tensor.F32 {
			continue
		}
		if _, ok := p.Param.T.Buffer().(tensor.HostBuffer); !ok {
			continue
		}
		sum := checksum(p.Param.T)
		i.ctx.owned[p.Param] = func() {
			again(p)
			if checksum(p.Param.T) != sum {
				panic(&tensor.Error{Op: "Inference.Own", Reason: fmt.Sprintf("parameter %s was given up, "+
					"and reading it again gave other values: has its file changed?", p.Name)})
			}
		}
	}
}

// OwnFile is Own for parameters whose values read reads again, by name, from a file that must stay
// as it is.
func (i *Inference) OwnFile(ps Params, read func(name string) (checkpoint.Array, error)) {
	i.Own(ps, func(p Named) {
		a, err := read(p.Name)
		if want := p.Param.Shape.Size(); err == nil && a.Len() != want {
			err = tensor.Refuse("%s: expected %d numbers, got %d: put the file back that was opened", p.Name,
				want, a.Len())
		}
		if err != nil {
			panic(&tensor.Error{Op: "Inference.Own", Reason: fmt.Sprintf("weights are to be read again, "+
				"and their file is gone or another one: %v", err)})
		}
		tensor.CopyFromHost(p.Param.T, a.Float32s())
	})
}

// checksum tells contents of a tensor in host memory from others, but for one chance in 2³².
func checksum(t *tensor.Tensor) uint32 {
	bytes := t.Buffer().(tensor.HostBuffer).HostBytes()
	return crc32.Checksum(bytes, crc32.MakeTable(crc32.Castagnoli))
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

// Record is Pass on a graph that records: f may ask for gradients with respect to leaves that it
// makes on c.Graph, an attack's images for instance. Parameters are constants. What is kept are
// the weights that layers compute, but not their packed forms, which for two directions would be
// several times as large.
func (i *Inference) Record(f func(c *Ctx)) {
	i.graph.Tidy(func() *autodiff.Value {
		f(i.ctx)
		return nil
	})
}

// Close frees what was kept. Parameters that were given up come back when they are read.
func (i *Inference) Close() { i.graph.Close() }
