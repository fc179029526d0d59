package onnx

// Parameters returns how many numbers of the graph a training would have learnt: the elements of
// its floating-point initialisers, without the running statistics of batch normalisations.
// Constants that somebody's exporter wrote as initialisers count, too.
func (m *Model) Parameters() int {
	g := m.proto.graph
	statistics := map[string]bool{}
	for _, n := range g.nodes {
		if n.op == "BatchNormalization" && len(n.in) == 5 {
			statistics[n.in[3]], statistics[n.in[4]] = true, true
		}
	}
	sum := 0
	for _, t := range g.initializers {
		if _, n, err := t.extents(); err == nil && t.elem.IsFloat() && !statistics[t.name] {
			sum += n
		}
	}
	return sum
}

// FeatureDim returns the width of what the layer that makes the logits reads, by the shape of its
// weight: what a Classifier of the model says, without running it. It is 0 where another operation
// makes the logits, or the weight is no initialiser but made of one.
func (m *Model) FeatureDim() int {
	g := m.proto.graph
	if len(g.outputs) == 0 {
		return 0
	}
	t, logits := trace(g), g.outputs[0].name
	if n := t.made[logits]; n != nil && n.op == "Softmax" && len(n.in) == 1 {
		logits = n.in[0]
	}
	last := t.linear(logits)
	if last == nil {
		return 0
	}
	for _, w := range g.initializers {
		if w.name != last.in[1] || len(w.dims) < 2 {
			continue
		}
		shape, _, err := w.extents()
		if err != nil {
			return 0
		}
		switch {
		case last.op == "Conv" && shape[2:].Size() != 1:
			return 0 // of several pixels
		case last.op == "Conv", last.op == "Gemm" && last.flag("transB"):
			return shape[1]
		}
		return shape[len(shape)-2]
	}
	return 0
}
