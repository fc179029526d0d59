package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tapSums is how many sums a step of the loops over taps adds to: two multiply-adds a cycle of four
// cycles each. They belong to one vector of channels of tapSums pixels, or to more of fewer pixels,
// half as many where not so many are left, and so on.
const tapSums = 8

// tapWindows emits the sums of depthwise convolutions, for tiles of tapSums pixels, of half as
// many, and so on to one; and of tapSums pixels for windows of 3, 5 and 7 columns whose pixels are
// as far apart as their taps: there what one pixel reads the next one reads too, and it is read
// once.
func (g *gen) tapWindows() {
	for pixels := tapSums; pixels > 0; pixels /= 2 {
		g.tapTiles(pixels, 0)
	}
	if !g.avx2 { // which has not the registers
		for kw := 3; kw <= 7; kw += 2 {
			g.tapTiles(tapSums, kw)
		}
	}
}

// A taps is a loop of tapWindows while it is being emitted. Distances are in bytes; those that have
// no register stay with the arguments.
type taps struct {
	*gen
	pixels     int
	kw         int // columns of taps, where they are known and neighbours share what they read
	y, x, w    reg.GPVirtual
	i          reg.GPVirtual   // channel, in bytes
	steps      []reg.GPVirtual // 1, 3, 5 and 7 times from pixel to pixel, as many as it takes
	xCol, wCol reg.GPVirtual
	xTap, wTap reg.GPVirtual
	row, col   reg.GPVirtual // what is left of a window's rows and columns
	mask       func() M      // of the channels behind the last whole vector; nil before it
}

func (g *gen) tapTiles(pixels, kw int) {
	name := fmt.Sprintf("tapTile%d%s", pixels, g.suffix())
	if kw > 0 {
		name = fmt.Sprintf("tapTile%dBy%d%s", pixels, kw, g.suffix())
	}
	g.function(name)
	g.Doc(fmt.Sprintf("%s computes tiles of %d sums over taps, those of each channel by itself.", name,
		pixels))
	g.SignatureExpr("func(y, x, w, init *float32, tiles, c, kh, kw, step, out, skip, col, wskip, " +
		"wcol, from, next int)")
	t := &taps{gen: g, pixels: pixels, kw: kw, y: g.pointer("y"), x: g.pointer("x"), w: g.pointer("w"),
		i: g.GP64(), xCol: g.pointer("col"), wCol: g.pointer("wcol"), xTap: g.GP64(), wTap: g.GP64(),
		row: g.GP64(), col: g.GP64()}
	t.multiples()

	g.Label("tile")
	g.XORQ(t.i, t.i)
	for n := tapSums / pixels; n > 0; n /= 2 {
		t.loop(fmt.Sprintf("by%d", n), n)
	}
	t.left(0)
	g.TESTQ(t.col, t.col)
	g.JZ(operand.LabelRef("next"))
	rest := g.GP64()
	g.MOVQ(t.col, rest)
	g.SHRQ(operand.U8(2), rest)
	t.mask = g.newTail(rest).mask
	t.sums("tail", 1)
	g.Label("next")
	t.nextTile()
	g.DECQ(g.argument("tiles"))
	g.JNZ(operand.LabelRef("tile"))
	g.VZEROUPPER()
	g.RET()
}

// multiples loads the odd multiples of the distance between pixels.
func (t *taps) multiples() {
	one := t.pointer("step")
	t.steps = []reg.GPVirtual{one}
	for m := 3; m < t.pixels; m += 2 {
		next := t.GP64()
		t.LEAQ(operand.Mem{Base: t.steps[len(t.steps)-1], Index: one, Scale: 2}, next)
		t.steps = append(t.steps, next)
	}
}

// left sets col to the bytes of channels that are left, less those of n vectors.
func (t *taps) left(n int) {
	t.Load(t.Param("c"), t.col)
	t.SUBQ(t.i, t.col)
	if n > 0 {
		t.SUBQ(operand.I32(n*t.bytes()), t.col)
	}
}

// loop emits a loop over n vectors of channels at a time, as long as they are whole.
func (t *taps) loop(label string, n int) {
	t.Label(label)
	t.left(n)
	t.JL(operand.LabelRef(label + "Done"))
	t.sums(label, n)
	t.ADDQ(operand.I32(n*t.bytes()), t.i)
	t.JMP(operand.LabelRef(label))
	t.Label(label + "Done")
}

// at addresses pixel j behind p, n vectors further.
func (t *taps) at(p reg.GPVirtual, j, n int) operand.Mem {
	m := operand.Mem{Base: p, Disp: n * t.bytes()}
	for scale := 8; j > 0; scale /= 2 {
		if j%scale == 0 {
			m.Index, m.Scale = t.steps[j/scale/2], uint8(scale)
			return m
		}
	}
	return m
}

