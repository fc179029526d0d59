package autodiff

import "afterimage/tensor"

// What becomes of a gradient
//
// The cotangent of an activation x = ReLU(…) is a sum over whatever reads x, and its way on begins
// with a mask:
//
//	dx = d₁ + d₂ + …,    then    x > 0 ? dx : 0.
//
// By ops each sign is a pass over memory: read two tensors, write one. In a residual network's
// block the last of the d is the input gradient of a convolution, a kernel that computes long on
// each number it stores. While it has the number in the cache it can just as well add what has
// arrived before, and mask the sum: the same operations on the same numbers, without the passes.
//
// Neither the convolution nor the ReLU can know this; the backward pass does. It visits nodes in
// the reverse order of their creation, so when it comes to the first node that read x, all others
// have sent their part. Grad then offers the VJP at work to join its gradient to them (join), and
// what the VJP has done Grad leaves out: the addition here, the mask in Node.throughReLU, in the
// VJP of the op that made x. Offers are declined by saying nothing, which all VJPs do but
// convolution's, and that one on a backend that is no tensor.InputGradMasker or does not gain from
// it in a tensor of x's shape. Then Grad adds, and masks the sum in the same pass where the backend
// can (tensor.SumMasker). Under CreateGraph nothing is offered: there the tape is to see each step.
//
// A ReLU behind a batch norm alone is left out of all this: the norm's gradient reads its input
// anyway, and that says where the ReLU was positive (BatchNormReLU).
//
// A ResNet's basic block, in tensors read and written between the kernels of its backward pass:
//
//	                         by ops             masked sum         joined
//	sum over the fork        d₁ d₂ → dx         d₁ d₂ x → dy       d₂, at the store
//	mask of the block's end  dx x → dy          –                  x, at the store
//	its batch norm           dy h, dy h → dh    the same           the same
//	batch norm inside        da h, da h → dh    the same           the same
//	                         16                 14                 12

// A join is what a VJP is offered to do to the gradient of its node's first input x, and told about
// its cotangent.
type join struct {
	add    *tensor.Tensor // what has arrived at x, to be added; nil: nothing yet
	relu   *tensor.Tensor // x, then to mask the sum with; nil: x is no ReLU's, or more is to arrive
	taken  bool           // the VJP has done it
	masked bool           // the cotangent has gone through the node's ReLU
}

// A masking op begins its VJP by masking the cotangent with its output, through a ReLU.
type masking interface{ masksWithOut() bool }

func masks(op recorded) bool {
	m, ok := op.(masking)
	return ok && m.masksWithOut()
}

// offer returns what n's VJP may do.
func (p *pass) offer(n *Node) *join {
	x, j := n.in[0], &join{masked: p.masked[n.out]}
	if !p.g.recording && x.gradientType() == x.DType() {
		if old := p.adj[x]; old != nil {
			j.add = old.t
		}
		if p.maskable(n, x) {
			j.relu = x.t
		}
	}
	return j
}

// maskable reports whether x's cotangent is complete, and can go through a ReLU, as soon as n's VJP
// has sent its part.
func (p *pass) maskable(n *Node, x *Value) bool {
	return !p.g.recording && p.readers[x] == 0 && !p.wanted[x] && x.node != nil && !x.node.freed &&
		masks(x.node.op) && count(n.in, x) == 1
}

// joining makes j what the VJP at work may do, until the function it returns is called.
func (g *Graph) joining(j *join) (end func()) {
	was := g.join
	g.join = j
	return func() { g.join = was }
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

// joined notes that dx is all that has arrived at x.
func (p *pass) joined(x, dx *Value, j *join) {
	old := p.adj[x]
	p.adj[x] = dx
	p.held[dx]++
	if old != nil {
		p.drop(old)
	}
	p.masked[x] = j.relu != nil
}

// throughReLU takes the cotangent of n, a masking op, through its ReLU unless that has been done.
func (n *Node) throughReLU(dy *Value) *Value {
	if n.masked() {
		return dy
	}
	return reluMask(dy, n.Out())
}

// masked reports, in n's VJP, whether the cotangent has gone through n's ReLU.
func (n *Node) masked() bool {
	j := n.out.graph.join
	return j != nil && j.masked
}
