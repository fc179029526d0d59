package onnx

import (
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// Operands of Attention.
const (
	attnMask   = 3
	attnPastK  = 4
	attnPastV  = 5
	attnNonpad = 6
)

// attention is softmax(q·kᵀ·scale + bias)·v for [B H L D], or [B L H·D] with the numbers of heads
// as attributes. Fewer key heads than query heads are shared by groups of them. Results: y, the
// keys and values with what came before them, and the scores at the stage qk_matmul_output_mode
// names.
func attention(c *call) []*Value {
	flat := len(c.arg(0).shape) == 3
	q := c.heads(c.arg(0), "q_num_heads")
	k, v := c.heads(c.arg(1), "kv_num_heads"), c.heads(c.arg(2), "kv_num_heads")
	past := 0
	if c.has(attnPastK) {
		if len(c.arg(attnPastK).shape) != 4 {
			c.fail("past keys %v: expected [B H L D]", c.arg(attnPastK).shape)
		}
		past = c.arg(attnPastK).shape[2]
		k = autodiff.Concat(2, c.float(attnPastK), k)
		v = autodiff.Concat(2, c.float(attnPastV), v)
	}
	present := []*Value{like(c.arg(1), k), like(c.arg(2), v)}
	if h := k.Dim(1); h == 0 || q.Dim(1)%h != 0 || v.Dim(1) != h || v.Dim(2) != k.Dim(2) ||
		q.Dim(3) != k.Dim(3) {
		c.fail("queries %v, keys %v and values %v do not fit", q.Shape(), k.Shape(), v.Shape())
	}
	k, v = c.repeatHeads(k, q.Dim(1)), c.repeatHeads(v, q.Dim(1))
	stages := c.attentionScores(q, k, past)
	p := stages[3]
	y := c.matMul(p, v)
	if flat {
		y = autodiff.Permute(y, 0, 2, 1, 3)
		y = autodiff.Reshape(y, y.Dim(0), y.Dim(1), y.Dim(2)*y.Dim(3))
	}
	mode := c.attrInt("qk_matmul_output_mode", 0)
	if mode < 0 || mode > 3 {
		c.fail("qk_matmul_output_mode %d does not exist", mode)
	}
	return append(append(c.out(y), present...), like(c.arg(0), stages[mode]))
}

// heads returns x as [B H L D].
func (c *call) heads(x *Value, attr string) *autodiff.Value {
	v := c.upload(x)
	if v.Rank() == 4 {
		return v
	}
	h := c.attrInt(attr, 0)
	if v.Rank() != 3 || h < 1 || v.Dim(2)%h != 0 {
		c.fail("%s = %d does not fit %v", attr, h, v.Shape())
	}
	v = autodiff.Reshape(v, v.Dim(0), v.Dim(1), h, v.Dim(2)/h)
	return autodiff.Permute(v, 0, 2, 1, 3)
}

// repeatHeads shares each head with a group of query heads.
func (c *call) repeatHeads(x *autodiff.Value, heads int) *autodiff.Value {
	n := x.Dim(1)
	if n == heads {
		return x
	}
	idx := make([]int, heads)
	for i := range idx {
		idx[i] = i / (heads / n)
	}
	return c.takeAxis(like(c.arg(1), x), 1, idx, 0).dev
}

// attentionScores returns the scores after the product, after the soft cap, with the bias, and the
// weights. A query that may see no key has weights of 0.
func (c *call) attentionScores(q, k *autodiff.Value, past int) [4]*autodiff.Value {
	const lowest = -1e37 // below any score, above −Inf
	scale := c.attrFloat("scale", 1/math.Sqrt(float64(q.Dim(3))))
	raw := c.matMul(autodiff.Scale(q, scale), autodiff.Permute(k, 0, 1, 3, 2))
	capped := raw
	if limit := c.attrFloat("softcap", 0); limit > 0 {
		capped = autodiff.Scale(autodiff.Tanh(autodiff.Scale(raw, 1/limit)), limit)
	}
	s := raw.Shape()
	biased := capped
	minusInf := c.scalarLike(raw, math.Inf(-1))
	if c.has(attnMask) {
		biased = c.addMask(biased, s)
	}
	if allowed, batch := c.allowed(s, past); allowed != nil {
		shape := tensor.Shape{batch, 1, s[2], s[3]}
		biased = c.where(allowed, shape, biased, minusInf)
	}
	var alive *autodiff.Value
	c.run.g.NoGrad(func() {
		alive = autodiff.Greater(autodiff.MaxKeep(biased, -1), c.scalarLike(raw, lowest))
	})
	zero := c.scalarLike(raw, 0)
	p := autodiff.Softmax(autodiff.Where(alive, biased, zero))
	return [4]*autodiff.Value{raw, capped, biased, autodiff.Where(alive, p, zero)}
}

// addMask adds a floating-point mask, or −Inf where a boolean one is false. A mask shorter than the
// keys hides the rest.
func (c *call) addMask(x *autodiff.Value, s tensor.Shape) *autodiff.Value {
	m := c.arg(attnMask)
	if len(m.shape) > 0 && m.shape[len(m.shape)-1] < s[3] && m.shape[len(m.shape)-1] != 1 {
		idx := make([]int, s[3])
		for i := range idx {
			if idx[i] = i; i >= m.shape[len(m.shape)-1] {
				idx[i] = outside
			}
		}
		fill := math.Inf(-1)
		if !m.elem.IsFloat() {
			fill = 0
		}
		m = c.takeAxis(m, len(m.shape)-1, idx, fill)
	}
	if m.elem.IsFloat() {
		return autodiff.Add(x, c.upload(m))
	}
	hit := make([]bool, len(m.host.I))
	for i, v := range m.host.I {
		hit[i] = v != 0
	}
	return c.where(hit, m.shape, x, c.scalarLike(x, math.Inf(-1)))
}

// allowed says for each query and key whether causality, the window and the padding let the one see
// the other: [batch Lq Lk] with batch 1 or B; nil when everything is allowed.
func (c *call) allowed(s tensor.Shape, past int) (ok []bool, batch int) {
	causal := c.attrInt("is_causal", 0) == 1
	left, right := c.attrInt("left_window_size", -1), c.attrInt("right_window_size", -1)
	batch = 1
	var valid []int
	if c.has(attnNonpad) {
		valid = c.ints(attnNonpad)
		if batch = len(valid); batch != s[0] {
			c.fail("%d lengths for a batch of %d", batch, s[0])
		}
	}
	if !causal && left < 0 && right < 0 && valid == nil {
		return nil, batch
	}
	ok = make([]bool, 0, batch*s[2]*s[3])
	for b := range batch {
		offset, keys := past, s[3]
		if valid != nil {
			keys = valid[b]
			if !c.has(attnPastK) {
				offset = keys - s[2]
			}
		}
		for i := range s[2] {
			p := i + offset
			for j := range s[3] {
				ok = append(ok, j < keys && !(causal && j > p) && !(left >= 0 && j < p-left) &&
					!(right >= 0 && j > p+right))
			}
		}
	}
	return ok, batch
}

// rotaryEmbedding turns pairs of features by the angles of their positions: of [B H L D], or of
// [B L H·D] with num_heads.
func rotaryEmbedding(c *call) []*Value {
	in := c.arg(0)
	x := c.heads(in, "num_heads")
	d := x.Dim(3)
	turned := c.attrInt("rotary_embedding_dim", 0)
	if turned == 0 {
		turned = d
	}
	if turned > d || turned%2 != 0 {
		c.fail("rotary_embedding_dim %d does not fit heads of %d", turned, d)
	}
	cos, sin := c.angles(1, x), c.angles(2, x)
	rot, rest := autodiff.SliceAxis(x, 3, 0, turned), autodiff.SliceAxis(x, 3, turned, d)
	half := turned / 2
	if cos.Dim(3) != half || sin.Dim(3) != half {
		c.fail("tables of %d angles for %d pairs", cos.Dim(3), half)
	}
	interleaved := c.attrInt("interleaved", 0) == 1
	pairs := tensor.Shape{x.Dim(0), x.Dim(1), x.Dim(2), 2, half}
	axis := 3
	if interleaved {
		pairs[3], pairs[4], axis = half, 2, 4
	}
	both := autodiff.Reshape(rot, pairs...)
	part := func(i int) *autodiff.Value {
		x := autodiff.SliceAxis(both, axis, i, i+1)
		return autodiff.Reshape(x, pairs[0], pairs[1], pairs[2], half)
	}
	a, b := part(0), part(1)
	re := autodiff.Sub(autodiff.Mul(cos, a), autodiff.Mul(sin, b))
	im := autodiff.Add(autodiff.Mul(sin, a), autodiff.Mul(cos, b))
	one := pairs.Reduced([]int{axis})
	y := autodiff.Concat(axis, autodiff.Reshape(re, one...), autodiff.Reshape(im, one...))
	y = autodiff.Concat(3, autodiff.Reshape(y, rot.Shape()...), rest)
	if len(in.shape) == 3 {
		y = autodiff.Reshape(autodiff.Permute(y, 0, 2, 1, 3), in.shape...)
	}
	return c.out(y)
}

// angles returns a table of cosines or sines as [B 1 L D/2]: rows picked by operand 3, the
// positions, or given for each token.
func (c *call) angles(i int, x *autodiff.Value) *autodiff.Value {
	t := c.arg(i)
	if c.has(3) {
		pos := c.indices(3)
		if len(t.shape) != 2 {
			c.fail("operand %d: expected a table [positions, D/2], got %v", i, t.shape)
		}
		idx := make([]int, len(pos.I))
		for k, p := range pos.I {
			idx[k] = c.position(p, t.shape[0])
		}
		t = c.takeAxis(t, 0, idx, 0)
	}
	return autodiff.Reshape(c.upload(t), x.Dim(0), 1, x.Dim(2), t.shape[len(t.shape)-1])
}
