package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maxWindows emits max pooling of a row of windows of one size, each step pixels from the one
// before: a vector of channels of a window stays in registers, with the position of its maximum,
// while the loops go through the window's pixels. Positions count pixels: step of them from window
// to window (apart is the same number) and skip from behind a row of a window to the next one.
func (g *gen) maxWindows() {
	name := "maxWindows" + g.suffix()
	g.function(name)
	g.Doc(name + " computes the maxima of windows of kh×kw pixels and their positions.")
	g.SignatureExpr("func(best *float32, idx *int32, x *float32, count, kh, kw, pitch, step int, " +
		"first, apart, skip int32, c int)")
	w := &windows{gen: g, best: g.pointer("best"), idx: g.pointer("idx"), corner: g.pointer("x"),
		pixel: g.pointer("c"), i: g.GP64(), first: g.scalar("first"),
		one: g.reg(g.bits(1))}
	full, rest := g.split(w.pixel)
	end := g.newTail(rest)
	w.bytesOf()

	g.Label("window")
	g.XORQ(w.i, w.i)
	g.CMPQ(w.i, full)
	g.JGE(operand.LabelRef("tail"))
	g.top("vector")
	w.vector("", nil)
	g.ADDQ(operand.I8(g.lanes()), w.i)
	g.CMPQ(w.i, full)
	g.JLT(operand.LabelRef("vector"))
	g.Label("tail")
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("next"))
	w.vector("Tail", end.mask)
	g.Label("next")
	w.nextWindow()
	w.ADDQ(w.pixel, w.idx)
	w.VPADDD(w.scalar("apart"), w.first, w.first)
	g.DECQ(g.argument("count"))
	g.JNZ(operand.LabelRef("window"))
	g.VZEROUPPER()
	g.RET()
}

// maximaAtOnce is how many vectors of channels share a loop over a window's pixels where nobody
// asks for positions.
const maximaAtOnce = 4

// maxima emits max pooling of a row of windows without the positions.
func (g *gen) maxima() {
	name := "maxima" + g.suffix()
	g.function(name)
	g.Doc(name + " computes the maxima of windows of kh×kw pixels.")
	g.SignatureExpr("func(best, x *float32, count, kh, kw, pitch, step, c int)")
	w := &windows{gen: g, best: g.pointer("best"), corner: g.pointer("x"), pixel: g.pointer("c"),
		i: g.GP64()}
	full, rest := g.split(w.pixel)
	end, left := g.newTail(rest), g.GP64()
	w.bytesOf()

	g.Label("window")
	g.XORQ(w.i, w.i)
	for n := maximaAtOnce; n > 0; n /= 2 {
		label := fmt.Sprintf("by%d", n)
		g.Label(label)
		g.MOVQ(full, left)
		g.SUBQ(w.i, left)
		g.CMPQ(left, operand.I32(n*g.lanes()))
		g.JL(operand.LabelRef(label + "Done"))
		w.vectors(label, n, nil)
		g.ADDQ(operand.I32(n*g.lanes()), w.i)
		g.JMP(operand.LabelRef(label))
		g.Label(label + "Done")
	}
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("next"))
	w.vectors("tail", 1, end.mask)
	g.Label("next")
	w.nextWindow()
	g.DECQ(g.argument("count"))
	g.JNZ(operand.LabelRef("window"))
	g.VZEROUPPER()
	g.RET()
}

// A windows is the loop of maxWindows or of maxima while it is being emitted.
type windows struct {
	*gen
	best, idx, corner reg.GPVirtual
	pixel             reg.GPVirtual // bytes of a pixel
	skip              reg.GPVirtual // from behind a row of the window to the next one, in bytes
	i                 reg.GPVirtual // channel
	first, one        V             // positions: the window's corner's, and from pixel to pixel
}

// bytesOf turns the number of channels into bytes.
func (w *windows) bytesOf() {
	w.SHLQ(operand.U8(2), w.pixel)
	w.skip = w.pointer("pitch")
	w.SUBQ(w.argument("kw"), w.skip)
	w.IMULQ(w.pixel, w.skip)
}

// vector emits a window's maxima of one vector of channels.
func (w *windows) vector(label string, mask func() M) {
	var k M
	if mask != nil {
		k = mask()
	}
	p := w.GP64()
	w.LEAQ(operand.Mem{Base: w.corner, Index: w.i, Scale: elemSize}, p)
	best, idx, at := w.loadMasked(operand.Mem{Base: p}, k), w.copy(w.first), w.copy(w.first)
	numbers := w.cmp(ordQ, best, best) // lanes that have met no NaN
	w.each(label, p, func() {
		x := w.loadMasked(operand.Mem{Base: p}, k)
		// x is not ≤ best, which a NaN is not, and best is not NaN yet. The first pixel meets itself.
		take := w.cmpWhere(numbers, nleUQ, x, best)
		w.narrow(numbers, ordQ, x)
		w.moveWhere(take, x, best)
		w.moveWhere(take, at, idx)
		w.VPADDD(w.one, at, at)
	}, func() { w.VPADDD(w.scalar("skip"), at, at) })
	w.storeMasked(best, operand.Mem{Base: w.best, Index: w.i, Scale: elemSize}, k)
	w.storeMasked(idx, operand.Mem{Base: w.idx, Index: w.i, Scale: elemSize}, k)
}

