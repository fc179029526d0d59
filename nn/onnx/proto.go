package onnx

// The messages of ONNX that a network needs, with the field numbers of onnx.proto. What is not
// listed here (documentation, quantisation notes) is skipped.

// A modelProto is a file.
type modelProto struct {
	irVersion int64
	producer  string
	opsets    map[string]int64 // domain to version; "ai.onnx" is ""
	functions int
	graph     *graphProto
	props     []property
}

// A property is an entry of a model's metadata.
type property struct{ key, value string }

// A graphProto is a list of nodes in topological order.
type graphProto struct {
	nodes        []*nodeProto
	initializers []*tensorProto
	sparse       int
	inputs       []valueInfo
	outputs      []valueInfo
	infos        []valueInfo
}

// A nodeProto is one application of an operator.
type nodeProto struct {
	name, op, domain string
	in, out          []string // an empty name is an absent operand
	attrs            []attrProto
}

// An attrProto is a named constant of a node.
type attrProto struct {
	name    string
	f       float64
	i       int64
	s       string
	t       *tensorProto
	ints    []int64
	floats  []float64
	strings []string
	graphs  int   // sub-graphs are counted, not kept
	kind    int64 // when written; 0: what has a value
}

// A valueInfo names a value and says its type, as far as the file does.
type valueInfo struct {
	name  string
	elem  Elem
	shape []int // −1 for an extent that is not fixed; nil when the rank is unknown
	kind  int   // 1 for a tensor; others are not supported
}

// A tensorProto is a constant: its elements are in raw or in one of the typed lists.
type tensorProto struct {
	name     string
	elem     Elem
	dims     []int64
	raw      []byte
	hasRaw   bool
	floats   []float64
	doubles  []float64
	ints     []int64 // int32_data, int64_data and uint64_data
	strings  int
	external bool       // the elements are in another file,
	entries  []property // which these describe
}

func parseModel(buf []byte) (*modelProto, error) {
	m := &modelProto{opsets: map[string]int64{}}
	err := each(buf, maxDepth, func(f field) (err error) {
		switch f.tag {
		case 1:
			m.irVersion, err = f.integer()
		case 2:
			m.producer, err = f.text()
		case 7:
			var b []byte
			if b, err = f.bytes(); err == nil {
				m.graph, err = parseGraph(b, maxDepth-1)
			}
		case 8:
			err = m.parseOpset(f)
		case tagProperty:
			var p property
			p, err = parseProperty(f)
			m.props = append(m.props, p)
		case 25:
			m.functions++
		}
		return err
	})
	return m, err
}

// tagProperty is ModelProto's field of metadata, a list of StringStringEntryProto.
const tagProperty = 14

func parseProperty(f field) (p property, err error) {
	err = nested(f, maxDepth-1, func(f field) (err error) {
		switch f.tag {
		case 1:
			p.key, err = f.text()
		case 2:
			p.value, err = f.text()
		}
		return err
	})
	return p, err
}

func (p *modelProto) parseOpset(f field) error {
	b, err := f.bytes()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = each(b, maxDepth-1, func(f field) (err error) {
		switch f.tag {
		case 1:
			domain, err = f.text()
		case 2:
			version, err = f.integer()
		}
		return err
	})
	if domain == "ai.onnx" {
		domain = ""
	}
	p.opsets[domain] = version
	return err
}

func parseGraph(buf []byte, depth int) (*graphProto, error) {
	g := &graphProto{}
	err := each(buf, depth, func(f field) error {
		if f.tag != 1 && f.tag != 5 && f.tag != 15 && (f.tag < 11 || f.tag > 13) {
			return nil
		}
		b, err := f.bytes()
		if err != nil {
			return err
		}
		switch f.tag {
		case 1:
			var n *nodeProto
			if n, err = parseNode(b, depth-1); err == nil && n.op == "" {
				err = bad("node %d has no operator", len(g.nodes))
			}
			g.nodes = append(g.nodes, n)
		case 5:
			var t *tensorProto
			if t, err = parseTensor(b, depth-1); err == nil && t.name == "" {
				err = bad("initialiser %d has no name", len(g.initializers))
			}
			g.initializers = append(g.initializers, t)
		case 11:
			g.inputs, err = appendInfo(g.inputs, b, depth-1)
		case 12:
			g.outputs, err = appendInfo(g.outputs, b, depth-1)
		case 13:
			g.infos, err = appendInfo(g.infos, b, depth-1)
		case 15:
			g.sparse++
		}
		return err
	})
	return g, err
}

