package onnx

import (
	"fmt"
	"slices"
	"strings"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// Run computes the graph's outputs from its inputs, on ag, recording what a gradient needs. Inputs
// that are arrays on the host are uploaded as constants. The error, an *Error, names the node.
//
// Values that no later node and no gradient wants are freed on the way; outputs belong to ag.
func (g *Graph) Run(ag *autodiff.Graph, inputs map[string]*Value) (map[string]*Value, error) {
	_, views := ag.Backend().(tensor.Viewer)
	r := &runner{graph: g, g: ag, users: map[*autodiff.Value]int{}, views: views}
	var err *Error
	if r.values, err = r.start(inputs); err != nil {
		return nil, err.at(g.file, "", "")
	}
	for i, n := range g.nodes {
		var out []*Value
		c := &call{node: n, run: r}
		if err := catch(func() { out = c.step() }); err != nil {
			return nil, err.at(g.file, n.describe(), n.op)
		}
		for k, v := range out {
			if k < len(n.out) && n.out[k] != "" {
				r.values[n.out[k]] = v
				v.names++
				if v.dev != nil && (r.users[v.dev] > 0 || !c.given(v)) {
					r.users[v.dev]++
				}
			}
		}
		for k, name := range n.out {
			if name != "" && k >= len(out) {
				return nil, unsupported("leave it out of the model",
					"result %d is not computed here", k).at(g.file, n.describe(), n.op)
			}
		}
		r.release(g.last[i])
	}
	out := map[string]*Value{}
	for _, name := range g.outputs {
		out[name] = r.gather(r.value(name))
	}
	return out, nil
}

// value returns what a name stands for: a value, or a constant brought onto the graph.
func (r *runner) value(name string) *Value {
	if v, ok := r.values[name]; ok {
		return v
	}
	c, ok := r.graph.consts[name]
	if !ok {
		return nil
	}
	return r.constant(c)
}

func (r *runner) constant(c *constValue) *Value {
	v := &Value{elem: c.elem, host: c.host}
	if c.dev != nil {
		v.dev, v.shape = r.g.Const(c.dev), c.dev.Shape()
	} else {
		v.shape = c.host.Shape
	}
	return v
}

// release forgets values that were read for the last time.
func (r *runner) release(names []string) {
	for _, name := range names {
		v, ok := r.values[name]
		if !ok || v.dev == nil {
			continue
		}
		delete(r.values, name)
		v.names--
		r.forget(v.dev)
	}
}

// start checks the inputs.
func (r *runner) start(inputs map[string]*Value) (map[string]*Value, *Error) {
	values := make(map[string]*Value, len(r.graph.inputs)+len(r.graph.nodes))
	var err *Error
	for _, in := range r.graph.inputs {
		v, ok := inputs[in.Name]
		if !ok || v == nil {
			return nil, &Error{Op: "Run", Reason: fmt.Sprintf("input %s is missing: expected %s",
				quote(in.Name), r.expects())}
		}
		if v, err = r.input(in, v); err != nil {
			return nil, err
		}
		values[in.Name] = v
	}
	return values, nil
}

func (r *runner) expects() string {
	var names []string
	for _, in := range r.graph.inputs {
		names = append(names, fmt.Sprintf("%s %v %v", quote(in.Name), in.Elem, in.Shape))
	}
	return strings.Join(names, ", ")
}

// input fits one input to what the graph declares.
func (r *runner) input(in Input, v *Value) (*Value, *Error) {
	dt := tensor.Invalid
	if in.Elem.IsFloat() {
		dt = r.dtype(in.Elem)
	}
	v = &Value{elem: v.elem, shape: v.shape, host: v.host, dev: v.dev}
	if v.dev != nil {
		if v.dev.Graph() != r.g || v.dev.DType() != dt {
			return nil, &Error{Op: "Run", Reason: fmt.Sprintf(
				"input %s: expected %v on this graph, got %v", quote(in.Name), dt, v.dev.DType())}
		}
		v.elem, v.host = in.Elem, nil
	} else if v.elem != in.Elem {
		return nil, &Error{Op: "Run", Reason: fmt.Sprintf("input %s: expected %v, got %v",
			quote(in.Name), in.Elem, v.elem)}
	}
	if in.Shape != nil && len(in.Shape) != len(v.shape) {
		return nil, &Error{Op: "Run", Reason: fmt.Sprintf("input %s: expected shape %v, got %v",
			quote(in.Name), in.Shape, v.shape)}
	}
	if v.dev == nil && in.Elem.IsFloat() {
		t := r.g.Scope().New(dt, v.shape...)
		t.SetFloats(v.host.F)
		v.dev, v.host = r.g.Const(t), nil
	}
	return v, nil
}

// step runs a node. What it allocates beside its results is freed at once when no gradient wants
// it.
func (c *call) step() []*Value {
	n, r := c.node, c.run
	c.args = make([]*Value, len(n.in))
	onDevice := false
	for i, in := range n.in {
		if in != "" {
			if c.args[i] = r.value(in); !n.views {
				r.gather(c.args[i])
			}
			onDevice = onDevice || c.args[i].dev != nil
		}
	}
	if !onDevice {
		return n.impl(c)
	}
	var out []*Value
	v := r.g.Tidy(func() *autodiff.Value {
		out = n.impl(c)
		return r.keep(out)
	})
	if !slices.ContainsFunc(out, func(o *Value) bool { return o.dev == v }) {
		v.Done() // it only stood in for a result on the host
	}
	return out
}

// given reports whether a result on the device is an operand.
func (c *call) given(v *Value) bool {
	return slices.ContainsFunc(c.args, func(a *Value) bool { return a != nil && a.dev == v.dev })
}

// keep makes every result outlive the Tidy around it and returns the one that decides about the
// rest.
func (r *runner) keep(out []*Value) *autodiff.Value {
	var v *autodiff.Value
	for _, o := range out {
		if o.dev == nil {
			continue
		}
		o.dev.Outlive()
		if v == nil || o.dev.NeedsGrad() {
			v = o.dev
		}
	}
	if v == nil {
		v = r.g.Scalar(tensor.F32, 0)
	}
	return v
}
