package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradAVX2 adds winograd's functions, with AVX2 at the end of their names, for eight channels
// at once: instead of a mask they take the number of lanes, 1 to 8, and tmp holds vectors of 8
// floats. Constants stay in memory; what is not a whole vector has a body of its own.
func winogradAVX2(c *build.Context) {
	masks := laneMasks(c)
	consts := map[float32]operand.Op{}
	for _, l := range lines {
		for _, k := range l.consts {
			if consts[k] == nil {
				consts[k] = floatVector(c, k)
			}
		}
	}
	for _, l := range lines {
		for _, f := range l.forms(true) {
			winogradMapAVX2(c, l.in(f), masks, consts, f)
		}
	}
}

// floatVector adds a read-only vector of eight times x.
func floatVector(c *build.Context, x float32) operand.Mem {
	bits := math.Float32bits(x)
	m := c.StaticGlobal(fmt.Sprintf("c%08x", bits))
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for range 8 {
		c.AppendDatum(operand.U32(bits))
	}
	return m
}

// A winogradBody is the code of a map for whole vectors or for tails.
type winogradBody struct {
	winogradCode
	line
	form
	tail                bool
	dst, rowDst, colDst reg.GPPhysical
	src, rowSrc, colSrc reg.GPPhysical
	tmp, at             reg.GPPhysical
	delta               reg.GPPhysical // from dst to res
	x, y, spare         []reg.VecPhysical
	floor, mask         reg.VecPhysical
	labels              int
}

func winogradMapAVX2(c *build.Context, l line, masks operand.Mem, consts map[float32]operand.Op,
	f form) {
	c.Function(l.name + "AVX2")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr(l.signature("lanes", f))
	w := &winogradBody{winogradCode: winogradCode{c, consts}, line: l, form: f,
		dst: reg.RDI, rowDst: reg.RSI, colDst: reg.RDX, src: reg.RCX, rowSrc: reg.R8, colSrc: reg.R9,
		tmp: reg.R10, at: reg.RAX, delta: reg.R11,
		x: ymm[:l.inN], y: ymm[l.inN : l.inN+l.outN], spare: ymm[l.inN+l.outN : 14],
		floor: ymm[14], mask: ymm[15]}
	for _, p := range []struct {
		name string
		to   reg.GPPhysical
	}{{"dst", w.dst}, {"rowDst", w.rowDst}, {"colDst", w.colDst}, {"src", w.src},
		{"rowSrc", w.rowSrc}, {"colSrc", w.colSrc}, {"tmp", w.tmp}} {
		c.Load(c.Param(p.name), p.to)
	}
	if f == act {
		w.actArguments()
	}
	lanes := reg.RAX
	c.Load(c.Param("lanes"), lanes)
	c.CMPQ(lanes, operand.Imm(8))
	c.JNE(operand.LabelRef("tail"))
	w.emitBody()
	c.Label("tail")
	loadLanes(c, masks, lanes, reg.RBX, w.mask)
	w.tail = true
	w.emitBody()
}

// actArguments loads res and floor.
func (w *winogradBody) actArguments() {
	c := w.c
	c.Load(c.Param("res"), w.delta)
	c.VBROADCASTSS(operand.NewParamAddr("floor", 72), w.floor)
	c.TESTQ(w.delta, w.delta)
	c.JEQ(operand.LabelRef("alone"))
	c.SUBQ(w.dst, w.delta)
	c.Label("alone")
}

// emitBody maps the columns and then the rows, and returns.
func (w *winogradBody) emitBody() {
	c := w.c
	for j := range w.inN {
		c.MOVQ(w.src, w.at)
		for i := range w.inN {
			w.load(mem(w.at, 0), w.x[i])
			if i < w.inN-1 {
				c.ADDQ(w.rowSrc, w.at)
			}
		}
		c.ADDQ(w.colSrc, w.src)
		w.emit(&w.winogradCode, w.x, w.y, w.spare)
		for i := range w.outN {
			c.VMOVUPS(w.y[i], mem(w.tmp, 32*(i*w.inN+j)))
		}
	}
	for i := range w.outN {
		for j := range w.inN {
			c.VMOVUPS(mem(w.tmp, 32*(i*w.inN+j)), w.x[j])
		}
		w.emit(&w.winogradCode, w.x, w.y, w.spare)
		c.MOVQ(w.dst, w.at)
		for j := range w.outN {
			w.store(w.y[j])
			if j < w.outN-1 {
				c.ADDQ(w.colDst, w.at)
			}
		}
		c.ADDQ(w.rowDst, w.dst)
	}
	c.VZEROUPPER()
	c.RET()
}

// load reads a vector of the source.
func (w *winogradBody) load(m operand.Mem, to reg.VecPhysical) {
	if w.tail {
		w.c.VMASKMOVPS(m, w.mask, to)
		return
	}
	w.c.VMOVUPS(m, to)
}

// store writes y at at. Where there is no res delta is 0, which it is nowhere else: res does not
// overlap dst.
func (w *winogradBody) store(y reg.VecPhysical) {
	c := w.c
	if w.form == act {
		w.labels++
		alone := fmt.Sprintf("alone%d", w.labels)
		c.TESTQ(w.delta, w.delta)
		c.JEQ(operand.LabelRef(alone))
		w.load(operand.Mem{Base: w.at, Index: w.delta, Scale: 1}, w.spare[0])
		c.VADDPS(w.spare[0], y, y)
		c.Label(alone)
		c.VMAXPS(y, w.floor, y) // of NaN and floor the first operand here, NaN
	}
	if w.tail {
		c.VMASKMOVPS(y, w.mask, mem(w.at, 0))
		return
	}
	c.VMOVUPS(y, mem(w.at, 0))
}
