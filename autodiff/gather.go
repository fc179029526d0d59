package autodiff

// A gatherer is an op that some backends differentiate in one go for many nodes.
type gatherer interface {
	Op
	// gathers reports whether g's backend is one of them.
	gathers(g *Graph) bool
	// vjps returns, for nodes of this op and a cotangent of each, what VJP would for input 0 if no
	// other were needed.
	vjps(nodes []*Node, dys []*Value) []*Value
}

// postpones reports whether n can wait until the pass has come through, and notes it if so: what it
// makes is a leaf's, so that no other node asks for it.
func (p *pass) postpones(n *Node) bool {
	op, ok := n.op.(gatherer)
	if !ok || p.g.recording || n.freed || n.in[0].node != nil || p.of(n.out).adj == nil ||
		!n.in[0].needGrad || !p.of(n.in[0]).leads || !op.gathers(p.g) {
		return false
	}
	for _, in := range n.in[1:] {
		if in.needGrad && p.of(in).leads {
			return false
		}
	}
	p.late = append(p.late, n)
	return true
}

// gather does what was postponed. There is one gatherer so far, so that all nodes are of one op.
func (p *pass) gather() {
	if len(p.late) == 0 {
		return
	}
	dys := make([]*Value, len(p.late))
	for i, n := range p.late {
		dys[i] = p.of(n.out).adj
	}
	dxs := p.g.hide(func() []*Value { return p.late[0].op.(gatherer).vjps(p.late, dys) })
	p.gathered = map[*Node]*Value{}
	for i, n := range p.late {
		p.gathered[n] = dxs[i]
	}
	for _, n := range p.late {
		p.step(n)
	}
}
