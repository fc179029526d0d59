package main

import (
	"math"
	"slices"

	"github.com/mmcloughlin/avo/operand"
)

// loopless wraps a step that needs nothing prepared.
func loopless(f func(g *gen, x []V) V) func(g *gen, s []V) func(x []V) []V {
	return func(g *gen, _ []V) func(x []V) []V {
		return func(x []V) []V { return []V{f(g, x)} }
	}
}

// withScalars wraps a step that uses the scalars.
func withScalars(f func(g *gen, x, s []V) V) func(g *gen, s []V) func(x []V) []V {
	return func(g *gen, s []V) func(x []V) []V {
		return func(x []V) []V { return []V{f(g, x, s)} }
	}
}

// withZero wraps a step that uses a register of zeros.
func withZero(f func(g *gen, x []V, zero V) V) func(g *gen, s []V) func(x []V) []V {
	return func(g *gen, _ []V) func(x []V) []V {
		zero := g.zero()
		return func(x []V) []V { return []V{f(g, x, zero)} }
	}
}

func unary(name, doc string, f func(g *gen, x V) V) kernel {
	return deep(name, doc, 1, heldConstants, f)
}

// deep is unary for a function of many operations that wait for each other: AVX-512 works on some
// vectors at a time, and has registers left for some constants.
func deep(name, doc string, overlap, held int, f func(g *gen, x V) V) kernel {
	return kernel{name: name, doc: "dst = " + doc + ".", streams: []stream{out("dst"), in("x")},
		overlap: overlap,
		prepare: func(g *gen, _ []V) func(x []V) []V {
			g.hold(held, func(g *gen) { f(g, g.vec()) })
			return func(x []V) []V { return []V{f(g, x[0])} }
		}}
}

func scalarOp(name, doc string, f func(g *gen, x, s V) V) kernel {
	return kernel{name: name, doc: "dst = " + doc + ".", streams: []stream{out("dst"), in("x")},
		scalars: []string{"s"},
		prepare: withScalars(func(g *gen, x, s []V) V { return f(g, x[0], s[0]) })}
}

// pair makes the same-shape and the per-channel form of a binary operation.
func pair(name, doc string, f func(g *gen, x, y V) V) []kernel {
	step := loopless(func(g *gen, x []V) V { return f(g, x[0], x[1]) })
	return []kernel{
		{name: name, doc: "dst = " + doc + ".",
			streams: []stream{out("dst"), in("x"), in("y")}, prepare: step},
		{name: name + "Row", doc: "dst = " + doc + ", y a row.",
			streams: []stream{out("dst"), in("x"), vector("y")}, prepare: step},
	}
}

// maxNaN and minNaN make NaN win from either side.
func maxNaN(g *gen, x, y V) V { return g.blend(g.cmp(unordQ, x, x), x, g.max(x, y)) }
func minNaN(g *gen, x, y V) V { return g.blend(g.cmp(unordQ, x, x), x, g.min(x, y)) }

// indicator is 1 where the comparison holds and 0 elsewhere.
func indicator(pred uint8) func(g *gen, x, y V) V {
	return func(g *gen, x, y V) V { return g.pick(g.cmp(pred, x, y), g.reg(g.c(1))) }
}

// elementwise lists the kernels that are one row loop.
func elementwise() []kernel {
	var all []kernel
	all = append(all, unaries()...)
	all = append(all, scalars()...)
	all = append(all, binaries()...)
	all = append(all, channels()...)
	all = append(all, optimizers()...)
	return append(all, resampling()...)
}

