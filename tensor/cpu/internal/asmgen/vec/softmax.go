package main

import (
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
}

func (g *gen) softmax(name, doc string, log bool) {
	g.function(name + g.suffix())
	g.Doc(name + g.suffix() + " computes " + doc)
	g.SignatureExpr("func(dst, x *float32, rows int, cols int)")
	l := &softmaxState{gen: g, dst: g.pointer("dst"), x: g.pointer("x"), i: g.GP64()}
	rows, cols := g.pointer("rows"), g.pointer("cols")
	var rest reg.GPVirtual
	l.full, rest = g.split(cols)
	end := g.newTail(rest)

	g.Label("row")
	last := l.rowEnd(end.mask())
	m := g.copy(last)
	l.each("max", func(at operand.Mem) { g.VMAXPS(m, l.load(at), m) })
	g.horizontal(m, func(x, m V) { g.VMAXPS(m, x, m) })
	last = g.sub(last, m)
	e := g.exp(last)
	s := g.pick(end.mask(), e)
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
	g.storeMasked(finish(e), operand.Mem{Base: l.dst, Index: l.full, Scale: 4}, end.mask())
	g.LEAQ(operand.Mem{Base: l.x, Index: cols, Scale: 4}, l.x)
	g.LEAQ(operand.Mem{Base: l.dst, Index: cols, Scale: 4}, l.dst)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	g.VZEROUPPER()
	g.RET()
}

// rowEnd reads the last, partial vector of a row. Lanes beyond the row are -Inf: their exponential
// is 0.
func (l *softmaxState) rowEnd(mask M) V {
	last := l.reg(l.bits(signBit | infBits))
	at := operand.Mem{Base: l.x, Index: l.full, Scale: 4}
	if l.avx2 {
		return l.blend(mask, l.loadMasked(at, mask), last)
	}
	l.VMOVUPS(at, mask, last)
	return last
}

func (l *softmaxState) load(at operand.Mem) V { return l.loadMasked(at, nil) }

// each emits a loop over the whole vectors of the row x.
func (l *softmaxState) each(label string, body func(at operand.Mem)) {
	l.XORQ(l.i, l.i)
	l.CMPQ(l.i, l.full)
	l.JGE(operand.LabelRef(label + "Done"))
	l.top(label)
	body(operand.Mem{Base: l.x, Index: l.i, Scale: 4})
	l.ADDQ(operand.I8(l.lanes()), l.i)
	l.CMPQ(l.i, l.full)
	l.JLT(operand.LabelRef(label))
	l.Label(label + "Done")
}
