package autodiff

import "afterimage/tensor"

// Attention computes y = softmax(scale·q·kᵀ)·v, the softmax over keys, for stacks of queries
// q [B L D], keys k [B M D] and values v [B M E]: y [B L E]. VJP, with p the softmax:
//
//	dv = pᵀ·dy,  ds = scale·p·(dy·vᵀ − Σₑ dy·y),  dq = ds·k,  dk = dsᵀ·q
//
// Where the backend has kernels for it (tensor.AttentionFuser) none of the [B L M] scores are
// stored, forward or backward. Panics if the operands do not fit. Source: Vaswani et al., 2017,
// equation 1; Dao et al., FlashAttention, 2022.
func Attention(q, k, v *Value, scale float64) *Value {
	floats("Attention", "q k v", q, k, v)
	if q.Rank() != 3 || k.Rank() != 3 || v.Rank() != 3 || k.Dim(0) != q.Dim(0) ||
		v.Dim(0) != q.Dim(0) || k.Dim(2) != q.Dim(2) || v.Dim(1) != k.Dim(1) {
		misuse("Attention", "expected q [B L D], k [B M D] and v [B M E]", "q k v", q, k, v)
	}
	o := attentionOp{scale}
	if b, ok := q.graph.Backend().(tensor.AttentionFuser); ok &&
		b.FusesAttention(q.live("Attention"), k.live("Attention"), v.live("Attention")) {
		return apply(o, q, k, v)
	}
	return o.composite([]*Value{q, k, v})
}

// composite is the definition.
func (o attentionOp) composite(in []*Value) *Value {
	return in[0].graph.compose(func() *Value {
		scores := MatMul(in[0], in[1], false, true)
		if o.scale != 1 {
			plain := scores
			scores = Scale(plain, o.scale)
			plain.Done()
		}
		p := Softmax(scores)
		scores.Done()
		y := MatMul(p, in[2], false, false)
		p.Done()
		return y
	})
}

// attentionOp is the kernel, which saves the logarithm of each query's sum. Gradients of gradients
// are the definition's.
type attentionOp struct{ scale float64 }

func (attentionOp) Name() string { return "Attention" }
func (attentionOp) Needs() Needs { return Needs{All: true, Out: true} }

func (o attentionOp) Forward(s *tensor.Scope, in tensors) (*tensor.Tensor, tensors) {
	q, v := in[0], in[2]
	y := s.New(q.DType(), q.Dim(0), q.Dim(1), v.Dim(2))
	lse := s.New(ofChannels(q.DType()), q.Dim(0), q.Dim(1))
	s.Backend().(tensor.AttentionFuser).Attention(y, lse, q, in[1], v, o.scale)
	return y, tensors{lse}
}

func (o attentionOp) VJP(n *Node, dy *Value, need []bool) []*Value {
	if n.HigherOrder() {
		return compositeVJP(n.in, dy, need, o.composite)
	}
	g := n.Graph()
	dxs, ts := make([]*Value, 3), make(tensors, 3)
	for i := range dxs {
		if need[i] {
			ts[i] = g.scope.Like(n.In(i).Tensor())
			dxs[i] = g.newValue(ts[i], o.Name())
		}
	}
	g.Backend().(tensor.AttentionFuser).AttentionGrad(ts[0], ts[1], ts[2], dy.Tensor(),
		n.Out().Tensor(), n.Saved(0).Tensor(), n.In(0).Tensor(), n.In(1).Tensor(), n.In(2).Tensor(),
		o.scale)
	return dxs
}