func unaries() []kernel {
	bits := func(mask uint32, f func(g *gen, x, y operand.Op) V) func(g *gen, x V) V {
		return func(g *gen, x V) V { return f(g, x, g.bits(mask)) }
	}
	sign := func(g *gen, x []V, zero V) V {
		d := g.pick(g.cmp(gtOQ, x[0], zero), g.reg(g.c(1)))
		return g.blend(g.cmp(ltOQ, x[0], zero), g.reg(g.c(-1)), d)
	}
	step := func(g *gen, x []V, zero V) V {
		return g.pick(g.cmp(gtOQ, x[0], zero), g.reg(g.c(1)))
	}
	relu := func(g *gen, x []V, zero V) V { return g.max(zero, x[0]) }
	dx := []stream{out("dst"), in("x")}
	return []kernel{
		unary("neg", "-x", bits(signBit, (*gen).xor)),
		unary("abs", "|x|", bits(^uint32(signBit), (*gen).and)),
		unary("sqrt", "√x", (*gen).sqrt),
		unary("rsqrt", "1/√x", func(g *gen, x V) V { return g.div(g.c(1), g.sqrt(x)) }),
		unary("square", "x²", func(g *gen, x V) V { return g.mul(x, x) }),
		unary("recip", "1/x", func(g *gen, x V) V { return g.div(g.c(1), x) }),
		deep("exp", "e^x", 8, heldConstants, (*gen).exp),
		deep("log", "ln x", 6, 8, (*gen).log),
		{name: "tanh", doc: "dst = tanh x.", streams: dx, overlap: 4, prepare: prepareTanh},
		deep("erf", "the error function of x", 6, 4, (*gen).erf),
		deep("sigmoid", "1/(1+e^-x)", 8, heldConstants, (*gen).sigmoid),
		deep("silu", "x/(1+e^-x)", 8, heldConstants, func(g *gen, x V) V {
			return g.mul(g.sigmoid(x), g.anew(x))
		}),
		deep("gelu", "x·(erf(x/√2) + 1)/2", 6, 2, func(g *gen, x V) V {
			e := g.erf(g.fma(x, g.reg(g.c(1/math.Sqrt2)), g.c(0)))
			return g.mul(g.fma(e, g.reg(g.c(0.5)), g.c(0.5)), g.anew(x))
		}),
		deep("softplus", "max(x,0) + ln(1+e^-|x|)", 6, 2, (*gen).softplus),
		{name: "relu", doc: "dst = max(x, 0).", streams: dx, prepare: withZero(relu)},
		{name: "step", doc: "dst = x > 0 ? 1 : 0.", streams: dx, prepare: withZero(step)},
		{name: "sign", doc: "dst = sign(x).", streams: dx, prepare: withZero(sign)},
	}
}

func scalars() []kernel {
	return []kernel{
		{name: "fill", doc: "dst = s.", streams: []stream{out("dst")}, scalars: []string{"s"},
			prepare: withScalars(func(_ *gen, _, s []V) V { return s[0] })},
		{name: "leakyReLU", doc: "dst = x < 0 ? alpha·x : x.",
			streams: []stream{out("dst"), in("x")}, scalars: []string{"alpha"},
			prepare: func(g *gen, s []V) func(x []V) []V {
				zero := g.zero()
				return func(x []V) []V {
					return []V{g.mulWhere(g.cmp(ltOQ, x[0], zero), x[0], s[0])}
				}
			}},
		{name: "clamp", doc: "dst = min(max(x, lo), hi).",
			streams: []stream{out("dst"), in("x")}, scalars: []string{"lo", "hi"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				return g.min(s[1], g.max(s[0], x[0]))
			})},
		{name: "affine", doc: "dst = a·x + b.",
			streams: []stream{out("dst"), in("x")}, scalars: []string{"a", "b"},
			prepare: withScalars(func(g *gen, x, s []V) V { return g.fma(x[0], s[0], s[1]) })},
		{name: "hardSwish", doc: "dst = x·min(max(a·x + b, 0), 1).",
			streams: []stream{out("dst"), in("x")}, scalars: []string{"a", "b"},
			prepare: func(g *gen, s []V) func(x []V) []V {
				zero, one := g.zero(), g.reg(g.c(1))
				return func(x []V) []V {
					gate := g.min(one, g.max(zero, g.fma(x[0], s[0], s[1])))
					return []V{g.mul(x[0], gate)}
				}
			}},
		scalarOp("addScalar", "x + s", func(g *gen, x, s V) V { return g.add(x, s) }),
		scalarOp("mulScalar", "x · s", func(g *gen, x, s V) V { return g.mul(x, s) }),
		scalarOp("rsubScalar", "s - x", func(g *gen, x, s V) V { return g.sub(s, x) }),
		scalarOp("divScalar", "x / s", func(g *gen, x, s V) V { return g.div(x, s) }),
		scalarOp("rdivScalar", "s / x", func(g *gen, x, s V) V { return g.div(s, x) }),
		{name: "inRange", doc: "dst = lo < x < hi ? 1 : 0.",
			streams: []stream{out("dst"), in("x")}, scalars: []string{"lo", "hi"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				k := g.cmp(gtOQ, x[0], s[0])
				k = g.both(k, g.cmp(ltOQ, x[0], s[1]))
				return g.pick(k, g.reg(g.c(1)))
			})},
		scalarOp("greaterScalar", "x > s ? 1 : 0", indicator(gtOQ)),
		scalarOp("equalScalar", "x = s ? 1 : 0", indicator(eqOQ)),
		scalarOp("maxScalar", "max(x, s)", maxNaN),
		scalarOp("minScalar", "min(x, s)", minNaN),
	}
}

