package main

import (
	"strings"

	"github.com/mmcloughlin/avo/operand"
)

// rowsInPlace emits what ends a convolution in place, in rows that lie apart, which the loop of
// rowLoop does not know.
func (g *gen) rowsInPlace() {
	clamp := func(x V, s []V) V { return g.min(s[1], g.max(s[0], x)) }
	g.rowInPlace("clampRows", "y = min(max(y, lo), hi)", []string{"lo", "hi"}, false, clamp)
	g.rowInPlace("addClampRows", "y = min(max(y + res, lo), hi)", []string{"lo", "hi"}, true, clamp)
	g.rowInPlace("hardSwishRows", "y = y·min(max(a·y + b, 0), 1)", []string{"a", "b"}, false,
		func(x V, s []V) V {
			gate := g.max(g.zero(), g.fma(x, s[0], s[1]))
			return g.mul(x, g.min(g.reg(g.c(1)), gate))
		})
}

// rowInPlace emits f of y, or of y + res, and of the scalars.
func (g *gen) rowInPlace(name, doc string, scalars []string, add bool, f func(x V, s []V) V) {
	name += g.suffix()
	g.function(name)
	g.Doc(name + " computes " + doc + " in rows that lie step bytes apart.")
	operands := "y"
	if add {
		operands = "y, res"
	}
	g.SignatureExpr("func(" + operands + " *float32, " + strings.Join(scalars, ", ") +
		" float32, rows, cols, step int)")
	y, res, i := g.pointer("y"), g.GP64(), g.GP64()
	if add {
		res = g.pointer("res")
	}
	var s []V
	for _, name := range scalars {
		s = append(s, g.scalar(name))
	}
	rows, cols, step := g.pointer("rows"), g.pointer("cols"), g.pointer("step")
	full, rest := g.split(cols)
	end := g.newTail(rest)
	one := func(k M) {
		at := operand.Mem{Base: y, Index: i, Scale: elemSize}
		x := g.loadMasked(at, k)
		if add {
			x = g.add(x, g.loadMasked(operand.Mem{Base: res, Index: i, Scale: elemSize}, k))
		}
		g.storeMasked(f(x, s), at, k)
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
