package onnx

import (
	"fmt"
	"slices"
)

// toNHWC and toNCHW are the permutes between ONNX's order of axes and this engine's.
func toNHWC() []int { return []int{0, 2, 3, 1} }
func toNCHW() []int { return []int{0, 3, 1, 2} }

// inferRanks notes the rank of every value where it is easy to know; a rank that stays unknown only
// costs speed.
func (b *builder) inferRanks() {
	for name, a := range b.consts {
		b.ranks[name] = len(a.shape)
	}
	for _, in := range b.inputs {
		if in.Shape != nil {
			b.ranks[in.Name] = len(in.Shape)
		}
	}
	for _, v := range b.model.proto.graph.infos {
		if v.shape != nil {
			b.ranks[v.name] = len(v.shape)
		}
	}
	elementwise := elementwiseOps()
	for _, n := range b.nodes {
		if len(n.out) == 0 || len(n.in) == 0 {
			continue
		}
		if _, known := b.ranks[n.out[0]]; known {
			continue
		}
		r, ok := b.ranks[n.in[0]]
		switch n.op {
		case "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool",
			"GlobalMaxPool", "BatchNormalization", "LRN", "InstanceNormalization", "Softmax",
			"Pad", "Resize", "Upsample", "Transpose", "Concat", "Slice":
		case "Gemm", "Flatten":
			r, ok = 2, true
		case "Reshape":
			if ok = len(n.in) > 1; ok {
				var target literal
				target, ok = b.consts[n.in[1]]
				r = target.shape.Size()
			}
		default:
			ok = elementwise[n.op]
			r = 0
			for _, in := range n.in {
				ri, known := b.ranks[in]
				ok, r = ok && (known || in == ""), max(r, ri)
			}
		}
		if ok {
			b.ranks[n.out[0]] = r
		}
	}
}

// elementwiseOps names the operators that treat every element alike and may run in any layout.
func elementwiseOps() map[string]bool {
	ops := map[string]bool{"Sum": true, "Mean": true, "Max": true, "Min": true, "Clip": true,
		"PRelu": true, "Identity": true, "Dropout": true}
	for name := range unaries() {
		ops[name] = true
	}
	for name := range binaries() {
		ops[name] = true
	}
	for name := range activations() {
		ops[name] = true
	}
	return ops
}

// lower replaces two-dimensional image operators by this engine's kernels, which put channels last,
// between explicit permutes.
func (b *builder) lower() {
	ops := operators()[internal]
	var out []*node
	for k, n := range b.nodes {
		impl := ops[n.op]
		if impl == nil || n.op == "Transpose" || !b.isImage(n) {
			out = append(out, n)
			continue
		}
		name := func(what string) string { return fmt.Sprintf("%s/%s%d", n.out[0], what, k) }
		m := *n
		m.domain, m.impl, m.in = internal, impl, slices.Clone(n.in)
		permuted := 1 // leading operands that are images or kernels
		if n.op == "Conv" || n.op == "ConvTranspose" {
			permuted = 2
		}
		for i := range permuted {
			m.in[i] = name(fmt.Sprintf("nhwc%d-", i))
			out = append(out, newTranspose(n.in[i], m.in[i], toNHWC()))
		}
		m.out = []string{name("nhwc")}
		out = append(out, &m, newTranspose(m.out[0], n.out[0], toNCHW()))
	}
	b.nodes = out
}

// isImage reports whether a node is known to work on [N C H W] and has one result.
func (b *builder) isImage(n *node) bool {
	if len(n.in) == 0 || len(n.out) == 0 ||
		slices.ContainsFunc(n.out[1:], func(s string) bool { return s != "" }) {
		return false
	}
	rank, known := b.ranks[n.in[0]]
	switch n.op {
	case "Conv", "ConvTranspose":
		if len(n.in) < 2 {
			return false
		}
		if !known {
			rank = b.ranks[n.in[1]]
		}
	case "MaxPool", "AveragePool":
		if !known {
			rank = len(n.attrs["kernel_shape"].ints) + 2
		}
	case "BatchNormalization":
		if n.trainsBatchNorm() || n.attrInt("spatial", 1) == 0 {
			return false
		}
	}
	return rank == 4
}

// foldFactor bounds the memory of permuted constants by a multiple of the constants in the file, so
// that a small file cannot ask for many copies of a large one. A network needs one copy.
const foldFactor = 4

// foldTransposes permutes constants once and for all; beyond the budget they stay nodes.
func (b *builder) foldTransposes() {
	budget := 0
	for _, a := range b.consts {
		budget += foldFactor * a.shape.Size()
	}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *node) bool {
		if n.op != "Transpose" || len(n.in) != 1 || n.out[0] == "" {
			return false
		}
		a, ok := b.consts[n.in[0]]
		perm := n.attrInts("perm")
		if !ok || !isPermutation(perm, len(a.shape)) || slices.Contains(b.outputs, n.out[0]) ||
			a.shape.Size() > budget {
			return false
		}
		budget -= a.shape.Size()
		b.consts[n.out[0]] = a.permute(perm)
		return true
	})
}

func isPermutation(perm []int, rank int) bool {
	sorted := slices.Sorted(slices.Values(perm))
	return len(perm) == rank && slices.Equal(sorted, from(0, rank))
}
