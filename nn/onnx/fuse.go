package onnx

import (
	"maps"
	"math"
	"slices"
)

// fusedReLU is the attribute that fuse adds to a convolution or a linear layer whose result goes
// through a ReLU.
const fusedReLU = "afterimage.relu"

// fusedSum is the operand, behind the bias, that fuse adds to the result.
const fusedSum = 3

// scaleShifts makes a scale and a shift of each channel of batch normalisation with constant
// statistics, once.
func (b *builder) scaleShifts() {
	for i, n := range b.nodes {
		if n.domain != internal || n.op != "BatchNormalization" || len(n.in) != 5 {
			continue
		}
		var p [4][]float64 // gamma, beta, mean, variance
		elem, ok := Float, true
		for k, name := range n.in[1:] {
			c, known := b.consts[name]
			if ok = ok && known && len(c.shape) == 1 && c.shape.Equal(b.consts[n.in[1]].shape); ok {
				a := c.decode()
				p[k], elem = a.F, a.Elem
			}
		}
		if !ok || !elem.IsFloat() {
			continue
		}
		scale, shift := newArray(elem, len(p[0])), newArray(elem, len(p[0]))
		for c, gamma := range p[0] {
			scale.F[c] = gamma / math.Sqrt(p[3][c]+n.attrFloat("epsilon", 1e-5))
			shift.F[c] = p[1][c] - p[2][c]*scale.F[c]
		}
		m := *n
		m.op, m.impl = "ScaleShift", scaleShiftNHWC
		m.in = []string{n.in[0], n.out[0] + "/scale", n.out[0] + "/shift"}
		b.consts[m.in[1]] = literal{scale.Shape, func() *Array { return scale }}
		b.consts[m.in[2]] = literal{shift.Shape, func() *Array { return shift }}
		b.nodes[i] = &m
	}
}

// fuse makes one node of a convolution, a linear layer or a scaling, a bias, a sum with the result
// and a ReLU behind that, where nobody else reads what lies between: one pass over memory instead
// of four, and one for the gradient. The node takes the place of the last of them, where all
// operands are known.
func (b *builder) fuse() {
	readers := b.readers()
	made := map[string]int{} // the nodes of convolutions that may still take something in
	for i, n := range b.nodes {
		if n.domain == internal && slices.Contains([]string{"Conv", "Linear", "ScaleShift"}, n.op) {
			made[n.out[0]] = i
			continue
		}
		at, ok := b.fusible(n, made, readers)
		if !ok {
			continue
		}
		conv := *b.nodes[at]
		conv.in = slices.Clone(conv.in)
		other := n.in[0]
		if n.op != "Relu" && other == conv.out[0] {
			other = n.in[1]
		}
		switch {
		case n.op == "Relu":
			conv.attrs = conv.withInts(fusedReLU, 1)
		case b.isBiasOf(&conv, other):
			conv.in = append(conv.in, other)
		default:
			conv.in = append(conv.in, slices.Repeat([]string{""}, fusedSum-len(conv.in))...)
			conv.in = append(conv.in, other)
		}
		conv.out = n.out
		b.nodes[at], b.nodes[i] = nil, &conv
		if n.op != "Relu" {
			made[n.out[0]] = i
		}
	}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *node) bool { return n == nil })
}

// fusedScale is the attribute by which scales has a product multiplied.
const fusedScale = "afterimage.scale"

// scales makes the factors of attention's scores, by which exporters multiply queries, keys or
// both, part of the product.
func (b *builder) scales() {
	readers := b.readers()
	made := map[string]int{} // products with a number, read once
	for i, n := range b.nodes {
		if n.domain != "" || len(n.in) != 2 || len(n.out) != 1 {
			continue
		}
		if _, _, ok := b.scaled(n); ok && readers[n.out[0]] == 1 {
			made[n.out[0]] = i
		}
		if n.op != "MatMul" {
			continue
		}
		m := *n
		m.in = slices.Clone(n.in)
		for k, in := range n.in {
			if at, ok := made[in]; ok {
				x, factor, _ := b.scaled(b.nodes[at])
				m.in[k], m.attrs = x, maps.Clone(m.attrs)
				factor *= m.attrFloat(fusedScale, 1)
				m.attrs[fusedScale] = attrProto{name: fusedScale, f: factor}
				b.nodes[at] = nil
			}
		}
		b.nodes[i] = &m
	}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *node) bool { return n == nil })
}

// scaled returns what a product multiplies by a constant number that is finite and not 0.
func (b *builder) scaled(n *node) (x string, factor float64, ok bool) {
	if n.op != "Mul" || n.opset < 7 {
		return "", 0, false
	}
	for k, in := range n.in {
		a, known := b.consts[in]
		if _, both := b.consts[n.in[1-k]]; !known || both || a.shape.Size() != 1 ||
			len(a.shape) > 1 {
			continue
		}
		v := a.decode()
		if !v.Elem.IsFloat() || v.F[0] == 0 || math.IsInf(v.F[0], 0) || math.IsNaN(v.F[0]) {
			continue
		}
		return n.in[1-k], v.F[0], true
	}
	return "", 0, false
}

// readers counts who reads each value; being an output counts as one.
func (b *builder) readers() map[string]int {
	readers := map[string]int{}
	for _, n := range b.nodes {
		for _, in := range n.in {
			readers[in]++
		}
	}
	for _, o := range b.outputs {
		readers[o]++
	}
	return readers
}

// swishes makes one node of x·sigmoid(x), which exporters write as two.
func (b *builder) swishes() {
	readers, gates := b.readers(), map[string]string{} // of a sigmoid's result, what it is of
	for i, n := range b.nodes {
		if n.domain == "" && n.op == "Sigmoid" && readers[n.out[0]] == 1 {
			gates[n.out[0]] = n.in[0]
		}
		if n.domain != "" || n.op != "Mul" || len(n.in) != 2 || n.opset < 7 {
			continue
		}
		for k, in := range n.in {
			if x, ok := gates[in]; ok && x == n.in[1-k] {
				b.nodes[i] = &node{name: n.name, op: "Swish", in: []string{x}, out: n.out, opset: n.opset,
					impl: operators()[""]["Swish"]}
			}
		}
	}
}

// isBiasOf reports whether a constant holds a number for each channel of a convolution or linear
// layer that has no bias yet and whose channels are the last axis.
func (b *builder) isBiasOf(n *node, name string) bool {
	a, ok := b.consts[name]
	w, known := b.consts[n.in[1]]
	return ok && known && len(n.in) == 2 && a.shape.Equal(w.shape[:1])
}

// fusible returns the convolution that n can become part of: of two in a sum the later one.
func (b *builder) fusible(n *node, made, readers map[string]int) (at int, ok bool) {
	sum := n.op == "Add" && len(n.in) == 2 && n.in[0] != n.in[1] && n.opset >= 7
	if n.domain != "" || len(n.out) != 1 || !sum && n.op != "Relu" {
		return 0, false
	}
	at = -1
	for _, in := range n.in {
		i, conv := made[in]
		if conv && readers[in] == 1 && !(sum && len(b.nodes[i].in) > fusedSum) {
			at = max(at, i)
		}
	}
	return at, at >= 0
}
