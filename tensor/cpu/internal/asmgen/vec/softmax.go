package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmaxes emits softmax and log-softmax over the rows of a [rows, cols] matrix, in three
// passes over a row: its maximum, the sum of the exponentials, the result. The last, partial
// vector of a row stays in a register, so that a row of 10 never leaves registers.
func (g *gen) softmaxes() {
	g.softmax("softmax", "the softmax of each row.", false)
	g.softmax("logSoftmax", "the log-softmax of each row.", true)
}

// A softmaxState is a softmax loop while it is being emitted.
type softmaxState struct {
	*gen
	dst, x, i, full reg.GPVirtual
	mask            reg.OpmaskVirtual
}

func (g *gen) softmax(name, doc string, log bool) {
	g.Function(name + suffix)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + suffix + " computes " + doc)
	g.SignatureExpr("func(dst, x *float32, rows int, cols int)")
	l := &softmaxState{gen: g, dst: g.pointer("dst"), x: g.pointer("x"), i: g.GP64()}
	rows, cols := g.pointer("rows"), g.pointer("cols")
	var rest reg.GPVirtual
	l.full, rest = g.split(cols)
	l.mask = g.tailMask(rest)

	g.Label("row")
	last := g.reg(g.bits(0xff800000)) // lanes beyond the row are -Inf: their exponential is 0
	g.VMOVUPS(operand.Mem{Base: l.x, Index: l.full, Scale: 4}, l.mask, last)
	m := g.copy(last)
	l.each("max", func(at operand.Mem) { g.VMAXPS(m, l.load(at), m) })
	g.horizontal(m, func(x, m V) { g.VMAXPS(m, x, m) })
	last = g.sub(last, m)
	e := g.exp(last)
	s := g.zero()
	g.VADDPS(e, s, l.mask, s)
	l.each("sum", func(at operand.Mem) {
		t := g.exp(g.sub(l.load(at), m))
		g.VADDPS(t, s, s)
		if !log {
			g.VMOVUPS(t, operand.Mem{Base: l.dst, Index: l.i, Scale: 4})
		}
	})
	g.horizontal(s, func(x, s V) { g.VADDPS(x, s, s) })
	finish := func(t V) V { return g.mul(t, s) }
	if log {
		s, e = g.log(s), last
		finish = func(t V) V { return g.sub(t, s) }
	} else {
		s = g.div(g.c(1), s)
	}
	l.each("result", func(at operand.Mem) {
		d := operand.Mem{Base: l.dst, Index: l.i, Scale: 4}
		if log {
			g.VMOVUPS(finish(g.sub(l.load(at), m)), d)
		} else {
			g.VMOVUPS(finish(l.load(d)), d)
		}
	})
	g.VMOVUPS(finish(e), l.mask, operand.Mem{Base: l.dst, Index: l.full, Scale: 4})
	g.LEAQ(operand.Mem{Base: l.x, Index: cols, Scale: 4}, l.x)
	g.LEAQ(operand.Mem{Base: l.dst, Index: cols, Scale: 4}, l.dst)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	g.VZEROUPPER()
	g.RET()
}

func (l *softmaxState) load(at operand.Mem) V {
	d := l.ZMM()
	l.VMOVUPS(at, d)
	return d
}

// each emits a loop over the whole vectors of the row x.
func (l *softmaxState) each(label string, body func(at operand.Mem)) {
	l.XORQ(l.i, l.i)
	l.CMPQ(l.i, l.full)
	l.JGE(operand.LabelRef(label + "Done"))
	l.Label(label)
	body(operand.Mem{Base: l.x, Index: l.i, Scale: 4})
	l.ADDQ(operand.I8(16), l.i)
	l.CMPQ(l.i, l.full)
	l.JLT(operand.LabelRef(label))
	l.Label(label + "Done")
}
