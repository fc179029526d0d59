package autodiff

// A sum and its mask
//
// The cotangent of an activation x = ReLU(…) is a sum over whatever reads x, and its way on begins
// with a mask:
//
//	dx = d₁ + d₂ + …,    then    x > 0 ? dx : 0.
//
// By ops each sign is a pass over memory: read two tensors, write one. The last sum can just as
// well mask what it has added, with one tensor more to read instead of three to read and write.
//
// Neither the ops that send the d nor the ReLU can know this; the backward pass does. It visits
// nodes in the reverse order of their creation, so when it comes to the first node that read x, all
// others have sent their part. Grad then masks the sum in the pass that makes it, where the backend
// can (tensor.SumMasker), and Node.throughReLU leaves the mask out, in the VJP of the op that made
// x. Not so under CreateGraph: there the tape is to see each step.
//
// A ReLU behind a batch norm alone is left out of all this: the norm's gradient reads its input
// anyway, and that says where the ReLU was positive (BatchNormReLU).
//
// A ResNet's basic block, in tensors read and written between the kernels of its backward pass:
//
//	                         by ops             masked sum
//	sum over the fork        d₁ d₂ → dx         d₁ d₂ x → dy
//	mask of the block's end  dx x → dy          –
//	its batch norm           dy h, dy h → dh    the same
//	batch norm inside        da h, da h → dh    the same
//	                         16                 14

// A masking op begins its VJP by masking the cotangent with its output, through a ReLU.
type masking interface{ masksWithOut() bool }

func masks(op recorded) bool {
	m, ok := op.(masking)
	return ok && m.masksWithOut()
}

// maskable reports whether x's cotangent is complete, and can go through a ReLU, as soon as n's VJP
// has sent its part.
func (p *pass) maskable(n *Node, x *Value) bool {
	of := p.of(x)
	return !p.g.recording && of.readers == 0 && !of.wanted && x.node != nil && !x.node.freed &&
		masks(x.node.op) && count(n.in, x) == 1
}

// count returns how often x is among vs.
func count(vs []*Value, x *Value) (times int) {
	for _, v := range vs {
		if v == x {
			times++
		}
	}
	return times
}

// throughReLU takes the cotangent of n, a masking op, through its ReLU unless that has been done.
func (n *Node) throughReLU(dy *Value) *Value {
	if n.masked() {
		return dy
	}
	return reluMask(dy, n.Out())
}

// masked reports, in n's VJP, whether the cotangent has gone through n's ReLU.
func (n *Node) masked() bool { return n.out.graph.masked }
