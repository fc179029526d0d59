package models

import (
	"afterimage/nn"
)

// A unit says what a residual block is to be.
type unit struct {
	in, out int // channels
	stride  int
	down    string   // the shortcut's name
	short   shortcut // nil: the identity; a preactBlock makes its own
	init    nn.Initializer
}

// reshapes reports whether the result has another shape than the input.
func (u unit) reshapes() bool { return u.stride != 1 || u.in != u.out }

// newBlock is newBasic, newBottleneck or what newPreact returns.
type newBlock func(u unit) block

// newResNet6n2 returns He's CIFAR network: 3×3 stem of 16 channels, three stages of n basic blocks
// with 16, 32, 64 channels, shortcuts of option A.
//
// Source: He et al. 2016, section 4.2; names and initialisation (Kaiming normal, fan-in, also for
// the head) are akamaster/pytorch_resnet_cifar10's.
func newResNet6n2(n int) builder {
	return func(o Options) network {
		init := nn.KaimingNormal{}
		r := &resnet{names: cifarNames, conv1: conv(o.Channels, 16, 3, 1, init),
			bn1: nn.NewBatchNorm2D(16)}
		in := 16
		for s, out := range []int{16, 32, 64} {
			var blocks []block
			for i := range n {
				u := unit{in: in, out: out, stride: 1, down: r.names.down, init: init}
				if i == 0 && s > 0 {
					u.stride, u.short = 2, &subsample{in, out, 2}
				}
				blocks = append(blocks, newBasic(u))
				in = out
			}
			r.stage = append(r.stage, blocks)
		}
		r.head = nn.NewLinear(nn.LinearConfig{In: 64, Out: o.Classes, Init: init})
		return r
	}
}

// stages describes four stages of 64, 128, 256, 512 inner channels.
type stages struct {
	depth [4]int
	block newBlock
	wide  int // output channels of a block are wide times the inner ones
}

func basic(a, b, c, d int) stages { return stages{[4]int{a, b, c, d}, newBasic, 1} }

func bottlenecks(a, b, c, d int) stages {
	return stages{[4]int{a, b, c, d}, newBottleneck, expansion}
}

// build appends the stages to r and declares the head.
func (s stages) build(r *resnet, classes int, init, head nn.Initializer) *resnet {
	in := 64
	for i, n := range s.depth {
		out := s.wide * 64 << i
		var blocks []block
		for j := range n {
			u := unit{in: in, out: out, stride: 1, down: r.names.down, init: init}
			if j == 0 && i > 0 {
				u.stride = 2
			}
			if u.reshapes() {
				u.short = &projection{conv(in, out, 1, u.stride, init), nn.NewBatchNorm2D(out)}
			}
			blocks = append(blocks, s.block(u))
			in = out
		}
		r.stage = append(r.stage, blocks)
	}
	r.head = nn.NewLinear(nn.LinearConfig{In: in, Out: classes, Init: head})
	return r
}

// imagenet returns torchvision's network: 7×7/2 stem, 3×3/2 maximum, Kaiming normal (fan-out).
func imagenet(s stages) builder {
	return func(o Options) network {
		init := nn.KaimingNormal{FanOut: true}
		stem := nn.NewConv2D(nn.ConvConfig{In: o.Channels, Out: 64, Kernel: 7, Stride: 2, Pad: 3,
			NoBias: true, Init: init})
		r := &resnet{names: torchvisionNames, conv1: stem, bn1: nn.NewBatchNorm2D(64), pool: true}
		return s.build(r, o.Classes, init, nil)
	}
}

// cifar returns the same stages behind a 3×3 stem without pooling, names and PyTorch's default
// initialisation as in kuangliu/pytorch-cifar.
func cifar(s stages) builder {
	return func(o Options) network {
		r := &resnet{names: cifarNames, conv1: conv(o.Channels, 64, 3, 1, nil),
			bn1: nn.NewBatchNorm2D(64)}
		return s.build(r, o.Classes, nil, nil)
	}
}

// preact18 returns the pre-activation ResNet-18; see preactBlock for the two published forms.
func preact18(fastAdversarial bool) builder {
	return func(o Options) network {
		r := &resnet{names: cifarNames, conv1: conv(o.Channels, 64, 3, 1, nil)}
		s := stages{[4]int{2, 2, 2, 2}, newPreact(fastAdversarial), 1}
		s.build(r, o.Classes, nil, nil)
		if fastAdversarial {
			r.norm = nn.NewBatchNorm2D(512)
		}
		return r
	}
}
