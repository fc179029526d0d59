package onnx

// pad adds elements around x: a constant, or its own by mode reflect, edge or wrap. Negative
// padding crops.
func pad(c *call) []*Value {
	x := c.arg(0)
	pads, fill := c.attrInts("pads"), c.attrFloat("value", 0)
	if c.hasAttr("paddings") { // opset 1
		pads = c.attrInts("paddings")
	}
	axes := make([]int, len(x.shape))
	for i := range axes {
		axes[i] = i
	}
	if c.opset >= 11 {
		pads = c.ints(1)
		if c.has(2) {
			fill = c.number(2)
		}
		if c.has(3) {
			axes = c.axes(c.ints(3), len(x.shape))
		}
	}
	if len(pads) != 2*len(axes) {
		c.fail("expected %d pads, got %v", 2*len(axes), pads)
	}
	mode := c.attrString("mode", "constant")
	for i, axis := range axes {
		before, after := pads[i], pads[len(axes)+i]
		if before == 0 && after == 0 {
			continue
		}
		if max(before, after, -before, -after) > maxHost {
			c.refuse("", "padding of %d and %d positions is too large", before, after)
		}
		x = c.takeAxis(x, axis, c.padIndex(mode, x.shape[axis], before, after), fill)
	}
	return []*Value{x}
}

// padIndex returns the positions of a padded axis. A negative padding crops, and what the other
// side repeats is what that leaves, as in ONNX Runtime; ONNX does not say.
func (c *call) padIndex(mode string, n, before, after int) []int {
	idx := c.positions(max(n+before+after, 0))
	first := min(max(-before, 0), n)
	n = max(n-first+min(after, 0), 0)
	before = max(before, 0)
	for i := range idx {
		k := i - before
		inside := k >= 0 && k < n
		switch {
		case inside:
		case mode == "constant":
			k = outside
		case n == 0:
			c.fail("an empty axis cannot be padded by mode %q", mode)
		case mode == "edge":
			k = min(max(k, 0), n-1)
		case mode == "wrap":
			k = ((k % n) + n) % n
		case mode == "reflect" && n == 1:
			k = 0
		case mode == "reflect":
			k = ((k % (2*n - 2)) + 2*n - 2) % (2*n - 2)
			k = min(k, 2*n-2-k)
		default:
			c.refuse("use constant, reflect, edge or wrap", "mode %q is not known", mode)
		}
		if idx[i] = k; k != outside {
			idx[i] += first
		}
	}
	return idx
}
