package onnx

import (
	"maps"
	"math"
	"slices"

	"afterimage/tensor"
)

// Options change how a model is imported.
type Options struct {
	// DType in which Float, Float16 and BFloat16 tensors are computed: F32 (also the zero value) or
	// F64. Double always computes in F64.
	DType tensor.DType
	// ChannelsLast makes inputs of rank 4 take [N H W C] instead of ONNX's [N C H W].
	ChannelsLast bool
	// Plain leaves out the passes that cancel permutes between neighbouring kernels and that join
	// kernels. Results do not depend on them, but for rounding; it serves tests.
	Plain bool
}

// From a model to a graph
//
// A model is a list of nodes that name their operands. Import rewrites it in passes, each of which
// leaves a list that computes the same:
//
//	constants       import.go    lists the initialisers, to be decoded when somebody asks
//	bind            import.go    finds each node's implementation, or says what to do without one
//	foldConstants   import.go    makes initialisers of Constant nodes
//	channelsLast    import.go    lets images come as [N H W C]: a permute behind each such input
//	inferRanks      layout.go    notes how many axes each value has, where that is easy to know
//	shuffles*       shuffle.go   sees a channel shuffle in the three nodes it is exported as
//	lower           layout.go    takes this engine's image kernels, channels last, between permutes
//	foldTransposes  layout.go    permutes constants now instead of in each run
//	cancelPermutes* permute.go   moves permutes along the graph until they meet and cancel
//	dropDead        import.go    drops what nobody reads any more
//	swishes*        fuse.go      joins x·sigmoid(x)
//	linears*        linear.go    makes a layer of a product with a constant matrix
//	scales*         fuse.go      gives a product the factor multiplied to it or to an operand
//	scaleShifts*    fuse.go      makes a scale and a shift of a batch norm with fixed statistics
//	fuse*           fuse.go      joins a kernel with the bias, sum and ReLU behind it
//	finish          import.go    brings the constants to the device, and notes who reads what last
//
// Options.Plain leaves those with a star out. A Classifier goes on once it has run the graph for
// the first time: settle.go computes what depends on no input, activate.go joins activations with
// the kernels before them, held.go keeps on the device what nodes compute on the host.

// A Graph is a frozen, differentiable function made of an ONNX model. Its weights live in the scope
// given to Import and do not change. It may be run any number of times, by one goroutine at a time
// for each autodiff graph.
type Graph struct {
	file    string
	dtype   tensor.DType
	inputs  []Input
	outputs []string
	nodes   []*node
	consts  map[string]*constValue
	last    [][]string // the values that node i is the last to read
	held    *held      // nil: keeps nothing of what its nodes bring to the device
}

// A constValue is a constant of the graph: on the device when it is floating-point, on the host
// when it is not or is small.
type constValue struct {
	host *Array
	dev  *tensor.Tensor
	elem Elem
}

// firstNaN returns the name of the graph's first constant, by name, that holds a NaN; empty if none
// does.
func (g *Graph) firstNaN() string {
	for _, name := range slices.Sorted(maps.Keys(g.consts)) {
		c := g.consts[name]
		v := []float64(nil)
		switch {
		case c.host != nil:
			v = c.host.F
		case c.dev != nil:
			v = c.dev.Floats()
		}
		if slices.ContainsFunc(v, math.IsNaN) {
			return name
		}
	}
	return ""
}

// Import makes a model runnable with its weights in s. The error, an *Error, names the first node
// that cannot run and what could be done.
func Import(s *tensor.Scope, m *Model, o Options) (*Graph, error) {
	if o.DType == tensor.Invalid {
		o.DType = tensor.F32
	}
	if o.DType != tensor.F32 && o.DType != tensor.F64 {
		return nil, tensor.Refuse("onnx: Import: DType %v: expected f32 or f64", o.DType)
	}
	b := &builder{model: m, opts: o, consts: map[string]literal{}, ranks: map[string]int{}}
	var g *Graph
	err := catch(func() {
		b.constants()
		b.bind()
		b.foldConstants()
		b.channelsLast()
		b.inferRanks()
		if !o.Plain {
			b.shuffles()
		}
		b.lower()
		b.foldTransposes()
		if !o.Plain {
			b.cancelPermutes()
		}
		b.dropDead()
		if !o.Plain {
			b.swishes()
			b.linears()
			b.scales()
			b.foresee()
			b.scaleShifts()
			b.fuse()
			b.dropDead()
		}
		g = b.finish(s)
	})
	if err != nil {
		return nil, err.at(m.file, "", "")
	}
	return g, nil
}

