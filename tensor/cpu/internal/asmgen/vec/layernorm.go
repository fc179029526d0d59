package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// layerNorm emits layer normalisation of the rows of a [rows, cols] matrix in three passes over a
// row: its mean, the mean square of what is left of it without that, the result. Both means are
// reduction's sums. The passes wait for each other, but rows do not.
func (g *gen) layerNorm() {
	g.function("layerNorm" + g.suffix())
	g.Doc("layerNorm"+g.suffix()+" computes dst = (x - mean)·rstd·gamma + beta of each row, its",
		"mean and rstd = 1/√(variance + eps); share is 1/cols.")
	g.SignatureExpr("func(dst, x, gamma, beta, mean, rstd *float32, share, eps float64, " +
		"rows int, cols int)")
	dst, x, gamma, beta := g.pointer("dst"), g.pointer("x"), g.pointer("gamma"), g.pointer("beta")
	means, rstds := g.pointer("mean"), g.pointer("rstd")
	rows, cols := g.pointer("rows"), g.pointer("cols")

	g.Label("row")
	sum := func(name string, add adder) reg.VecVirtual {
		r := &reduction{gen: g, ptr: []reg.GPVirtual{g.GP64()}, n: g.GP64(), add: add}
		g.MOVQ(x, r.ptr[0])
		g.MOVQ(cols, r.n)
		s := r.loop(name)
		g.VMULSD(g.argument("share"), s, s)
		return s
	}
	s := sum("mean", func(x []V, acc V, _ M) { g.VADDPS(x[0], acc, acc) })
	mean := g.single(s, means)
	s = sum("variance", func(x []V, acc V, mask M) {
		d := g.sub(x[0], mean)
		if mask != nil {
			d = g.pick(mask, d)
		}
		g.VFMADD231PS(d, d, acc)
	})
	one := g.XMM()
	g.VADDSD(g.argument("eps"), s, s)
	g.VSQRTSD(s, s, s)
	g.VMOVSD(g.ConstData("one64", operand.F64(1)), one)
	g.VDIVSD(s, one, s)
	rstd := g.single(s, rstds)
	g.normalised(dst, x, gamma, beta, cols, mean, rstd)
	g.LEAQ(operand.Mem{Base: x, Index: cols, Scale: 4}, x)
	g.LEAQ(operand.Mem{Base: dst, Index: cols, Scale: 4}, dst)
	g.ADDQ(operand.I8(4), means)
	g.ADDQ(operand.I8(4), rstds)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	g.VZEROUPPER()
	g.RET()
}

// single writes a float64 rounded to float32, and returns that in all lanes.
func (g *gen) single(s reg.VecVirtual, to reg.GPVirtual) V {
	g.VCVTSD2SS(s, s, s)
	g.VMOVSS(s, operand.Mem{Base: to})
	all := g.vec()
	g.VBROADCASTSS(s, all)
	return all
}

// normalised emits a row's result.
func (g *gen) normalised(dst, x, gamma, beta, cols reg.GPVirtual, mean, rstd V) {
	i := g.GP64()
	full, rest := g.split(cols)
	step := func(mask M) {
		load := func(p reg.GPVirtual) V {
			return g.loadMasked(operand.Mem{Base: p, Index: i, Scale: 4}, mask)
		}
		y := g.mul(g.sub(load(x), mean), rstd)
		g.storeMasked(g.fma(y, load(gamma), load(beta)), operand.Mem{Base: dst, Index: i, Scale: 4},
			mask)
	}
	g.XORQ(i, i)
	g.CMPQ(i, full)
	g.JGE(operand.LabelRef("resultTail"))
	g.top("result")
	step(nil)
	g.ADDQ(operand.I8(g.lanes()), i)
	g.CMPQ(i, full)
	g.JLT(operand.LabelRef("result"))
	g.Label("resultTail")
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("next"))
	step(g.newTail(rest).mask())
	g.Label("next")
}
