package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
)

// activate makes one node of a convolution or a linear layer and the activation behind it, where
// nobody else reads what lies between. It comes after settle, when bounds that exporters compute
// are constants. A ReLU is fuse's.
func (g *Graph) activate() {
	readers := map[string]int{}
	for _, n := range g.nodes {
		for _, in := range n.in {
			readers[in]++
		}
	}
	for _, o := range g.outputs {
		readers[o]++
	}
	made := map[string]int{} // the nodes of convolutions by their results
	for i, n := range g.nodes {
		if n.domain == internal && (n.op == "Conv" || n.op == "Linear") {
			made[n.out[0]] = i
			if w, ok := g.consts[n.in[1]]; ok && w.dev != nil && n.op == "Conv" {
				n.prepare(w.dev.Shape())
			}
			continue
		}
		if len(n.in) == 0 || len(n.out) != 1 || n.domain != "" {
			continue
		}
		at, ok := made[n.in[0]]
		if !ok || readers[n.in[0]] != 1 || g.nodes[at].hasAttr(fusedReLU) {
			continue
		}
		act, ok := g.activation(n)
		if !ok {
			continue
		}
		conv := *g.nodes[at]
		conv.out, conv.act = n.out, &act
		g.nodes[at], g.nodes[i] = nil, &conv
	}
	g.nodes = slices.DeleteFunc(g.nodes, func(n *node) bool { return n == nil })
	g.noteLast()
}

// activation returns what a node computes of its first operand, if that is an Activation.
func (g *Graph) activation(n *node) (act autodiff.Activation, ok bool) {
	switch n.op {
	case "Clip":
		lo, known := g.bound(n, 1, "min", math.Inf(-1))
		hi, too := g.bound(n, 2, "max", math.Inf(1))
		return autodiff.ClampAct(lo, hi), known && too && lo <= hi
	case "HardSwish":
		return autodiff.HardSwishAct(), true
	case "HardSigmoid":
		return autodiff.HardSigmoidAct(n.attrFloat("alpha", 0.2), n.attrFloat("beta", 0.5)), true
	case "Sigmoid":
		return autodiff.SigmoidAct(), true
	case "Swish":
		return autodiff.SiLUAct(), n.attrFloat("alpha", 1) == 1
	case "Gelu":
		return autodiff.GELUAct(), n.attrString("approximate", "none") == "none"
	}
	return act, false
}

// bound returns a bound of a Clip, an operand or, before opset 11, an attribute; known is false if
// it is no constant.
func (g *Graph) bound(n *node, operand int, name string, none float64) (v float64, known bool) {
	if n.opset < 11 {
		return n.attrFloat(name, none), true
	}
	if operand >= len(n.in) || n.in[operand] == "" {
		return none, true
	}
	c, ok := g.consts[n.in[operand]]
	switch {
	case !ok || c.size() != 1:
		return 0, false
	case c.host != nil:
		return c.host.at(0), true
	}
	return c.dev.Floats()[0], true
}