// Inputs returns what Run takes. With ChannelsLast, shapes of rank 4 are [N H W C].
func (g *Graph) Inputs() []Input { return slices.Clone(g.inputs) }

// Outputs returns the names of what Run gives.
func (g *Graph) Outputs() []string { return slices.Clone(g.outputs) }

// keepKernels lets a backend keep forms of the kernels of convolutions and linear layers.
func (g *Graph) keepKernels(k tensor.ConstantKeeper) {
	for _, n := range g.nodes {
		if n.domain != internal || !slices.Contains([]string{"Conv", "ConvTranspose", "Linear"}, n.op) {
			continue
		}
		if c, ok := g.consts[n.in[1]]; ok && c.dev != nil && c.dev.DType() == tensor.F32 {
			k.KeepConstant(c.dev, nil)
		}
	}
}

// Count returns how many nodes of each operator the graph runs, after all passes: permutes as
// "Transpose".
func (g *Graph) Count() map[string]int {
	n := map[string]int{}
	for _, x := range g.nodes {
		n[x.op]++
	}
	return n
}

// A builder turns a model into a Graph, in passes over a list of nodes in topological order.
type builder struct {
	model   *Model
	opts    Options
	inputs  []Input
	outputs []string
	nodes   []*node
	consts  map[string]literal
	ranks   map[string]int
}

// A literal is a constant whose elements are decoded when they are asked for: those of all weights
// at once, in float64, would be several times the file.
type literal struct {
	shape  tensor.Shape
	decode func() *Array
}

func (l literal) permute(perm []int) literal {
	shape := make(tensor.Shape, len(perm))
	for i, p := range perm {
		shape[i] = l.shape[p]
	}
	return literal{shape, func() *Array { return l.decode().permute(perm) }}
}

// must panics with err, which is an *Error, for catch in Import.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *builder) constants() {
	g := b.model.proto.graph
	if g.sparse > 0 {
		panic(unsupported("store the weights densely", "the graph has sparse initialisers"))
	}
	for _, t := range g.initializers {
		shape, _, err := t.extents()
		b.consts[t.name] = literal{must(shape, err), func() *Array { return must(t.array()) }}
	}
	b.inputs = b.model.Inputs()
	for _, o := range g.outputs {
		b.outputs = append(b.outputs, o.name)
	}
}

// bind finds every node's implementation, and checks that operands come before their use and that
// no name is given twice.
func (b *builder) bind() {
	ops := operators()
	known := map[string]bool{}
	for name := range b.consts {
		known[name] = true
	}
	for _, in := range b.inputs {
		known[in.Name] = true
	}
	for _, p := range b.model.proto.graph.nodes {
		n := b.node(p, ops)
		for _, in := range n.in {
			if in != "" && !known[in] {
				panic(bad("operand %s is given by no earlier node", quote(in)).at("", n.describe(),
					n.op))
			}
		}
		for _, out := range n.out {
			if out != "" && known[out] {
				panic(bad("result %s exists already", quote(out)).at("", n.describe(), n.op))
			}
			known[out] = true
		}
		b.nodes = append(b.nodes, n)
	}
	for _, o := range b.outputs {
		if !known[o] {
			panic(bad("output %s is given by no node", quote(o)))
		}
	}
}

func (b *builder) node(p *nodeProto, ops map[string]map[string]opFunc) *node {
	n := &node{name: p.name, op: p.op, domain: p.domain, in: p.in, out: p.out,
		attrs: map[string]attrProto{}}
	if n.domain == "ai.onnx" {
		n.domain = ""
	}
	for _, a := range p.attrs {
		n.attrs[a.name] = a
	}
	version, imported := b.model.proto.opsets[n.domain]
	n.opset = int(version)
	n.impl = ops[n.domain][n.op]
	switch {
	case n.impl == nil || n.domain == internal:
		reason, next := adviceFor(n.op)
		panic(unsupported(next, "not supported (domain %q, version %d): %s", n.domain, n.opset,
			reason).at("", n.describe(), n.op))
	case len(n.out) == 0:
		panic(bad("it has no result").at("", n.describe(), n.op))
	case !imported:
		panic(bad("the file imports no operator set of domain %q", n.domain).at("", n.describe(),
			n.op))
	}
	return n
}

