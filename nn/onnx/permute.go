package onnx

import (
	"fmt"
	"maps"
	"slices"
)

// A permuted value is known to be Permute(src, perm).
type permuted struct {
	src  string
	perm []int
}

// A layouter is the pass that cancels permutes. It walks once from the inputs on. It remembers of
// which value each permuted one is a permute; a permute of a permute becomes one permute of the
// first value, or that value itself; and an elementwise operator whose operands are all permuted
// alike runs on the values before the permute, which moves behind it. What nobody reads any more is
// dropped afterwards.
type layouter struct {
	b     *builder
	of    map[string]permuted
	alias map[string]string // a value that is another one
	same  map[string]string // src and perm, to a permute that exists
	ew    map[string]bool
	out   []*node
}

func (b *builder) cancelPermutes() {
	l := &layouter{b: b, of: map[string]permuted{}, alias: map[string]string{},
		same: map[string]string{}, ew: elementwiseOps()}
	for _, n := range b.nodes {
		m := *n
		m.in = slices.Clone(n.in)
		for i, in := range m.in {
			if to, ok := l.alias[in]; ok {
				m.in[i] = to
			}
		}
		switch perm := m.attrInts("perm"); {
		case m.out[0] == "":
			l.out = append(l.out, &m)
		case m.op == "Transpose" && len(m.in) == 1 && isPermutation(perm, len(perm)) && perm != nil:
			l.transpose(&m, perm)
		case l.sink(&m) || l.sinkSplit(&m) || l.sinkReduction(&m):
		default:
			l.out = append(l.out, &m)
		}
	}
	b.nodes = l.out
}

func (l *layouter) transpose(n *node, perm []int) {
	src, out := n.in[0], n.out[0]
	if p, ok := l.of[src]; ok && len(p.perm) == len(perm) {
		src = p.src
		joint := make([]int, len(perm))
		for i, a := range perm {
			joint[i] = p.perm[a]
		}
		perm = joint
	}
	l.emit(src, out, perm)
}

// emit makes out the permute of src: an alias where that exists already, unless out is an output of
// the graph, which keeps its name.
func (l *layouter) emit(src, out string, perm []int) {
	key := fmt.Sprint(src, perm)
	existing, ok := l.same[key]
	if slices.IsSorted(perm) {
		existing, ok = src, true
	}
	if ok && !slices.Contains(l.b.outputs, out) {
		l.alias[out] = existing
		return
	}
	l.of[out] = permuted{src, perm}
	if !ok {
		l.same[key] = out
	}
	l.out = append(l.out, newTranspose(src, out, perm))
}

// sink moves the permutes of a node's operands behind it, if it can.
func (l *layouter) sink(n *node) bool {
	if n.domain != "" || len(n.out) != 1 || !(l.ew[n.op] || n.op == "Concat") || n.opset < 7 {
		return false
	}
	var perm []int
	for _, in := range n.in {
		if p, ok := l.of[in]; ok {
			perm = p.perm
			break
		}
	}
	if perm == nil {
		return false
	}
	in := make([]string, len(n.in))
	for i, name := range n.in {
		if in[i] = l.before(name, perm, n.op == "Concat"); in[i] == "" && name != "" {
			return false
		}
	}
	m := *n
	m.in, m.out = in, []string{n.out[0] + "/moved"}
	if n.op == "Concat" {
		axis := n.attrInt("axis", 0)
		if axis < 0 {
			axis += len(perm)
		}
		if axis < 0 || axis >= len(perm) {
			return false
		}
		m.attrs = map[string]attrProto{"axis": {name: "axis", i: int64(perm[axis])}}
	}
	l.out = append(l.out, &m)
	l.emit(m.out[0], n.out[0], perm)
	return true
}