// vectors emits a window's maxima of n vectors of channels. Of two numbers that are equal, or of
// which one is NaN, the instruction takes the one met first: a NaN behind the first pixel is
// remembered in a mask and takes the maximum's place at the end.
func (w *windows) vectors(label string, n int, mask func() M) {
	var k M
	if mask != nil {
		k = mask()
	}
	p := w.GP64()
	w.LEAQ(operand.Mem{Base: w.corner, Index: w.i, Scale: elemSize}, p)
	var best []V
	var numbers []M
	for v := range n {
		best = append(best, w.loadMasked(operand.Mem{Base: p, Disp: v * w.bytes()}, k))
		numbers = append(numbers, w.cmp(ordQ, best[v], best[v]))
	}
	w.each(label, p, func() {
		for v := range n {
			x := w.loadMasked(operand.Mem{Base: p, Disp: v * w.bytes()}, k)
			w.narrow(numbers[v], ordQ, x)
			w.VMAXPS(best[v], x, best[v])
		}
	}, func() {})
	nan := w.reg(w.bits(0x7fc00000))
	w.LEAQ(operand.Mem{Base: w.best, Index: w.i, Scale: elemSize}, p)
	for v := range n {
		y := w.blend(numbers[v], best[v], nan)
		w.storeMasked(y, operand.Mem{Base: p, Disp: v * w.bytes()}, k)
	}
}

// each emits the loops over a window's pixels, of which p goes through the addresses, and over its
// rows.
func (w *windows) each(label string, p reg.GPVirtual, pixel, row func()) {
	rows, cols := w.GP64(), w.GP64()
	w.Load(w.Param("kh"), rows)
	w.Label("row" + label)
	w.Load(w.Param("kw"), cols)
	w.Label("pixel" + label)
	pixel()
	w.ADDQ(w.pixel, p)
	w.DECQ(cols)
	w.JNZ(operand.LabelRef("pixel" + label))
	w.ADDQ(w.skip, p)
	row()
	w.DECQ(rows)
	w.JNZ(operand.LabelRef("row" + label))
}

// nextWindow moves to the next window and the next pixel of the maxima.
func (w *windows) nextWindow() {
	w.ADDQ(w.pixel, w.best)
	step := w.pointer("step")
	w.IMULQ(w.pixel, step)
	w.ADDQ(step, w.corner)
}

// scatterAdd emits dx[idx[i,k], k] += dy[i, k] for pixels i in order and channels k: what maxima
// get back. A position that is not below limit ends it: the function returns how many pixels are
// left.
func (g *gen) scatterAdd() {
	name := "scatterAdd" + g.suffix()
	g.function(name)
	g.Doc(name + " adds dy's pixels at the positions idx, and returns how many it had left.")
	g.SignatureExpr("func(dx, dy *float32, idx *int32, limit, pixels, c int) int")
	dx, dy, idx := g.pointer("dx"), g.pointer("dy"), g.pointer("idx")
	limit, pixels, c, row := g.pointer("limit"), g.pointer("pixels"), g.pointer("c"), g.GP64()
	g.MOVQ(c, row)
	g.SHLQ(operand.U8(2), row)
	k, p, x := g.GP64(), g.GP64(), g.XMM()

	g.Label("pixel")
	g.XORQ(k, k)
	g.top("channel")
	g.MOVL(operand.Mem{Base: idx, Index: k, Scale: elemSize}, p.As32()) // negative: beyond the limit
	g.CMPQ(p, limit)
	g.JAE(operand.LabelRef("done"))
	g.IMULQ(row, p)
	g.VMOVSS(operand.Mem{Base: dy, Index: k, Scale: elemSize}, x)
	g.LEAQ(operand.Mem{Base: p, Index: k, Scale: elemSize}, p)
	at := operand.Mem{Base: dx, Index: p, Scale: 1}
	g.VADDSS(at, x, x)
	g.VMOVSS(x, at)
	g.INCQ(k)
	g.CMPQ(k, c)
	g.JLT(operand.LabelRef("channel"))
	g.ADDQ(row, dy)
	g.ADDQ(row, idx)
	g.DECQ(pixels)
	g.JNZ(operand.LabelRef("pixel"))
	g.Label("done")
	g.Store(pixels, g.ReturnIndex(0))
	g.RET()
}
