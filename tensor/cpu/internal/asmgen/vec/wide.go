package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The column sums of wide matrices. With more channels than a panel holds, taking a panel from
// each of 16 rows jumps through memory, and the hardware's prefetchers lose the thread: from
// memory that was 2 to 3 times slower than reading each row from end to end. So the 16 partial
// sums of a column wait in a scratch array, which stays in the first-level cache. The additions
// are those of columnGroups in the same order: the results are the same bits.

// A rowKind is the place of a row in its group.
type rowKind int

const (
	firstRow  rowKind = iota // sums begin at zero
	middleRow                // sums are in the scratch array
	lastRow                  // and end in the float64 accumulators
)

// wideGroups emits a function for groups of groupRows rows of whole vectors. The scratch array
// holds cols numbers for each accumulator.
func (g *gen) wideGroups(k columnSum) {
	name := k.name + "Wide"
	g.Function(name + suffix)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(fmt.Sprintf("%s%s computes %s Groups of %d rows of whole vectors.", name, suffix, k.doc,
		groupRows))
	g.SignatureExpr(k.signature("scratch *float32"))
	l := g.newColumnState(k, groupRows)
	cols, row := g.pointer("cols"), g.GP64()
	scratch := []reg.GPVirtual{g.pointer("scratch")}
	for range k.accs[1:] {
		next := g.GP64()
		g.LEAQ(operand.Mem{Base: scratch[0], Index: cols, Scale: 4}, next)
		scratch = append(scratch, next)
	}
	g.Label("group")
	l.rowPass("first", firstRow, scratch, cols)
	g.MOVQ(operand.I32(groupRows-2), row)
	g.Label("row")
	l.rowPass("middle", middleRow, scratch, cols)
	g.DECQ(row)
	g.JNZ(operand.LabelRef("row"))
	l.rowPass("last", lastRow, scratch, cols)
	g.DECQ(g.argument("groups"))
	g.JNZ(operand.LabelRef("group"))
	g.VZEROUPPER()
	g.RET()
}

// rowPass emits the loop over one row.
func (l *columnState) rowPass(label string, p rowKind, scratch []reg.GPVirtual, cols reg.GPVirtual) {
	l.XORQ(l.i, l.i)
	l.Label(label)
	var v, s, x []V
	for _, q := range l.vec {
		v = append(v, l.load(operand.Mem{Base: q, Index: l.i, Scale: 4}, false))
	}
	for _, q := range scratch {
		if p == firstRow {
			s = append(s, l.zero())
		} else {
			s = append(s, l.load(operand.Mem{Base: q, Index: l.i, Scale: 4}, false))
		}
	}
	for _, q := range l.ptr {
		x = append(x, l.load(operand.Mem{Base: q}, false))
		l.ADDQ(operand.I8(64), q)
	}
	l.k.row(l.gen, s, x, v, l.one)
	if p == lastRow {
		l.flush(0, s, v, false)
	} else {
		for j, q := range scratch {
			l.VMOVUPS(s[j], operand.Mem{Base: q, Index: l.i, Scale: 4})
		}
	}
	l.ADDQ(operand.I8(16), l.i)
	l.CMPQ(l.i, cols)
	l.JLT(operand.LabelRef(label))
}