func parseNode(buf []byte, depth int) (*nodeProto, error) {
	n := &nodeProto{}
	err := each(buf, depth, func(f field) (err error) {
		switch f.tag {
		case 1:
			n.in, err = appendText(n.in, f)
		case 2:
			n.out, err = appendText(n.out, f)
		case 3:
			n.name, err = f.text()
		case 4:
			n.op, err = f.text()
		case 5:
			var b []byte
			var a attrProto
			if b, err = f.bytes(); err == nil {
				if a, err = parseAttr(b, depth-1); err == nil && a.name == "" {
					err = bad("an attribute of node %s has no name", quote(n.name))
				}
				n.attrs = append(n.attrs, a)
			}
		case 7:
			n.domain, err = f.text()
		}
		return err
	})
	return n, err
}

func appendText(list []string, f field) ([]string, error) {
	s, err := f.text()
	return append(list, s), err
}

func parseAttr(buf []byte, depth int) (a attrProto, err error) {
	err = each(buf, depth, func(f field) (err error) {
		switch f.tag {
		case 1:
			a.name, err = f.text()
		case 2:
			var v float32
			v, err = f.float()
			a.f = float64(v)
		case 3:
			a.i, err = f.integer()
		case 4:
			a.s, err = f.text()
		case 5:
			var b []byte
			if b, err = f.bytes(); err == nil {
				a.t, err = parseTensor(b, depth-1)
			}
		case 6, 11:
			a.graphs++
		case 7:
			a.floats, err = f.floats(a.floats, 4)
		case 8:
			a.ints, err = f.integers(a.ints)
		case 9:
			a.strings, err = appendText(a.strings, f)
		}
		return err
	})
	return a, err
}

func parseTensor(buf []byte, depth int) (*tensorProto, error) {
	t := &tensorProto{}
	err := each(buf, depth, func(f field) (err error) {
		var n int64
		switch f.tag {
		case 1:
			t.dims, err = f.integers(t.dims)
		case 2:
			n, err = f.integer()
			t.elem = Elem(n)
		case 4:
			t.floats, err = f.floats(t.floats, 4)
		case 5, 7, 11:
			t.ints, err = f.integers(t.ints)
		case 6:
			t.strings++
		case 8:
			t.name, err = f.text()
		case 9:
			t.raw, err = f.bytes()
			t.hasRaw = true
		case 10:
			t.doubles, err = f.floats(t.doubles, 8)
		case tagExternal:
			var p property
			t.external = true
			p, err = parseProperty(f)
			t.entries = append(t.entries, p)
		case tagLocation:
			n, err = f.integer()
			t.external = t.external || n == 1
		}
		return err
	})
	return t, err
}

// appendInfo reads a ValueInfoProto: name and type.tensor_type.{elem_type, shape.dim[]}.
func appendInfo(list []valueInfo, buf []byte, depth int) ([]valueInfo, error) {
	var v valueInfo
	err := each(buf, depth, func(f field) (err error) {
		switch f.tag {
		case 1:
			v.name, err = f.text()
		case 2:
			err = nested(f, depth-1, func(f field) error {
				v.kind = f.tag
				if f.tag != 1 {
					return nil
				}
				return nested(f, depth-2, func(f field) error { return v.tensorType(f, depth-2) })
			})
		}
		return err
	})
	if err == nil && v.name == "" {
		err = bad("an input, output or intermediate value has no name")
	}
	return append(list, v), err
}

func (v *valueInfo) tensorType(f field, depth int) error {
	switch f.tag {
	case 1:
		n, err := f.integer()
		v.elem = Elem(n)
		return err
	case 2:
		v.shape = []int{}
		return nested(f, depth-1, func(f field) error {
			if f.tag != 1 {
				return nil
			}
			d := -1
			err := nested(f, depth-2, func(f field) error {
				if f.tag != 1 {
					return nil // a symbolic extent
				}
				n, err := f.integer()
				if n > 0 && n < 1<<31 {
					d = int(n)
				}
				return err
			})
			v.shape = append(v.shape, d)
			return err
		})
	}
	return nil
}

// nested visits the fields of the message in f.
func nested(f field, depth int, visit func(f field) error) error {
	b, err := f.bytes()
	if err != nil {
		return err
	}
	return each(b, depth, visit)
}
