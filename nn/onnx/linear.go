package onnx

import (
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A linear layer is a 1×1 convolution of an image whose pixels are the rows. Taken as one it has
// what convolutions have: weights that stay packed from one pass to the next, and bias, residual
// and ReLU at the store.

// linears makes such layers of products with a constant matrix, which it stores as [O 1 1 K].
func (b *builder) linears() {
	for i, n := range b.nodes {
		transposed, ok := b.isLinear(n)
		if !ok {
			continue
		}
		m := *n
		m.domain, m.op, m.impl = internal, "Linear", linear
		m.in = []string{n.in[0], b.linearWeight(n.in[1], transposed)}
		if len(n.in) > 2 {
			m.in = append(m.in, n.in[2])
		}
		b.nodes[i] = &m
	}
}

// isLinear reports whether a node multiplies by a constant matrix, stored [O K] or, as transposed
// says, [K O], and adds at most a constant for each column.
func (b *builder) isLinear(n *node) (transposed, ok bool) {
	if n.domain != "" || len(n.in) < 2 || len(n.out) != 1 {
		return false, false
	}
	w, ok := b.consts[n.in[1]]
	if _, both := b.consts[n.in[0]]; !ok || both || len(w.shape) != 2 || w.shape.Size() == 0 {
		return false, false
	}
	switch n.op {
	case "MatMul":
		return true, true
	case "Gemm":
		transposed = n.attrInt("transB", 0) == 0
		plain := n.attrInt("transA", 0) == 0 && n.attrFloat("alpha", 1) == 1 &&
			n.attrFloat("beta", 1) == 1
		return transposed, plain && (len(n.in) < 3 || b.isBias(n.in[2], n.in[1], transposed))
	}
	return false, false
}

// isBias reports whether a constant holds a number for each column of a product with the matrix w.
func (b *builder) isBias(name, w string, transposed bool) bool {
	a, ok := b.consts[name]
	columns := b.consts[w].shape[0]
	if transposed {
		columns = b.consts[w].shape[1]
	}
	return ok && a.shape.Equal(tensor.Shape{columns})
}

// linearWeight names the constant w as the kernel of a 1×1 convolution, which it makes once.
func (b *builder) linearWeight(w string, transposed bool) string {
	name := w + "/linear"
	if transposed {
		name = w + "/turned"
	}
	if _, ok := b.consts[name]; ok {
		return name
	}
	l := b.consts[w]
	if transposed {
		l = l.permute([]int{1, 0})
	}
	shape := tensor.Shape{l.shape[0], 1, 1, l.shape[1]}
	b.consts[name] = literal{shape, func() *Array {
		a := *l.decode()
		a.Shape = shape
		return &a
	}}
	return name
}

// linear computes x·wᵀ + bias for x [… K] and w [O 1 1 K], and what fuse has put behind it.
func linear(c *call) []*Value {
	x, w := c.float(0), c.float(1)
	s := x.Shape()
	if len(s) == 0 || s[len(s)-1] != w.Dim(3) {
		c.fail("%v and %v cannot be multiplied", s, tensor.Shape{w.Dim(3), w.Dim(0)})
	}
	rows, out := s[:len(s)-1].Size(), append(s[:len(s)-1].Clone(), w.Dim(0))
	if rows == 0 { // no image has no pixels
		return c.out(c.noRows(x, w, out))
	}
	image := autodiff.Reshape(x, 1, 1, rows, w.Dim(3))
	y := c.convolved(image, w, out, tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1,
		Groups: 1})
	return c.out(y)
}

// noRows is linear for x without rows, whose result has no elements, whatever is added to it.
func (c *call) noRows(x, w *autodiff.Value, shape tensor.Shape) *autodiff.Value {
	kernel := autodiff.Reshape(w, w.Dim(0), w.Dim(3))
	y := autodiff.MatMul(autodiff.Reshape(x, 0, w.Dim(3)), kernel, false, true)
	y = autodiff.Reshape(y, shape...)
	if c.has(fusedSum) {
		y = autodiff.Add(y, c.float(fusedSum))
	}
	return y
}

// convolved convolves with a bias, operand 2, and what fuse has put behind it, and returns the
// result in the given shape. A sum that spreads one of its terms is a sum of its own.
func (c *call) convolved(x, w *autodiff.Value, shape tensor.Shape,
	p tensor.ConvParams) *autodiff.Value {
	var bias, res *autodiff.Value
	if c.has(2) {
		bias = c.float(2)
	}
	if c.has(fusedSum) {
		res = c.float(fusedSum)
	}
	relu, apart := c.hasAttr(fusedReLU), res != nil && !res.Shape().Equal(shape)
	oh, ow := p.Out(x.Dim(1), x.Dim(2), w.Dim(1), w.Dim(2))
	image := []int{x.Dim(0), oh, ow, w.Dim(0)}
	if res != nil && !apart {
		res = shaped(res, image)
	}
	switch {
	case !apart && c.act != nil:
		return shaped(autodiff.Conv2DAct(x, w, bias, res, *c.act, p), shape)
	case !apart:
		return shaped(autodiff.Conv2DBiasAct(x, w, bias, res, relu, p), shape)
	}
	conv := autodiff.Conv2DBiasAct(x, w, bias, nil, false, p)
	y := autodiff.Add(shaped(conv, shape), res)
	conv.Done()
	switch {
	case relu:
		return autodiff.ReLU(y)
	case c.act != nil:
		return c.act.Of(y)
	}
	return y
}

// shaped returns x in the given shape, itself where it has it.
func shaped(x *autodiff.Value, shape tensor.Shape) *autodiff.Value {
	if x.Shape().Equal(shape) {
		return x
	}
	return autodiff.Reshape(x, shape...)
}

// swap returns a matrix transposed, without the detour over positions that permute takes.
func (a *Array) swap() *Array {
	rows, cols := a.Shape[0], a.Shape[1]
	out := newArray(a.Elem, cols, rows)
	for i := range rows {
		for j := range cols {
			if a.F != nil {
				out.F[j*rows+i] = a.F[i*cols+j]
			} else {
				out.I[j*rows+i] = a.I[i*cols+j]
			}
		}
	}
	return out
}

// matrix reports whether perm turns a matrix.
func matrix(perm []int) bool { return slices.Equal(perm, []int{1, 0}) }