// before returns the value of which name is the permute by perm: the one it came from, a scalar
// constant itself, or another constant permuted back; "" if there is none.
func (l *layouter) before(name string, perm []int, exact bool) string {
	if p, ok := l.of[name]; ok && slices.Equal(p.perm, perm) {
		return p.src
	}
	a, ok := l.b.consts[name]
	if !ok || exact || len(a.shape) > len(perm) {
		return ""
	}
	if a.shape.Size() == 1 {
		return name
	}
	inverse := make([]int, len(perm))
	for i, p := range perm {
		inverse[p] = i
	}
	moved := fmt.Sprint(name, "/moved", perm)
	if _, ok := l.b.consts[moved]; ok {
		return moved
	}
	full := slices.Concat(slices.Repeat([]int{1}, len(perm)-len(a.shape)), a.shape)
	l.b.consts[moved] = literal{full, func() *Array {
		x := *a.decode()
		x.Shape = full
		return &x
	}}.permute(inverse)
	return moved
}

// moved returns the axis of a value that is axis a of its permute by perm; ok is false if there is
// none.
func moved(perm []int, a int) (axis int, ok bool) {
	if a < 0 {
		a += len(perm)
	}
	if a < 0 || a >= len(perm) {
		return 0, false
	}
	return perm[a], true
}

// withInts returns a node's attributes with one replaced.
func (n *node) withInts(name string, v ...int) map[string]attrProto {
	attrs := maps.Clone(n.attrs)
	a := attrProto{name: name}
	for _, x := range v {
		a.i = int64(x)
		a.ints = append(a.ints, int64(x))
	}
	attrs[name] = a
	return attrs
}

// sinkSplit moves the permute of what is cut behind the parts.
func (l *layouter) sinkSplit(n *node) bool {
	if n.op != "Split" || n.domain != "" || len(n.in) == 0 || slices.Contains(n.out, "") {
		return false
	}
	p, ok := l.of[n.in[0]]
	if !ok {
		return false
	}
	axis, ok := moved(p.perm, n.attrInt("axis", 0))
	if !ok {
		return false
	}
	m := *n
	m.in = slices.Clone(n.in)
	m.in[0], m.attrs, m.out = p.src, n.withInts("axis", axis), nil
	for _, out := range n.out {
		m.out = append(m.out, out+"/moved")
	}
	l.out = append(l.out, &m)
	for i, out := range n.out {
		l.emit(m.out[i], out, p.perm)
	}
	return true
}

// sinkReduction moves the permute of what is reduced along constant axes behind the result.
func (l *layouter) sinkReduction(n *node) bool {
	if n.domain != "" || len(n.in) == 0 || len(n.out) != 1 || reductions()[n.op].dev == nil {
		return false
	}
	p, ok := l.of[n.in[0]]
	axes := n.attrInts("axes")
	if len(n.in) > 1 && n.in[1] != "" {
		if c, ok := l.b.consts[n.in[1]]; ok {
			for _, a := range c.decode().I {
				axes = append(axes, int(a))
			}
		}
	}
	if !ok || len(axes) == 0 {
		return false
	}
	m := *n
	var to []int
	for _, a := range axes {
		axis, ok := moved(p.perm, a)
		if !ok {
			return false
		}
		to = append(to, axis)
	}
	perm := p.perm
	if n.attrInt("keepdims", 1) == 0 {
		perm = without(p.perm, to)
	}
	m.in, m.out = []string{p.src}, []string{n.out[0] + "/moved"}
	m.attrs = n.withInts("axes", to...)
	l.out = append(l.out, &m)
	l.emit(m.out[0], n.out[0], perm)
	return true
}

// without is the permutation of the axes that are left when some are dropped.
func without(perm, dropped []int) []int {
	var left []int
	for _, a := range perm {
		if !slices.Contains(dropped, a) {
			left = append(left, a)
		}
	}
	sorted := slices.Sorted(slices.Values(left))
	for i, a := range left {
		left[i] = slices.Index(sorted, a)
	}
	return left
}
