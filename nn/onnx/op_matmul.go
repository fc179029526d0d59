package onnx

import (
	"slices"
	"strings"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// matMul multiplies stacks of matrices whose leading axes broadcast, by NumPy's rule.
func matMul(c *call) []*Value {
	scale := c.attrFloat(fusedScale, 1)
	if y, ok := c.matMulViews(scale); ok {
		return []*Value{y}
	}
	a := c.float(0)
	if scale != 1 {
		a = autodiff.Scale(a, scale)
	}
	return c.out(c.matMul(a, c.float(1)))
}

func (c *call) matMul(a, b *autodiff.Value) *autodiff.Value {
	if a.Rank() == 0 || b.Rank() == 0 {
		c.fail("MatMul of a scalar")
	}
	vecA, vecB := a.Rank() == 1, b.Rank() == 1
	if vecA {
		a = autodiff.Reshape(a, 1, a.Dim(0))
	}
	if vecB {
		b = autodiff.Reshape(b, b.Dim(0), 1)
	}
	m, k, n := a.Dim(-2), a.Dim(-1), b.Dim(-1)
	lead, ok := tensor.Broadcast(a.Shape()[:a.Rank()-2], b.Shape()[:b.Rank()-2])
	if !ok || b.Dim(-2) != k {
		c.fail("%v and %v cannot be multiplied", a.Shape(), b.Shape())
	}
	var y *autodiff.Value
	if b.Rank() == 2 { // one matrix for the whole stack
		y = autodiff.MatMul(autodiff.Reshape(a, a.Shape()[:a.Rank()-1].Size(), k), b, false, false)
	} else {
		a = autodiff.Reshape(spreadTo(a, lead, m, k), lead.Size(), m, k)
		b = autodiff.Reshape(spreadTo(b, lead, k, n), lead.Size(), k, n)
		y = autodiff.MatMul(a, b, false, false)
	}
	shape := lead.Clone()
	if !vecA {
		shape = append(shape, m)
	}
	if !vecB {
		shape = append(shape, n)
	}
	return autodiff.Reshape(y, shape...)
}

// spreadTo repeats a stack of m×n matrices to the leading axes lead.
func spreadTo(x *autodiff.Value, lead tensor.Shape, m, n int) *autodiff.Value {
	shape := append(lead.Clone(), m, n)
	if x.Shape().Equal(shape) {
		return x
	}
	return autodiff.BroadcastTo(x, shape...)
}

// gemm computes alpha·A·B + beta·C.
func gemm(c *call) []*Value {
	y := autodiff.MatMul(c.float(0), c.float(1), c.attrInt("transA", 0) != 0,
		c.attrInt("transB", 0) != 0)
	if alpha := c.attrFloat("alpha", 1); alpha != 1 {
		y = autodiff.Scale(y, alpha)
	}
	if !c.has(2) {
		return c.out(y)
	}
	bias := c.float(2)
	if beta := c.attrFloat("beta", 1); beta != 1 {
		bias = autodiff.Scale(bias, beta)
	}
	return c.out(autodiff.Add(y, bias))
}

// einsum evaluates Einstein's sum of any number of operands, two at a time.
func einsum(c *call) []*Value {
	eq := strings.ReplaceAll(c.attrString("equation", ""), " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.args) {
		c.fail("equation %q has %d terms for %d operands", eq, len(terms), len(c.args))
	}
	dots := 0 // the most axes an ellipsis stands for
	for i, t := range terms {
		if strings.Contains(t, "...") {
			dots = max(dots, len(c.arg(i).shape)-len(t)+3)
		}
	}
	vs := make([]*autodiff.Value, len(terms))
	labels := make([][]rune, len(terms))
	for i, t := range terms {
		labels[i] = c.labels(t, len(c.arg(i).shape), dots)
		vs[i], labels[i] = c.diagonal(c.arg(i), labels[i])
	}
	var out []rune
	if explicit {
		rank := len(strings.Replace(right, "...", "", 1))
		if strings.Contains(right, "...") {
			rank += dots
		}
		out = c.labels(right, rank, dots)
	} else {
		out = implicitOutput(terms, labels, dots)
	}
	acc, have := vs[0], labels[0]
	for i := 1; i < len(vs); i++ {
		keep := slices.Concat(append(labels[i+1:], out)...)
		acc, have = c.contract(acc, have, vs[i], labels[i], keep)
	}
	return c.out(c.toLabels(acc, have, out))
}

// labels expands a term: the axes of an ellipsis become upper private runes, the last ones shared.
func (c *call) labels(term string, rank, dots int) []rune {
	var out []rune
	before, after, found := strings.Cut(term, "...")
	out = append(out, []rune(before)...)
	if found {
		n := rank - len(before) - len(after)
		if n < 0 {
			c.fail("term %q does not fit rank %d", term, rank)
		}
		for i := range n {
			out = append(out, rune(0x10000+dots-n+i))
		}
		out = append(out, []rune(after)...)
	}
	if len(out) != rank {
		c.fail("term %q does not fit rank %d", term, rank)
	}
	return out
}

// implicitOutput orders the ellipsis first, then the labels that occur once, alphabetically.
func implicitOutput(terms []string, labels [][]rune, dots int) []rune {
	var out, single []rune
	if strings.Contains(strings.Join(terms, ","), "...") {
		for i := range dots {
			out = append(out, rune(0x10000+i))
		}
	}
	all := strings.ReplaceAll(strings.Join(terms, ""), ".", "")
	for _, l := range all {
		if strings.Count(all, string(l)) == 1 {
			single = append(single, l)
		}
	}
	slices.Sort(single)
	return append(out, single...)
}

// diagonal takes the diagonal along labels that a term repeats.
func (c *call) diagonal(v *Value, labels []rune) (*autodiff.Value, []rune) {
	var uniq []rune
	var shape tensor.Shape
	stride := map[rune]int{}
	for i, st := range v.shape.Strides() {
		l := labels[i]
		if k := slices.Index(uniq, l); k < 0 {
			uniq, shape = append(uniq, l), append(shape, v.shape[i])
		} else if shape[k] != v.shape[i] {
			c.fail("one label names extents %d and %d of %v", shape[k], v.shape[i], v.shape)
		}
		stride[l] += st
	}
	if len(uniq) == len(labels) {
		return c.upload(v), labels
	}
	step := make([]int, len(uniq))
	for i, l := range uniq {
		step[i] = stride[l]
	}
	var idx []int
	walk(shape, func(at []int) { idx = append(idx, dot(at, step)) })
	return c.upload(c.take(v, idx, shape, 0)), uniq
}

// contract multiplies two operands and sums over the labels that keep does not hold, as one stack
// of matrix products: labels in both and kept make the stack.
func (c *call) contract(a *autodiff.Value, la []rune, b *autodiff.Value, lb, keep []rune) (
	*autodiff.Value, []rune) {
	var stack, sum, onlyA, onlyB []rune
	for _, l := range la {
		switch inB, kept := slices.Contains(lb, l), slices.Contains(keep, l); {
		case inB && kept:
			stack = append(stack, l)
		case inB:
			sum = append(sum, l)
		case kept:
			onlyA = append(onlyA, l)
		}
	}
	for _, l := range lb {
		if !slices.Contains(la, l) && slices.Contains(keep, l) {
			onlyB = append(onlyB, l)
		}
	}
	extent := map[rune]int{}
	for i, l := range la {
		extent[l] = a.Dim(i)
	}
	for i, l := range lb {
		if extent[l] = max(extent[l], b.Dim(i)); b.Dim(i) == 0 {
			extent[l] = 0
		}
	}
	size := func(ls []rune) (shape tensor.Shape) {
		for _, l := range ls {
			shape = append(shape, extent[l])
		}
		return shape
	}
	fit := func(x *autodiff.Value, have, want []rune, rows, cols []rune) *autodiff.Value {
		x = c.toLabels(x, have, want)
		if s := size(want); !x.Shape().Equal(s) {
			x = autodiff.BroadcastTo(x, s...)
		}
		return autodiff.Reshape(x, size(stack).Size(), size(rows).Size(), size(cols).Size())
	}
	ma := fit(a, la, slices.Concat(stack, onlyA, sum), onlyA, sum)
	mb := fit(b, lb, slices.Concat(stack, sum, onlyB), sum, onlyB)
	out := slices.Concat(stack, onlyA, onlyB)
	return autodiff.Reshape(autodiff.MatMul(ma, mb, false, false), size(out)...), out
}

// toLabels sums over labels that are not wanted and orders the rest.
func (c *call) toLabels(x *autodiff.Value, have, want []rune) *autodiff.Value {
	var axes []int
	var left []rune
	for i, l := range have {
		if slices.Contains(want, l) {
			left = append(left, l)
		} else {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 {
		x = autodiff.Sum(x, axes...)
	}
	perm := make([]int, len(want))
	for i, l := range want {
		if perm[i] = slices.Index(left, l); perm[i] < 0 {
			c.fail("a label of the result is in no term")
		}
	}
	if slices.IsSorted(perm) {
		return x
	}
	return autodiff.Permute(x, perm...)
}

// det computes the determinant of square matrices by elimination with pivoting, for constants.
func det(c *call) []*Value {
	v := c.arg(0)
	if v.needsGrad() {
		c.refuse("replace the operator", "Det has no derivative here")
	}
	x := v.Array()
	r := len(x.Shape)
	if r < 2 || x.Shape[r-1] != x.Shape[r-2] {
		c.fail("expected square matrices, got %v", x.Shape)
	}
	n := x.Shape[r-1]
	out := newArray(x.Elem, x.Shape[:r-2]...)
	for i := range out.F {
		out.F[i] = determinant(slices.Clone(x.F[i*n*n:(i+1)*n*n]), n)
	}
	return hostOut(out)
}

// determinant destroys m, n×n.
func determinant(m []float64, n int) float64 {
	d := 1.0
	for k := range n {
		p := k
		for i := k + 1; i < n; i++ {
			if abs(m[i*n+k]) > abs(m[p*n+k]) {
				p = i
			}
		}
		if m[p*n+k] == 0 {
			return 0
		}
		if p != k {
			d = -d
			for j := range n {
				m[p*n+j], m[k*n+j] = m[k*n+j], m[p*n+j]
			}
		}
		d *= m[k*n+k]
		for i := k + 1; i < n; i++ {
			f := m[i*n+k] / m[k*n+k]
			for j := k; j < n; j++ {
				m[i*n+j] -= f * m[k*n+j]
			}
		}
	}
	return d
}

func abs(x float64) float64 { return max(x, -x) }
