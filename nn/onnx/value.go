package onnx

import (
	"fmt"
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A Value is an operand or result of a graph: floating-point tensors are autodiff values, integers
// and booleans, and small floating-point constants, are arrays on the host.
type Value struct {
	elem  Elem
	shape tensor.Shape
	host  *Array          // nil when the elements are only on the device
	dev   *autodiff.Value // nil when they are only on the host
	view  *tensor.Layout  // where the elements lie in dev's; nil if they are all of these, in order
	names int             // that stand for it in a run
}

// Of wraps a floating-point value (F32 as Float, F64 as Double) as an input of a graph. A graph
// imported in F64 takes F64 values as its Float inputs.
func Of(v *autodiff.Value) *Value {
	e := Float
	if v.DType() == tensor.F64 {
		e = Double
	}
	return &Value{elem: e, shape: v.Shape(), dev: v}
}

// Host wraps an array on the host as an input of a graph.
func Host(a *Array) *Value { return &Value{elem: a.Elem, shape: a.Shape, host: a} }

// Elem returns the element type by ONNX's rules; a Float may be computed in F64.
func (v *Value) Elem() Elem { return v.elem }

// Shape returns the extents.
func (v *Value) Shape() tensor.Shape { return v.shape }

// Float returns the autodiff value of a floating-point result. It is nil for integers and booleans,
// and for constants that never left the host: see Array.
func (v *Value) Float() *autodiff.Value { return v.dev }

// Array returns the elements on the host, downloading them if need be. Types of 16 bits, which
// compute in 32, are rounded here and nowhere before.
func (v *Value) Array() *Array {
	if v.host != nil {
		return v.host
	}
	a := &Array{Elem: v.elem, Shape: v.shape, F: v.dev.Tensor().Floats()}
	if v.elem == Float16 || v.elem == BFloat16 {
		for i, x := range a.F {
			a.F[i] = round(v.elem, x)
		}
	}
	return a
}

// needsGrad reports whether a gradient could be asked for.
func (v *Value) needsGrad() bool { return v.dev != nil && v.dev.NeedsGrad() }

// A call is one node at run time: what its operator sees.
type call struct {
	*node
	run  *runner
	args []*Value // nil for an absent operand
}

// A runner is one Run of a graph.
type runner struct {
	graph  *Graph
	g      *autodiff.Graph
	values map[string]*Value
	users  map[*autodiff.Value]int // names that stand for a device value made here
	views  bool                    // moves become layouts
}

// dtype returns in which type values of e are computed.
func (r *runner) dtype(e Elem) tensor.DType {
	if e == Double {
		return tensor.F64
	}
	return r.graph.dtype
}

// fail panics with an Error for this node.
func (c *call) fail(format string, args ...any) {
	panic(&Error{Reason: fmt.Sprintf(format, args...), Next: "check the shapes of the inputs; if " +
		"they are right, the model was exported wrongly or for other shapes"})
}

// refuse panics with an Error that says the node is outside this package.
func (c *call) refuse(next, format string, args ...any) {
	panic(unsupported(next, format, args...))
}

// has reports whether operand i was given.
func (c *call) has(i int) bool { return i < len(c.args) && c.args[i] != nil }

// arg returns operand i.
func (c *call) arg(i int) *Value {
	if !c.has(i) {
		c.fail("operand %d is missing", i)
	}
	return c.args[i]
}

// float returns operand i as an autodiff value.
func (c *call) float(i int) *autodiff.Value { return c.upload(c.arg(i)) }

// upload returns the autodiff value of v, moving a host constant to the device. Panics if v is not
// floating-point.
func (c *call) upload(v *Value) *autodiff.Value {
	if !v.elem.IsFloat() {
		c.fail("expected a floating-point operand, got %v %v", v.elem, v.shape)
	}
	if v.dev != nil {
		return c.gather(v).dev
	}
	return c.constant(c.run.dtype(v.elem), v.host.F, v.shape...)
}

// constant returns host values on the device.
func (c *call) constant(dt tensor.DType, v []float64, shape ...int) *autodiff.Value {
	return c.run.g.Const(c.bring(dt, v, shape...))
}

// mask returns booleans on the device as 0 and 1.
func (c *call) mask(dt tensor.DType, v []bool, shape ...int) *autodiff.Value {
	f := make([]float64, len(v))
	for i, b := range v {
		if b {
			f[i] = 1
		}
	}
	return c.constant(dt, f, shape...)
}

// scalarLike returns a constant of x's dtype.
func (c *call) scalarLike(x *autodiff.Value, v float64) *autodiff.Value {
	return c.run.g.Scalar(x.DType(), v)
}

// index returns row numbers on the device.
func (c *call) index(idx []int) *tensor.Tensor {
	v := make([]float64, len(idx))
	for i, k := range idx {
		if k < 0 || k > math.MaxInt32 {
			c.fail("index %d is out of range", k)
		}
		v[i] = float64(k)
	}
	return c.bring(tensor.I32, v, len(v))
}

// hostConst returns operand i on the host. An operand that wants a gradient is refused: it steers
// the computation, and nothing would reach it.
func (c *call) hostConst(i int) *Array {
	v := c.arg(i)
	if v.needsGrad() {
		c.refuse("make it a constant of the graph",
			"operand %d decides how the operator works and cannot be differentiated", i)
	}
	return v.Array()
}

// ints returns the integer operand i.
func (c *call) ints(i int) []int {
	v := c.arg(i)
	if v.elem.IsFloat() || v.host == nil {
		c.fail("operand %d: expected integers, got %v %v", i, v.elem, v.shape)
	}
	return c.intsOf(v.host)
}

// intsOf returns the elements of an integer array.
func (c *call) intsOf(a *Array) []int {
	out := make([]int, len(a.I))
	for k, x := range a.I {
		out[k] = int(x)
	}
	return out
}

// int1 returns the single element of the integer operand i.
func (c *call) int1(i int) int {
	v := c.ints(i)
	if len(v) != 1 {
		c.fail("operand %d: expected one integer, got %d", i, len(v))
	}
	return v[0]
}

// number returns the single element of operand i.
func (c *call) number(i int) float64 {
	a := c.hostConst(i)
	if a.Shape.Size() != 1 {
		c.fail("operand %d: expected one number, got shape %v", i, a.Shape)
	}
	return a.at(0)
}

// like wraps a device result with the element type of v.
func like(v *Value, y *autodiff.Value) *Value {
	return &Value{elem: v.elem, shape: y.Shape(), dev: y}
}

// out wraps one device result with the element type of operand 0.
func (c *call) out(y *autodiff.Value) []*Value { return []*Value{like(c.arg(0), y)} }

// hostOut wraps one host result.
func hostOut(a *Array) []*Value { return []*Value{Host(a)} }

// axis returns an axis counted from the front and fails outside [−rank, rank).
func (c *call) axis(a, rank int) int {
	if a < -rank || a >= rank {
		c.fail("axis %d does not exist in rank %d", a, rank)
	}
	if a < 0 {
		a += rank
	}
	return a
}

// axes is axis for a list, and fails on a repeated axis.
func (c *call) axes(list []int, rank int) []int {
	out := make([]int, len(list))
	seen := make([]bool, rank)
	for i, a := range list {
		out[i] = c.axis(a, rank)
		if seen[out[i]] {
			c.fail("axis %d is named twice in %v", a, list)
		}
		seen[out[i]] = true
	}
	return out
}

// A node is an operator bound to names, attributes and its implementation.
type node struct {
	name, op, domain string
	in, out          []string
	attrs            map[string]attrProto
	opset            int
	impl             opFunc
	act              *autodiff.Activation // what activate has put behind it
	params           *tensor.ConvParams   // of a convolution, where they are the same for all images
	views            bool                 // it takes views for operands
}

// An opFunc computes a node's results; trailing results that nobody names may be left out. It
// panics with *Error or *tensor.Error.
type opFunc func(c *call) []*Value

func (n *node) attrInt(name string, def int) int {
	if a, ok := n.attrs[name]; ok {
		return int(a.i)
	}
	return def
}

func (n *node) attrFloat(name string, def float64) float64 {
	if a, ok := n.attrs[name]; ok {
		return a.f
	}
	return def
}

// attrFloatOrInt reads a number that old operator sets stored as a float.
func (n *node) attrFloatOrInt(name string, def float64) float64 {
	if a, ok := n.attrs[name]; ok {
		return a.f + float64(a.i)
	}
	return def
}

func (n *node) attrString(name, def string) string {
	if a, ok := n.attrs[name]; ok {
		return a.s
	}
	return def
}

// attrInts returns a list of integers; nil when it is absent.
func (n *node) attrInts(name string) []int {
	a, ok := n.attrs[name]
	if !ok {
		return nil
	}
	out := make([]int, len(a.ints))
	for i, v := range a.ints {
		out[i] = int(v)
	}
	return out
}

func (n *node) hasAttr(name string) bool {
	_, ok := n.attrs[name]
	return ok
}

// describe names a node for errors: by its name, or by its first result.
func (n *node) describe() string {
	if n.name != "" {
		return n.name
	}
	for _, o := range n.out {
		if o != "" {
			return fmt.Sprintf("-> %s", o)
		}
	}
	return "(no name)"
}