// foldConstants makes initialisers of Constant nodes, and lets whoever reads a copy of one read
// that itself, so that the passes behind see them. What is no number stays a node, whose error
// comes when somebody reads it.
func (b *builder) foldConstants() {
	same := map[string]string{}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *node) bool {
		n.in = slices.Clone(n.in)
		for i, in := range n.in {
			if to, ok := same[in]; ok {
				n.in[i] = to
			}
		}
		if n.domain != "" || len(n.out) != 1 || slices.Contains(b.outputs, n.out[0]) {
			return false
		}
		switch n.op {
		case "Constant":
			return catch(func() {
				a := constant(&call{node: n})[0].host
				b.consts[n.out[0]] = literal{a.Shape, func() *Array { return a }}
			}) == nil
		case "Identity":
			if len(n.in) != 1 {
				return false
			}
			if _, ok := b.consts[n.in[0]]; ok {
				same[n.out[0]] = n.in[0]
				return true
			}
		}
		return false
	})
}

// newTranspose returns a node that permutes in to out.
func newTranspose(in, out string, perm []int) *node {
	ints := make([]int64, len(perm))
	for i, p := range perm {
		ints[i] = int64(p)
	}
	return &node{name: out, op: "Transpose", in: []string{in}, out: []string{out},
		attrs: map[string]attrProto{"perm": {name: "perm", ints: ints}}, impl: transpose}
}

// channelsLast puts a permute behind every input of rank 4, under whose old name users read it.
func (b *builder) channelsLast() {
	if !b.opts.ChannelsLast {
		return
	}
	rename := map[string]string{}
	var front []*node
	for i, in := range b.inputs {
		if len(in.Shape) != 4 {
			continue
		}
		s := in.Shape
		b.inputs[i].Shape = tensor.Shape{s[0], s[2], s[3], s[1]}
		rename[in.Name] = in.Name + "/nchw"
		front = append(front, newTranspose(in.Name, in.Name+"/nchw", toNCHW()))
	}
	for _, n := range b.nodes {
		n.in = slices.Clone(n.in)
		for i, in := range n.in {
			if to, ok := rename[in]; ok {
				n.in[i] = to
			}
		}
	}
	b.nodes = append(front, b.nodes...)
}

// dropDead removes nodes whose results nobody reads.
func (b *builder) dropDead() {
	wanted := map[string]bool{}
	for _, o := range b.outputs {
		wanted[o] = true
	}
	var kept []*node
	for _, n := range slices.Backward(b.nodes) {
		if !slices.ContainsFunc(n.out, func(o string) bool { return o != "" && wanted[o] }) {
			continue
		}
		for _, in := range n.in {
			wanted[in] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	b.nodes = kept
	maps.DeleteFunc(b.consts, func(name string, _ literal) bool { return !wanted[name] })
}

// finish uploads the constants and notes where every value is read last.
func (b *builder) finish(s *tensor.Scope) *Graph {
	g := &Graph{file: b.model.file, dtype: b.opts.DType, inputs: b.inputs, outputs: b.outputs,
		nodes: b.nodes, consts: map[string]*constValue{}}
	for _, name := range slices.Sorted(maps.Keys(b.consts)) {
		a := b.consts[name].decode()
		v := &constValue{elem: a.Elem, host: a}
		if a.Elem.IsFloat() {
			dt := b.opts.DType
			if a.Elem == Double {
				dt = tensor.F64
			}
			v.dev = s.New(dt, a.Shape...)
			v.dev.SetFloats(a.F)
			if len(a.F) > hostLimit {
				v.host = nil
			}
		}
		g.consts[name] = v
	}
	g.markViewers()
	g.noteLast()
	return g
}

// noteLast notes what every node is the last to read.
func (g *Graph) noteLast() {
	g.last = make([][]string, len(g.nodes))
	seen := map[string]bool{}
	for _, o := range g.outputs {
		seen[o] = true
	}
	for i, n := range slices.Backward(g.nodes) {
		for _, name := range slices.Concat(n.in, n.out) {
			if name != "" && !seen[name] {
				seen[name] = true
				g.last[i] = append(g.last[i], name)
			}
		}
	}
}