// sums emits a tile's sums over all taps for n vectors of channels, from channel i on.
func (t *taps) sums(label string, n int) {
	var k M
	if t.mask != nil {
		k = t.mask()
	}
	if t.pixels == tapSums {
		t.askFor(label)
	}
	acc := t.initial(n, k)
	t.LEAQ(operand.Mem{Base: t.x, Index: t.i, Scale: 1}, t.xTap)
	t.LEAQ(operand.Mem{Base: t.w, Index: t.i, Scale: 1}, t.wTap)
	t.Load(t.Param("kh"), t.row)
	t.Label(label + "Row")
	if t.kw > 0 {
		t.sharedRow(acc, k)
	} else {
		t.tapRow(label, n, acc, k)
	}
	t.ADDQ(t.argument("skip"), t.xTap)
	t.ADDQ(t.argument("wskip"), t.wTap)
	t.DECQ(t.row)
	t.JNZ(operand.LabelRef(label + "Row"))
	t.LEAQ(operand.Mem{Base: t.y, Index: t.i, Scale: 1}, t.xTap)
	for j := range t.pixels {
		for v := range n {
			t.storeMasked(acc[j*n+v], operand.Mem{Base: t.xTap, Disp: v * t.bytes()}, k)
		}
		t.ADDQ(t.argument("out"), t.xTap)
	}
}

// sharedRow emits a row of taps of which neighbouring pixels share what they read: all of it is
// loaded first. xTap moves on by as many pixels as the tile has, wTap behind the row.
func (t *taps) sharedRow(acc []V, k M) {
	var x []V
	for p := range t.pixels + t.kw - 1 {
		if p == t.pixels {
			t.LEAQ(t.at(t.xTap, p, 0), t.xTap)
		}
		x = append(x, t.loadMasked(t.at(t.xTap, p%t.pixels, 0), k))
	}
	for v := range t.kw {
		w := t.loadMasked(operand.Mem{Base: t.wTap}, k)
		t.ADDQ(t.wCol, t.wTap)
		for j := range t.pixels {
			t.VFMADD231PS(x[j+v], w, acc[j])
		}
	}
}

// tapRow emits a row of taps for n vectors of channels.
func (t *taps) tapRow(label string, n int, acc []V, k M) {
	t.Load(t.Param("kw"), t.col)
	t.top(label + "Tap")
	for v := range n {
		w := t.loadMasked(operand.Mem{Base: t.wTap, Disp: v * t.bytes()}, k)
		for j := range t.pixels {
			s := acc[j*n+v]
			if k == nil {
				t.VFMADD231PS(t.at(t.xTap, j, v), w, s)
			} else {
				t.VFMADD231PS(t.loadMasked(t.at(t.xTap, j, v), k), w, s)
			}
		}
	}
	t.ADDQ(t.xCol, t.xTap)
	t.ADDQ(t.wCol, t.wTap)
	t.DECQ(t.col)
	t.JNZ(operand.LabelRef(label + "Tap"))
}

// askFor asks for a tile's pixels of the next row, unless there is none.
func (t *taps) askFor(label string) {
	t.Load(t.Param("next"), t.xTap)
	t.TESTQ(t.xTap, t.xTap)
	t.JZ(operand.LabelRef(label + "Asked"))
	t.ADDQ(t.x, t.xTap)
	t.ADDQ(t.i, t.xTap)
	for j := range t.pixels {
		t.PREFETCHT1(t.at(t.xTap, j, 0))
	}
	t.Label(label + "Asked")
}

// initial loads what the sums begin with.
func (t *taps) initial(n int, k M) []V {
	var acc []V
	t.Load(t.Param("init"), t.xTap)
	t.ADDQ(t.i, t.xTap)
	for j := range t.pixels {
		if j > 0 {
			t.ADDQ(t.argument("from"), t.xTap)
		}
		for v := range n {
			acc = append(acc, t.loadMasked(operand.Mem{Base: t.xTap, Disp: v * t.bytes()}, k))
		}
	}
	return acc
}

// nextTile moves to the next pixels.
func (t *taps) nextTile() {
	t.LEAQ(t.at(t.x, t.pixels, 0), t.x)
	t.tileOf("out")
	t.ADDQ(t.row, t.y)
	t.tileOf("from")
	t.ADDQ(t.row, t.argument("init"))
}

// tileOf sets row to the distance between tiles, given the name of that between pixels.
func (t *taps) tileOf(step string) {
	t.Load(t.Param(step), t.row)
	for n := t.pixels; n > 1; n /= 2 {
		t.ADDQ(t.row, t.row)
	}
}
