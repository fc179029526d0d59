package main

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/cuda"
	"afterimage/tensor"
)

// attentionShapes are [B L M D E] of BigGAN-128's blocks with ch 96, the generator's and the
// discriminator's, and of a block at 16 pixels, where the scores are few.
func attentionShapes(tiny bool) [][5]int {
	if tiny {
		return [][5]int{{1, 16, 4, 2, 8}}
	}
	return [][5]int{{32, 4096, 1024, 24, 96}, {64, 4096, 1024, 12, 48}, {64, 256, 64, 32, 128}}
}

// attention times attention forward and backward, fused and composed of products and softmax: the
// rule of kernels.FusesAttention, which was made without a card, holds where fused is faster.
func attention(c *check) error {
	for _, o := range arithmetics() {
		if o.TF32 || o.Own && o.Precision != tensor.BF16 {
			continue // fused is not offered, or its rival is not the libraries'
		}
		b, err := c.open(o.Options)
		if err != nil {
			return err
		}
		for _, s := range attentionShapes(c.tiny) {
			if err := c.attend(b, o.name, s); err != nil {
				b.Close()
				return err
			}
		}
		b.Close()
	}
	return nil
}

// attend times one shape.
func (c *check) attend(b *cuda.Backend, engine string, s [5]int) error {
	v := map[string]any{"shape": fmt.Sprint(s)}
	products := float64(s[0]) * float64(s[1]) * float64(s[2]) * float64(s[3]+s[4])
	for _, way := range []struct {
		name string
		on   tensor.Backend
	}{{"fused", callByCall{b}}, {"composed", composed{b}}} {
		g := autodiff.NewGraph(way.on)
		leaf := func(name string, shape ...int) *autodiff.Value {
			return g.Leaf(drawn(g.Scope(), name, b.Activations(), shape...))
		}
		q, k, x := leaf("q", s[0], s[1], s[3]), leaf("k", s[0], s[2], s[3]), leaf("v", s[0], s[2], s[4])
		dy := leaf("dy", s[0], s[1], s[4])
		seconds, err := c.timed(b, func() {
			step := autodiff.NewGraph(way.on)
			defer step.Close()
			in := []*autodiff.Value{step.Leaf(q.Tensor()), step.Leaf(k.Tensor()), step.Leaf(x.Tensor())}
			y := autodiff.Attention(in[0], in[1], in[2], 1)
			autodiff.Grad(y, in, autodiff.WithCotangent(step.Const(dy.Tensor())))
		})
		g.Close()
		if err != nil {
			return err
		}
		const passes = 3 * 2 // forward once, backward twice; a multiplication and an addition each
		v[way.name+"_seconds"], v[way.name+"_tflops"] = seconds, passes*products/seconds/1e12
	}
	c.say(line{Stage: "attention", Name: engine, OK: true, Values: v})
	return nil
}

// composed hides that a backend has kernels for attention.
type composed struct{ otherAbilities }

type otherAbilities interface {
	tensor.LossFuser
	tensor.SpectralFuser
}
