package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

// clampRows emits the end of a convolution in place, min(max(y + res, lo), hi), and without res: of
// rows that lie apart, which the loop of rowLoop does not know.
func (g *gen) clampRows() {
	g.clampRow("clampRows", false)
	g.clampRow("addClampRows", true)
}

func (g *gen) clampRow(name string, add bool) {
	name += g.suffix()
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	what, operands := "y", "y"
	if add {
		what, operands = "y + res", "y, res"
	}
	g.Doc(name + " computes y = min(max(" + what + ", lo), hi) in rows that lie step bytes apart.")
	g.SignatureExpr("func(" + operands + " *float32, lo, hi float32, rows, cols, step int)")
	y, res, i := g.pointer("y"), g.GP64(), g.GP64()
	if add {
		res = g.pointer("res")
	}
	lo, hi := g.scalar("lo"), g.scalar("hi")
	rows, cols, step := g.pointer("rows"), g.pointer("cols"), g.pointer("step")
	full, rest := g.split(cols)
	end := g.newTail(rest)
	one := func(k M) {
		at := operand.Mem{Base: y, Index: i, Scale: elemSize}
		x := g.loadMasked(at, k)
		if add {
			x = g.add(x, g.loadMasked(operand.Mem{Base: res, Index: i, Scale: elemSize}, k))
		}
		g.storeMasked(g.min(hi, g.max(lo, x)), at, k)
	}
	g.Label("row")
	g.XORQ(i, i)
	g.Label("vector")
	g.CMPQ(i, full)
	g.JGE(operand.LabelRef("tail"))
	one(nil)
	g.ADDQ(operand.I8(g.lanes()), i)
	g.JMP(operand.LabelRef("vector"))
	g.Label("tail")
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("next"))
	one(end.mask())
	g.Label("next")
	g.ADDQ(step, y)
	if add {
		g.ADDQ(step, res)
	}
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	g.VZEROUPPER()
	g.RET()
}
