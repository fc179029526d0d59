package autodiff

// Gradients that can wait
//
// What a gradient of a leaf is made of has to be there when the pass ends, and no sooner: no other
// node reads it. So where a backend differentiates one op of many leaves in one go, as a GPU does
// the spectral quotients of all of a network's weights, their nodes are put off until the pass has
// come through, and their VJPs made together. The bits are those of one after the other.

// A joint op is one that some backends differentiate in one go for many nodes.
type joint interface {
	Op
	// joins reports whether g's backend is one of them.
	joins(g *Graph) bool
	// vjps returns, for nodes of this op and a cotangent of each, what VJP would for input 0 if no
	// other were needed.
	vjps(nodes []*Node, dys []*Value) []*Value
}

// postpones reports whether n can wait until the pass has come through, and notes it if so: what it
// makes is a leaf's, so that no other node asks for it.
func (p *pass) postpones(n *Node) bool {
	op, ok := n.op.(joint)
	if !ok || p.g.recording || n.freed || n.in[0].node != nil || p.of(n.out).adj == nil ||
		!n.in[0].needGrad || !p.of(n.in[0]).leads || !op.joins(p.g) {
		return false
	}
	for _, in := range n.in[1:] {
		if in.needGrad && p.of(in).leads {
			return false
		}
	}
	p.postponed = append(p.postponed, n)
	return true
}

// catchUp visits the nodes that were postponed. There is one joint op so far: all are of it.
func (p *pass) catchUp() {
	if len(p.postponed) == 0 {
		return
	}
	dys := make([]*Value, len(p.postponed))
	for i, n := range p.postponed {
		dys[i] = p.of(n.out).adj
	}
	dxs := p.g.hide(func() []*Value { return p.postponed[0].op.(joint).vjps(p.postponed, dys) })
	p.joint = map[*Node]*Value{}
	for i, n := range p.postponed {
		p.joint[n] = dxs[i]
	}
	for _, n := range p.postponed {
		p.step(n)
	}
}
