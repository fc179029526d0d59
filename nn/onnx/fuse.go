package onnx

import "slices"

// fusedReLU is the attribute that fuse adds to a convolution or a linear layer whose result goes
// through a ReLU.
const fusedReLU = "afterimage.relu"

// fusedSum is the operand, behind the bias, that fuse adds to the result.
const fusedSum = 3

// fuse makes one node of a convolution or a linear layer, a bias, a sum with the result and a ReLU
// behind that, where nobody else reads what lies between: one pass over memory instead of four, and
// one for the gradient. The node takes the place of the last of them, where all operands are known.
func (b *builder) fuse() {
	readers := map[string]int{}
	for _, n := range b.nodes {
		for _, in := range n.in {
			readers[in]++
		}
	}
	for _, o := range b.outputs {
		readers[o]++
	}
	made := map[string]int{} // the nodes of convolutions that may still take something in
	for i, n := range b.nodes {
		if n.domain == internal && (n.op == "Conv" || n.op == "Linear") {
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
