package models

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/nn"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// First and second derivatives of every residual block, in training and in evaluation mode, kept
// and recomputed, with respect to its input and all its parameters.
func TestBlockDerivatives(t *testing.T) {
	project := func(in, out, stride int) shortcut {
		return &projection{conv(in, out, 1, stride, nil), nn.NewBatchNorm2D(out)}
	}
	for name, b := range map[string]block{
		"basic, identity":   newBasic(unit{in: 4, out: 4, stride: 1}),
		"basic, option A":   newBasic(unit{in: 4, out: 8, stride: 2, short: &subsample{4, 8, 2}}),
		"basic, projection": newBasic(unit{in: 4, out: 6, stride: 2, short: project(4, 6, 2)}),
		"bottleneck":        newBottleneck(unit{in: 4, out: 8, stride: 2, short: project(4, 8, 2)}),
		"preact, activated": newPreact(false)(unit{in: 4, out: 6, stride: 2}),
		"preact, raw":       newPreact(true)(unit{in: 4, out: 6, stride: 2}),
		"preact, identity":  newPreact(true)(unit{in: 4, out: 4, stride: 1}),
		"plain, with 1×1": &plainBlock{biased(4, 6, 3, 2, 1), biased(6, 6, 3, 1, 1),
			biased(4, 6, 1, 2, 0)},
		"plain, identity": &plainBlock{biased(4, 4, 3, 1, 1), biased(4, 4, 3, 1, 1), nil},
	} {
		for mode := range 4 {
			t.Run(name, func(t *testing.T) { checkBlock(t, b, mode&1 == 0, mode&2 == 2) })
		}
	}
}

func checkBlock(t *testing.T, b block, train, recompute bool) {
	s := tensor.NewScope(ref.New())
	defer s.Close()
	nn.InitDType(s, b, 5, tensor.F64)
	params := nn.Trainable(b)
	point := []gradcheck.Input{gradcheck.Normal(1, 2, 4, 4, 4)}
	for i, p := range params {
		point = append(point, gradcheck.Normal(uint32(10+i), p.Param.Shape...))
	}
	gradcheck.Check(t, func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		c := nn.NewCtx(g, nn.Mode(train))
		c.Recompute = recompute
		for i, p := range params {
			c.Bind(p.Param, in[1+i])
		}
		return b.Forward(c, in[0])
	}, point)
	_, oh, ow := b.macs(4, 4)
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	y := b.Forward(nn.NewCtx(g, nn.Eval), g.Const(s.Full(tensor.F64, 0.5, 1, 4, 4, 4)))
	if y.Dim(1) != oh || y.Dim(2) != ow {
		t.Errorf("macs says the output is %d×%d, Forward gives %v", oh, ow, y.Shape())
	}
}