func binaries() []kernel {
	dxy := []stream{out("dst"), in("x"), in("y")}
	var all []kernel
	all = append(all, pair("add", "x + y", func(g *gen, x, y V) V { return g.add(x, y) })...)
	all = append(all, pair("sub", "x - y", func(g *gen, x, y V) V { return g.sub(x, y) })...)
	all = append(all, pair("mul", "x · y", func(g *gen, x, y V) V { return g.mul(x, y) })...)
	all = append(all, pair("div", "x / y", func(g *gen, x, y V) V { return g.div(x, y) })...)
	both := func(f func(g *gen, x, y V) V) func(g *gen, s []V) func(x []V) []V {
		return loopless(func(g *gen, x []V) V { return f(g, x[0], x[1]) })
	}
	return append(all,
		kernel{name: "max", doc: "dst = max(x, y).", streams: dxy, prepare: both(maxNaN)},
		kernel{name: "min", doc: "dst = min(x, y).", streams: dxy, prepare: both(minNaN)},
		kernel{name: "greater", doc: "dst = x > y ? 1 : 0.", streams: dxy,
			prepare: both(indicator(gtOQ))},
		kernel{name: "equal", doc: "dst = x = y ? 1 : 0.", streams: dxy,
			prepare: both(indicator(eqOQ))},
		kernel{name: "selectOf", doc: "dst = cond ≠ 0 ? x : y.",
			streams: []stream{out("dst"), in("cond"), in("x"), in("y")},
			prepare: withZero(func(g *gen, x []V, zero V) V {
				return g.blend(g.cmp(eqOQ, x[0], zero), x[2], x[1])
			})},
		kernel{name: "axpy", doc: "y += a·x.",
			streams: []stream{inout("y"), in("x")}, scalars: []string{"a"},
			prepare: withScalars(func(g *gen, x, s []V) V { return g.fmaTo(x[0], x[1], s[0]) })},
		kernel{name: "axpby", doc: "dst = a·x + b·y.", streams: dxy, scalars: []string{"a", "b"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				return g.fmaTo(g.mul(x[1], s[1]), x[0], s[0])
			})},
		kernel{name: "crossEntropyGrad", doc: "dst = (e^logp·total - t)·dy.",
			streams: []stream{out("dst"), in("logp"), in("t")}, scalars: []string{"total", "dy"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				return g.mul(g.sub(g.mul(g.exp(x[0]), s[0]), x[1]), s[1])
			})},
		kernel{name: "reluGrad", doc: "dx = y > 0 ? dy : 0.",
			streams: []stream{out("dx"), in("dy"), in("y")},
			prepare: withZero(func(g *gen, x []V, zero V) V {
				return g.pick(g.cmp(gtOQ, x[1], zero), x[0])
			})},
		kernel{name: "addReLUGrad", doc: "dx = y > 0 ? a + b : 0.",
			streams: []stream{out("dx"), in("a"), in("b"), in("y")},
			prepare: withZero(func(g *gen, x []V, zero V) V {
				return g.pick(g.cmp(gtOQ, x[2], zero), g.add(x[0], x[1]))
			})})
}

