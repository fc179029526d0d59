package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The taps of one loop of tapGradients, at most: their sums stay in registers from the first pixel
// to the last, beside one vector of dy.
const (
	gradRows, gradCols = 3, 7
	gradSumsAVX2       = 13 // of 16 registers, beside a mask, dy and x
	cacheLine          = 64
)

// tapGradients emits the sums over pixels that are the weights' gradient of depthwise convolutions,
// for every number of rows and columns of taps for which there are registers.
func (g *gen) tapGradients() {
	for rows := 1; rows <= gradRows; rows++ {
		for cols := 1; cols <= gradCols; cols++ {
			if !g.avx2 || rows*cols <= gradSumsAVX2 {
				g.tapGradient(rows, cols)
			}
		}
	}
}

// A tapGrad is a loop of tapGradients while it is being emitted. Distances are in bytes; those that
// have no register stay with the arguments.
type tapGrad struct {
	*gen
	rows, cols int
	i          reg.GPVirtual   // channel, in bytes
	x          []reg.GPVirtual // of each row of taps
	dy         reg.GPVirtual
	col        []reg.GPVirtual // 1, 3 and 5 times from tap to tap, as many as it takes
	step       reg.GPVirtual   // in x from pixel to pixel
	dyStep     reg.GPVirtual
	nextX      reg.GPVirtual // what to ask for
	nextDY     reg.GPVirtual
	pixel      reg.GPVirtual // what is left of a row of pixels
	row        reg.GPVirtual
	mask       func() M // of the channels; nil where all of a vector are there
}

func (g *gen) tapGradient(rows, cols int) {
	name := fmt.Sprintf("tapGrad%dx%d%s", rows, cols, g.suffix())
	g.function(name)
	g.Doc(fmt.Sprintf("%s adds to the sums of %d rows of %d taps over a block of pixels.", name, rows,
		cols))
	g.SignatureExpr("func(sum, x, dy *float32, c, rows, cols, step, skip, dyStep, dySkip, tapRow, " +
		"tapCol, sumCol, sumSkip int, nextX, nextDY *float32, nextStep int)")
	t := &tapGrad{gen: g, rows: rows, cols: cols, i: g.GP64(), dy: g.GP64(), step: g.pointer("step"),
		dyStep: g.pointer("dyStep"), nextX: g.pointer("nextX"), nextDY: g.pointer("nextDY"),
		pixel: g.GP64(), row: g.GP64()}
	for range rows {
		t.x = append(t.x, g.GP64())
	}
	if cols > 1 {
		t.col = append(t.col, g.pointer("tapCol"))
	}
	for m := 3; m < cols; m += 2 {
		next := g.GP64()
		g.LEAQ(operand.Mem{Base: t.col[len(t.col)-1], Index: t.col[0], Scale: 2}, next)
		t.col = append(t.col, next)
	}
	g.XORQ(t.i, t.i)
	g.Label("vector")
	g.Load(g.Param("c"), t.row)
	g.SUBQ(t.i, t.row)
	g.JLE(operand.LabelRef("done"))
	if g.avx2 {
		g.CMPQ(t.row, operand.I32(g.bytes()))
		g.JL(operand.LabelRef("tail"))
		t.sums("vector")
		t.next()
		g.Label("tail")
	}
	t.newMask()
	t.sums("masked")
	t.next()
	g.Label("done")
	g.VZEROUPPER()
	g.RET()
}

// next goes on with the next vector of channels.
func (t *tapGrad) next() {
	t.ADDQ(operand.I32(t.bytes()), t.i)
	t.JMP(operand.LabelRef("vector"))
}

// newMask prepares the mask of the channels that are left, whose bytes row holds. Under AVX-512,
// where masks cost nothing, whole vectors have one as well.
func (t *tapGrad) newMask() {
	lanes := t.GP64()
	t.MOVQ(operand.I32(t.bytes()), lanes)
	t.CMPQ(t.row, lanes)
	t.CMOVQLT(t.row, lanes)
	t.SHRQ(operand.U8(2), lanes)
	t.mask = t.newTail(lanes).mask
}

// tap addresses the x of a row and a column of taps.
func (t *tapGrad) tap(u, v int) operand.Mem {
	m := operand.Mem{Base: t.x[u]}
	for scale := 4; v > 0; scale /= 2 {
		if v%scale == 0 {
			m.Index, m.Scale = t.col[v/scale/2], uint8(scale)
			return m
		}
	}
	return m
}

// sums emits the loop over pixels for a vector of channels, from channel i on.
func (t *tapGrad) sums(label string) {
	var k M
	if t.mask != nil {
		k = t.mask()
	}
	acc := make([]V, t.rows*t.cols)
	t.each(func(n int, m operand.Mem) { acc[n] = t.loadMasked(m, k) })
	t.Load(t.Param("x"), t.x[0])
	t.ADDQ(t.i, t.x[0])
	for u := 1; u < t.rows; u++ {
		t.MOVQ(t.x[u-1], t.x[u])
		t.ADDQ(t.argument("tapRow"), t.x[u])
	}
	t.Load(t.Param("dy"), t.dy)
	t.ADDQ(t.i, t.dy)
	t.Load(t.Param("rows"), t.row)
	t.Label(label + "Row")
	t.Load(t.Param("cols"), t.pixel)
	t.top(label + "Pixel")
	t.PREFETCHT1(operand.Mem{Base: t.nextX})
	t.PREFETCHT1(operand.Mem{Base: t.nextDY})
	t.ADDQ(t.argument("nextStep"), t.nextX)
	t.ADDQ(operand.I32(cacheLine), t.nextDY)
	dy := t.loadMasked(operand.Mem{Base: t.dy}, k)
	for u := range t.rows {
		for v := range t.cols {
			switch x, s := t.tap(u, v), acc[u*t.cols+v]; {
			case k == nil:
				t.VFMADD231PS(x, dy, s)
			case t.avx2:
				t.VFMADD231PS(t.loadMasked(x, k), dy, s)
			default:
				t.VFMADD231PS(x, dy, k, s)
			}
		}
	}
	for _, x := range t.x {
		t.ADDQ(t.step, x)
	}
	t.ADDQ(t.dyStep, t.dy)
	t.DECQ(t.pixel)
	t.JNZ(operand.LabelRef(label + "Pixel"))
	for _, x := range t.x {
		t.ADDQ(t.argument("skip"), x)
	}
	t.ADDQ(t.argument("dySkip"), t.dy)
	t.DECQ(t.row)
	t.JNZ(operand.LabelRef(label + "Row"))
	t.each(func(n int, m operand.Mem) { t.storeMasked(acc[n], m, k) })
}

// each visits the places of the sums in memory.
func (t *tapGrad) each(f func(n int, m operand.Mem)) {
	t.Load(t.Param("sum"), t.dy)
	t.ADDQ(t.i, t.dy)
	for n := range t.rows * t.cols {
		if n > 0 {
			t.ADDQ(t.argument("sumCol"), t.dy)
			if n%t.cols == 0 {
				t.ADDQ(t.argument("sumSkip"), t.dy)
			}
		}
		f(n, operand.Mem{Base: t.dy})
	}
}
