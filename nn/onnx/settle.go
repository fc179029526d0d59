package onnx

import (
	"maps"
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// settle computes once, into s, what depends on no input: masks and tables of positions that
// exporters leave as nodes. Call it after a run, which has shown that all of it can be computed.
// Results beyond a multiple of the constants stay nodes, so that a small file cannot keep much.
func (g *Graph) settle(s *tensor.Scope) {
	budget := hostLimit
	for _, c := range g.consts {
		budget += foldFactor * c.size()
	}
	ag := autodiff.NewGraph(s.Backend())
	defer ag.Close()
	r := &runner{graph: g, g: ag, values: map[string]*Value{}}
	for name, c := range g.consts {
		r.values[name] = r.constant(c)
	}
	var left []*node
	ag.NoGrad(func() {
		for _, n := range g.nodes {
			out := r.settled(n)
			size := 0
			for _, v := range out {
				size += v.shape.Size()
			}
			if out == nil || size > budget {
				left = append(left, n)
				continue
			}
			budget -= size
			for k, name := range n.out {
				if name != "" {
					r.values[name], g.consts[name] = out[k], g.kept(s, out[k])
				}
			}
		}
	})
	g.nodes = left
	read := map[string]bool{}
	for _, n := range g.nodes {
		for _, in := range n.in {
			read[in] = true
		}
	}
	maps.DeleteFunc(g.consts, func(name string, _ *constValue) bool {
		return !read[name] && !slices.Contains(g.outputs, name)
	})
	g.noteLast()
}

// settled runs a node of which all operands are constants, and no result is an output of the graph;
// of others, and of one that fails, it returns nil.
func (r *runner) settled(n *node) (out []*Value) {
	for _, in := range n.in {
		if _, ok := r.values[in]; !ok && in != "" {
			return nil
		}
	}
	for _, name := range n.out {
		if slices.Contains(r.graph.outputs, name) {
			return nil
		}
	}
	if catch(func() { out = (&call{node: n, run: r}).step() }) != nil || len(out) < len(n.out) {
		return nil
	}
	return out
}

// kept copies a value into s as a constant.
func (g *Graph) kept(s *tensor.Scope, v *Value) *constValue {
	c := &constValue{elem: v.elem, host: v.host}
	switch {
	case v.dev != nil:
		c.dev = s.New(v.dev.DType(), v.shape...)
		c.dev.Assign(v.dev.Tensor())
	case v.elem.IsFloat():
		dt := g.dtype
		if v.elem == Double {
			dt = tensor.F64
		}
		c.dev = s.New(dt, v.shape...)
		c.dev.SetFloats(v.host.F)
	}
	if c.dev != nil && v.shape.Size() > hostLimit {
		c.host = nil
	}
	return c
}

// size is the number of elements.
func (c *constValue) size() int {
	if c.dev != nil {
		return c.dev.Size()
	}
	return c.host.Shape.Size()
}
