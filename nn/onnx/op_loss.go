package onnx

import (
	"math"
	"slices"

	"afterimage/autodiff"
)

// nllLoss is the negative log likelihood of targets [N d…] under log-probabilities [N C d…].
func nllLoss(c *call) []*Value { return []*Value{c.nll(c.arg(0))} }

// crossEntropyLoss is nllLoss behind a log-softmax over the classes, which it gives, too.
func crossEntropyLoss(c *call) []*Value {
	x := c.float(0)
	if x.Rank() < 2 {
		c.fail("expected scores [N C …], got %v", x.Shape())
	}
	logp := like(c.arg(0), c.alongLast(x, 1, autodiff.LogSoftmax))
	return []*Value{c.nll(logp), logp}
}

// nll computes −w[t]·logp[n,t,…] for operand 1, the targets t, and 2, the weights w (1 without),
// and reduces it: mean divides by the weights' sum. Targets equal to ignore_index count nothing.
func (c *call) nll(logp *Value) *Value {
	t := c.indices(1)
	if len(logp.shape) < 2 || !t.Shape.Equal(slices.Delete(logp.shape.Clone(), 1, 2)) {
		c.fail("targets %v do not fit scores %v", t.Shape, logp.shape)
	}
	classes, inner := logp.shape[1], logp.shape[2:].Size()
	if c.has(2) && !c.arg(2).shape.Equal(logp.shape[1:2]) {
		c.fail("weights %v for %d classes", c.arg(2).shape, classes)
	}
	ignore, ignored := int64(c.attrInt("ignore_index", 0)), c.hasAttr("ignore_index")
	flat, class := make([]int, len(t.I)), make([]int, len(t.I))
	count := 0
	for i, k := range t.I {
		if ignored && k == ignore {
			flat[i], class[i] = outside, outside
			continue
		}
		if k < 0 || k >= int64(classes) {
			c.fail("target %d is none of %d classes", k, classes)
		}
		flat[i], class[i] = (i/inner*classes+int(k))*inner+i%inner, int(k)
		count++
	}
	loss := autodiff.Neg(c.upload(c.take(logp, flat, t.Shape, 0)))
	total := c.scalarLike(loss, float64(count))
	if c.has(2) {
		w := c.upload(c.take(c.arg(2), class, t.Shape, 0))
		loss, total = autodiff.Mul(loss, w), autodiff.Sum(w)
	}
	switch c.attrString("reduction", "mean") {
	case "none":
		return like(logp, loss)
	case "sum":
		return like(logp, autodiff.Sum(loss))
	}
	return like(logp, autodiff.Div(autodiff.Sum(loss), total))
}

// trainingGroups cuts the operands behind R and T into n lists of equal length.
func (c *call) trainingGroups(n int) [][]*autodiff.Value {
	count := (len(c.args) - 2) / n
	if count < 1 || len(c.args) != 2+n*count {
		c.fail("%d operands are not R, T and %d equal lists", len(c.args), n)
	}
	out := make([][]*autodiff.Value, n)
	for i := range n * count {
		out[i/count] = append(out[i/count], c.float(2+i))
	}
	return out
}

// regularised returns g + norm·x.
func (c *call) regularised(x, g *autodiff.Value) *autodiff.Value {
	return autodiff.Add(g, autodiff.Scale(x, c.attrFloat("norm_coefficient", 0)))
}

// wrapAll wraps lists of results in order.
func (c *call) wrapAll(lists ...[]*autodiff.Value) []*Value {
	var out []*Value
	for _, y := range slices.Concat(lists...) {
		out = append(out, like(c.arg(2), y))
	}
	return out
}

// adagrad: H += G², X −= R/(1+T·decay)·G/(√H + eps).
func adagrad(c *call) []*Value {
	rate := c.number(0) / (1 + c.number(1)*c.attrFloat("decay_factor", 0))
	in := c.trainingGroups(3)
	var xs, hs []*autodiff.Value
	for i, x := range in[0] {
		g := c.regularised(x, in[1][i])
		h := autodiff.Add(in[2][i], autodiff.Square(g))
		root := autodiff.AddScalar(autodiff.Sqrt(h), c.attrFloat("epsilon", 1e-6))
		xs = append(xs, autodiff.Sub(x, autodiff.Scale(autodiff.Div(g, root), rate)))
		hs = append(hs, h)
	}
	return c.wrapAll(xs, hs)
}

// adam: V and H are running averages of G and G²; the correction of their start at 0 multiplies R.
func adam(c *call) []*Value {
	alpha, beta := c.attrFloat("alpha", 0.9), c.attrFloat("beta", 0.999)
	rate, t := c.number(0), c.number(1)
	if t > 0 {
		rate *= math.Sqrt(1-math.Pow(beta, t)) / (1 - math.Pow(alpha, t))
	}
	in := c.trainingGroups(4)
	var xs, vs, hs []*autodiff.Value
	for i, x := range in[0] {
		g := c.regularised(x, in[1][i])
		v := autodiff.Add(autodiff.Scale(in[2][i], alpha), autodiff.Scale(g, 1-alpha))
		h := autodiff.Scale(in[3][i], beta)
		h = autodiff.Add(h, autodiff.Scale(autodiff.Square(g), 1-beta))
		root := autodiff.AddScalar(autodiff.Sqrt(h), c.attrFloat("epsilon", 1e-6))
		y := autodiff.Sub(x, autodiff.Scale(autodiff.Div(v, root), rate))
		xs = append(xs, autodiff.Scale(y, 1-c.attrFloat("norm_coefficient_post", 0)))
		vs, hs = append(vs, v), append(hs, h)
	}
	return c.wrapAll(xs, vs, hs)
}

// momentum: V = alpha·V + beta·G (beta is 1 in step 0), X −= R·V, or with Nesterov's look ahead
// X −= R·(G + alpha·V).
func momentum(c *call) []*Value {
	rate, alpha, beta := c.number(0), c.attrFloat("alpha", 0), c.attrFloat("beta", 0)
	if c.number(1) == 0 {
		beta = 1
	}
	in := c.trainingGroups(3)
	var xs, vs []*autodiff.Value
	for i, x := range in[0] {
		g := c.regularised(x, in[1][i])
		v := autodiff.Add(autodiff.Scale(in[2][i], alpha), autodiff.Scale(g, beta))
		d := v
		if c.attrString("mode", "standard") == "nesterov" {
			d = autodiff.Add(g, autodiff.Scale(v, alpha))
		}
		xs, vs = append(xs, autodiff.Sub(x, autodiff.Scale(d, rate))), append(vs, v)
	}
	return c.wrapAll(xs, vs)
}