// channels lists the fused per-channel kernels of batch norm.
func channels() []kernel {
	ss := []stream{out("dst"), in("x"), vector("scale"), vector("shift")}
	ssa := []stream{out("dst"), in("x"), in("res"), vector("scale"), vector("shift")}
	mabd := []stream{vector("mean"), vector("a"), vector("b"), vector("d")}
	apply := func(g *gen, x []V) V { return g.fma(x[0], x[1], x[2]) }
	applyAdd := func(g *gen, x []V) V { return g.add(g.fma(x[0], x[2], x[3]), x[1]) }
	return []kernel{
		{name: "scaleShift", doc: "dst = x·scale + shift.", streams: ss, prepare: loopless(apply)},
		{name: "scaleShiftReLU", doc: "dst = relu(x·scale + shift).", streams: ss,
			prepare: withZero(func(g *gen, x []V, zero V) V { return g.max(zero, apply(g, x)) })},
		{name: "scaleShiftAdd", doc: "dst = x·scale + shift + res.", streams: ssa,
			prepare: loopless(applyAdd)},
		{name: "scaleShiftAddReLU", doc: "dst = relu(x·scale + shift + res).", streams: ssa,
			prepare: withZero(func(g *gen, x []V, zero V) V {
				return g.max(zero, applyAdd(g, x))
			})},
		{name: "bnBackward", doc: "dx = a·dy + (b·(x - mean) + d).",
			streams: append([]stream{out("dx"), in("dy"), in("x")}, mabd...),
			prepare: loopless(func(g *gen, x []V) V {
				return g.fma(x[0], x[3], g.fma(g.sub(x[1], x[2]), x[4], x[5]))
			})},
		{name: "bnBackwardReLU", doc: "dx = a·(x·a + shift > 0 ? dy : 0) + (b·(x - mean) + d).",
			streams: slices.Concat([]stream{out("dx"), in("dy"), in("x")}, mabd,
				[]stream{vector("shift")}),
			prepare: withZero(func(g *gen, x []V, zero V) V {
				t := g.fma(g.sub(x[1], x[2]), x[4], x[5])
				return g.fmaWhere(g.cmp(gtOQ, g.fma(x[1], x[3], x[6]), zero), t, x[0], x[3])
			})},
	}
}

func optimizers() []kernel {
	sgd := func(nesterov bool) func(g *gen, s []V) func(x []V) []V {
		return func(g *gen, s []V) func(x []V) []V {
			lr, mu, wd := s[0], s[1], s[2]
			return func(x []V) []V {
				d := g.fmaTo(x[2], x[0], wd)
				buf := g.fmaTo(d, x[1], mu)
				step := buf
				if nesterov {
					step = g.fmaTo(d, buf, mu)
				}
				return []V{g.fnmaTo(x[0], step, lr), buf}
			}
		}
	}
	pbg := []stream{inout("p"), inout("buf"), in("grad")}
	lrs := []string{"lr", "mu", "wd"}
	return []kernel{
		{name: "sgd", doc: "a step of SGD with momentum.", streams: pbg, scalars: lrs,
			prepare: sgd(false)},
		{name: "sgdNesterov", doc: "a step of SGD with Nesterov momentum.", streams: pbg,
			scalars: lrs, prepare: sgd(true)},
		{name: "adam", doc: "a step of Adam.",
			streams: []stream{inout("p"), inout("m"), inout("v"), in("grad")},
			scalars: []string{"shrink", "wd", "b1", "a1", "b2", "a2", "step", "rootScale", "eps"},
			prepare: func(g *gen, s []V) func(x []V) []V {
				return func(x []V) []V {
					p := g.mul(x[0], s[0])
					d := g.fmaTo(x[3], p, s[1])
					m := g.fmaTo(g.mul(d, s[3]), x[1], s[2])
					v := g.fmaTo(g.mul(g.mul(d, d), s[5]), x[2], s[4])
					root := g.fma(g.sqrt(v), s[7], s[8])
					return []V{g.sub(p, g.div(g.mul(m, s[6]), root)), m, v}
				}
			}},
		{name: "ema", doc: "avg += rest·(p - avg).",
			streams: []stream{inout("avg"), in("p")}, scalars: []string{"rest"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				return g.fmaTo(x[0], g.sub(x[1], x[0]), s[0])
			})},
	}
}

// resampling lists kernels whose rows are pixels: a stream of step 2 skips every other one.
func resampling() []kernel {
	every2 := func(s stream) stream { s.step = 2; return s }
	return []kernel{
		{name: "pool2x2", doc: "dst = ((t0 + t1) + (b0 + b1)) · scale.",
			streams: []stream{out("dst"), every2(in("t0")), every2(in("t1")), every2(in("b0")),
				every2(in("b1"))}, scalars: []string{"scale"},
			prepare: withScalars(func(g *gen, x, s []V) V {
				return g.mul(g.add(g.add(x[0], x[1]), g.add(x[2], x[3])), s[0])
			})},
		{name: "upsample2x2", doc: "t0 = t1 = b0 = b1 = x · scale.",
			streams: []stream{in("x"), every2(out("t0")), every2(out("t1")), every2(out("b0")),
				every2(out("b1"))}, scalars: []string{"scale"},
			prepare: func(g *gen, s []V) func(x []V) []V {
				return func(x []V) []V {
					y := g.mul(x[0], s[0])
					return []V{y, y, y, y}
				}
			}},
	}
}
