package onnx

import (
	"slices"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// shuffles makes one node of a channel shuffle (Zhang et al. 2018, "ShuffleNet"), which deals the
// channels of g groups out in turn. Exporters write it as a Reshape from [N C H W] to
// [N g C/g H W], a Transpose of g and C/g and a Reshape back, where images with channels last would
// have to be permuted before and behind.
func (b *builder) shuffles() {
	readers, made := b.readers(), map[string]*node{}
	for i, n := range b.nodes {
		if n.domain != "" || len(n.out) != 1 {
			continue
		}
		made[n.out[0]] = n
		if n.op != "Reshape" || len(n.in) != 2 {
			continue
		}
		swap := made[n.in[0]]
		if swap == nil || swap.op != "Transpose" || readers[n.in[0]] != 1 ||
			!slices.Equal(swap.attrInts("perm"), []int{0, 2, 1, 3, 4}) {
			continue
		}
		cut := made[swap.in[0]]
		if cut == nil || cut.op != "Reshape" || readers[swap.in[0]] != 1 {
			continue
		}
		to, back := b.target(cut), b.target(n)
		if b.ranks[cut.in[0]] != 4 || len(to) != 5 || slices.Min(to[1:]) < 1 {
			continue
		}
		_, fits := tensor.Shape(to[1:]).CheckedSize()
		if !fits || !slices.Equal(back, []int{-1, to[1] * to[2], to[3], to[4]}) {
			continue
		}
		s := &node{name: n.name, op: "ChannelShuffle", in: cut.in[:1], out: n.out, opset: n.opset,
			impl: channelShuffle, attrs: map[string]attrProto{}}
		s.attrs = s.withInts("shape", to...)
		b.nodes[i], b.ranks[n.out[0]] = s, 4
	}
}

// target returns the constant shape that a Reshape asks for with the number of images open; nil if
// it is another one.
func (b *builder) target(n *node) []int {
	if len(n.in) != 2 {
		return nil
	}
	c, ok := b.consts[n.in[1]]
	if !ok || c.shape.Size() > 5 {
		return nil
	}
	var shape []int
	for _, d := range c.decode().I {
		shape = append(shape, int(d))
	}
	if len(shape) == 0 || shape[0] != -1 {
		return nil
	}
	return shape
}

// channelShuffle is the three nodes that it was made of, on any x with elements enough.
func channelShuffle(c *call) []*Value {
	x, s := c.arg(0), c.attrInts("shape")
	image := s[1] * s[2] * s[3] * s[4]
	if x.shape.Size()%image != 0 {
		c.fail("%v cannot become %v", x.shape, s)
	}
	n := x.shape.Size() / image
	y := c.permute(c.reshape(x, n, s[1], s[2], s[3], s[4]), 0, 2, 1, 3, 4)
	return []*Value{c.reshape(y, n, s[1]*s[2], s[3], s[4])}
}

// channelShuffleNHWC is channelShuffle of [N H W C].
func channelShuffleNHWC(c *call) []*Value {
	x, s := c.float(0), c.attrInts("shape")
	n, groups, each, h, w := x.Dim(0), s[1], s[2], s[3], s[4]
	if !x.Shape()[1:].Equal([]int{h, w, groups * each}) { // the Reshape is more than a cut
		plain := *c
		plain.args = []*Value{like(c.arg(0), toFirst(x))}
		return c.out(toLast(channelShuffle(&plain)[0].dev))
	}
	y := autodiff.Permute(autodiff.Reshape(x, n, h, w, groups, each), 0, 1, 2, 4, 3)
	return c.out(autodiff.Reshape(y, n, h, w, groups*each))
}
