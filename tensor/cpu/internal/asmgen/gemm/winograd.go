package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A line is one of the one-dimensional maps of Winograd's algorithm F(4, 3): it emits code that
// reads in and leaves its results in out, using tmp and the named constants.
type line struct {
	name      string
	doc       string
	inN, outN int
	consts    []float32
	emit      func(w *winogradCode, in, out, tmp []reg.VecPhysical)
}

// winogradCode emits vector arithmetic in the order destination first.
type winogradCode struct {
	c      *build.Context
	consts map[float32]operand.Op // registers, or vectors in memory
}

func (w *winogradCode) add(d, a, b reg.VecPhysical) { w.c.VADDPS(b, a, d) }
func (w *winogradCode) sub(d, a, b reg.VecPhysical) { w.c.VSUBPS(b, a, d) } // a - b
func (w *winogradCode) move(d, a reg.VecPhysical)   { w.c.VMOVAPS(a, d) }
func (w *winogradCode) zero(d reg.VecPhysical) {
	if d.Size() == 32 { // AVX2
		w.c.VXORPS(d, d, d)
	} else {
		w.c.VPXORD(d, d, d)
	}
}
func (w *winogradCode) mul(d reg.VecPhysical, k float32, a reg.VecPhysical) {
	w.c.VMULPS(w.consts[k], a, d)
}

// fma sets d += k*a, and fnma sets d -= k*a.
func (w *winogradCode) fma(d reg.VecPhysical, k float32, a reg.VecPhysical) {
	w.c.VFMADD231PS(w.consts[k], a, d)
}
func (w *winogradCode) fnma(d reg.VecPhysical, k float32, a reg.VecPhysical) {
	w.c.VFNMADD231PS(w.consts[k], a, d)
}

// The maps. Their matrices stand in package conv's plain Go versions.
var lines = []line{
	{"winogradInput", "x of 6×6 pixels to Bᵀ x B", 6, 6, []float32{2, 4, 5},
		func(w *winogradCode, x, t, s []reg.VecPhysical) {
			w.move(t[1], x[4])
			w.fnma(t[1], 4, x[2]) // even part of t1, t2
			w.move(s[0], x[3])
			w.fnma(s[0], 4, x[1]) // odd part
			w.sub(t[2], t[1], s[0])
			w.add(t[1], t[1], s[0])
			w.sub(t[3], x[4], x[2])
			w.sub(s[1], x[3], x[1])
			w.move(t[4], t[3])
			w.fnma(t[4], 2, s[1])
			w.fma(t[3], 2, s[1])
			w.move(t[0], x[4])
			w.fnma(t[0], 5, x[2])
			w.fma(t[0], 4, x[0])
			w.move(t[5], x[5])
			w.fnma(t[5], 5, x[3])
			w.fma(t[5], 4, x[1])
		}},
	{"winogradOutput", "m of 6×6 products to Aᵀ m A, 4×4 pixels", 6, 4, []float32{2, 4, 8},
		func(w *winogradCode, m, y, s []reg.VecPhysical) {
			w.add(s[0], m[1], m[2])
			w.sub(y[1], m[1], m[2])
			w.add(s[1], m[3], m[4])
			w.sub(s[2], m[3], m[4])
			w.add(y[0], m[0], s[0])
			w.add(y[0], y[0], s[1])
			w.add(y[3], y[1], m[5])
			w.fma(y[3], 8, s[2])
			w.fma(y[1], 2, s[2])
			w.move(y[2], s[0])
			w.fma(y[2], 4, s[1])
		}},
	{"winogradWeight", "g of 3×3 taps to G g Gᵀ", 3, 6, []float32{1. / 4, 1. / 6, 1. / 12, 1. / 24},
		func(w *winogradCode, g, u, s []reg.VecPhysical) {
			w.mul(u[0], 1./4, g[0])
			w.add(s[0], g[0], g[2])
			w.sub(s[1], g[1], s[0])
			w.mul(u[2], 1./6, s[1])
			w.add(s[1], g[1], s[0])
			w.zero(u[1])
			w.fnma(u[1], 1./6, s[1])
			w.mul(u[3], 1./24, g[0])
			w.fma(u[3], 1./6, g[2])
			w.move(u[4], u[3])
			w.fnma(u[4], 1./12, g[1])
			w.fma(u[3], 1./12, g[1])
			w.move(u[5], g[2])
		}},
	{"winogradGrad", "dy of 4×4 pixels to A dy Aᵀ", 4, 6, []float32{2, 4, 8},
		func(w *winogradCode, y, z, s []reg.VecPhysical) {
			w.move(z[0], y[0])
			w.add(s[0], y[0], y[2])
			w.add(s[1], y[1], y[3])
			w.add(z[1], s[0], s[1])
			w.sub(z[2], s[0], s[1])
			w.move(z[3], y[0])
			w.fma(z[3], 4, y[2])
			w.mul(s[2], 2, y[1])
			w.fma(s[2], 8, y[3])
			w.sub(z[4], z[3], s[2])
			w.add(z[3], z[3], s[2])
			w.move(z[5], y[3])
		}},
	{"winogradWeightGrad", "du of 6×6 to Gᵀ du G, 3×3 taps", 6, 3,
		[]float32{1. / 4, 1. / 6, 1. / 12, 1. / 24},
		func(w *winogradCode, u, g, s []reg.VecPhysical) {
			w.add(s[0], u[1], u[2])
			w.sub(s[1], u[2], u[1])
			w.add(s[2], u[3], u[4])
			w.sub(s[3], u[3], u[4])
			w.mul(g[0], 1./4, u[0])
			w.fnma(g[0], 1./6, s[0])
			w.fma(g[0], 1./24, s[2])
			w.mul(g[1], 1./6, s[1])
			w.fma(g[1], 1./12, s[3])
			w.sub(s[2], s[2], s[0])
			w.move(g[2], u[5])
			w.fma(g[2], 1./6, s[2])
		}},
}

// A form of a map is the map itself or a variant of it.
type form int

const (
	whole form = iota // a square that exists
	act               // of outputs: acts on what it stores
	edge              // AVX-512: a square at the edge of an image, read where it exists
)

// in returns the map in the given form, named and described.
func (l line) in(f form) line {
	switch f {
	case act:
		l.name += "Act"
		l.doc += ", adds res unless it is nil, and takes the maximum with floor"
	case edge:
		l.name += "Edge"
		l.doc += "; what of the square does not exist is zero"
	}
	return l
}

// forms lists the forms that a map has.
func (l line) forms(avx2 bool) []form {
	switch {
	case l.name == "winogradOutput":
		return []form{whole, act}
	case !avx2 && (l.name == "winogradInput" || l.name == "winogradGrad"):
		return []form{whole, edge}
	}
	return []form{whole}
}

// signature is that of a form's function; lanes names the argument that says which lanes take part.
func (l line) signature(lanes string, f form) string {
	switch s := "func(dst *float32, rowDst, colDst int, src *float32, "; f {
	case edge:
		return s + "at, rowSrc, colSrc int, tmp *float32, masks *uint16, cols int)"
	case act:
		return s + "rowSrc, colSrc int, tmp *float32, " + lanes + " int, res *float32, floor float32)"
	default:
		return s + "rowSrc, colSrc int, tmp *float32, " + lanes + " int)"
	}
}

// winograd adds, for each map L, a function
//
//	func name(dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int, tmp *float32,
//		mask int)
//
// which applies L to the columns and then to the rows of a square of 16-float vectors, sixteen
// channels at once. Strides between vectors are in bytes. Lanes without a bit in mask are neither
// read nor written. tmp has room for 36 vectors.
//
// winogradOutputAct is winogradOutput with two arguments more, res *float32, laid out as dst, or
// nil, and floor float32: it stores max(y + res, floor), and NaN where y is NaN.
//
// winogradInputEdge and winogradGradEdge read a square whose first vector would lie at bytes from
// src, which may be before it. masks points to the mask of lanes and then one for each row of the
// square, the same or, where the row does not exist, zero; cols has a bit for each column that
// exists. What is masked out is not read, so that an image needs no margin.
func winograd(c *build.Context) {
	for _, l := range lines {
		for _, f := range l.forms(false) {
			winogradMap(c, l.in(f), f)
		}
	}
}

// lineRegisters returns the registers of the i-th line: two sets in turn, so that a line need not
// wait for the stores of the one before.
func lineRegisters(i int) (in, out, tmp []reg.VecPhysical) {
	if i%2 == 1 {
		return zmm[16:22], zmm[22:28], zmm[12:16]
	}
	return zmm[0:6], zmm[6:12], zmm[12:16]
}

// A winogradMapper emits the code of a map.
type winogradMapper struct {
	winogradCode
	line
	form
	dst, rowDst, colDst reg.GPPhysical
	src, rowSrc, colSrc reg.GPPhysical
	tmp, at, cols       reg.GPPhysical
	lanes               []reg.OpmaskPhysical // of a row's pixels
	store               func(y, spare reg.VecPhysical)
}

func winogradMap(c *build.Context, l line, f form) {
	c.Function(l.name)
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr(l.signature("mask", f))
	w := winogradMapper{winogradCode: winogradCode{c, map[float32]operand.Op{}}, line: l, form: f,
		dst: reg.RDI, rowDst: reg.RSI, colDst: reg.RDX, src: reg.RCX, rowSrc: reg.R8, colSrc: reg.R9,
		tmp: reg.R10, at: reg.RAX, cols: reg.R11}
	w.arguments()
	for i, k := range l.consts {
		w.winogradCode.consts[k] = zmm[31-i]
		c.MOVL(operand.U32(math.Float32bits(k)), reg.EAX)
		c.VPBROADCASTD(reg.EAX, zmm[31-i])
	}
	w.store = func(y, _ reg.VecPhysical) { c.VMOVUPS(y, reg.K1, mem(w.at, 0)) }
	if f == act {
		w.store = winogradAct(c, w.dst, w.at, zmm[31-len(l.consts)])
	}
	for j := range l.inN {
		w.column(j)
	}
	for i := range l.outN {
		w.row(i)
	}
	c.VZEROUPPER()
	c.RET()
}

// arguments loads the arguments, the mask of lanes into K1 and the masks of the rows.
func (w *winogradMapper) arguments() {
	c := w.c
	for _, p := range []struct {
		name string
		to   reg.GPPhysical
	}{{"dst", w.dst}, {"rowDst", w.rowDst}, {"colDst", w.colDst}, {"src", w.src},
		{"rowSrc", w.rowSrc}, {"colSrc", w.colSrc}, {"tmp", w.tmp}} {
		c.Load(c.Param(p.name), p.to)
	}
	if w.form != edge {
		c.Load(c.Param("mask"), reg.RAX)
		c.KMOVW(reg.EAX, reg.K1)
		for range w.inN {
			w.lanes = append(w.lanes, reg.K1)
		}
		return
	}
	c.Load(c.Param("at"), w.at)
	c.ADDQ(w.at, w.src)
	c.Load(c.Param("cols"), w.cols)
	c.Load(c.Param("masks"), w.at)
	w.lanes = []reg.OpmaskPhysical{reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}[:w.inN]
	c.KMOVW(mem(w.at, 0), reg.K1)
	for i, k := range w.lanes {
		c.KMOVW(mem(w.at, 2*(i+1)), k)
	}
}

// column maps column j of the square to tmp. One that does not exist is mapped to zeros.
func (w *winogradMapper) column(j int) {
	c := w.c
	x, t, s := lineRegisters(j)
	there, done := fmt.Sprintf("there%d", j), fmt.Sprintf("done%d", j)
	if w.form == edge {
		c.BTQ(operand.U8(j), w.cols)
		c.JCS(operand.LabelRef(there))
		w.zero(t[0])
		for i := range w.outN {
			c.VMOVUPS(t[0], mem(w.tmp, 64*(i*w.inN+j)))
		}
		c.JMP(operand.LabelRef(done))
		c.Label(there)
	}
	c.MOVQ(w.src, w.at)
	for i := range w.inN {
		c.VMOVUPS_Z(mem(w.at, 0), w.lanes[i], x[i])
		if i < w.inN-1 {
			c.ADDQ(w.rowSrc, w.at)
		}
	}
	w.emit(&w.winogradCode, x, t, s)
	for i := range w.outN {
		c.VMOVUPS(t[i], mem(w.tmp, 64*(i*w.inN+j)))
	}
	if w.form == edge {
		c.Label(done)
	}
	c.ADDQ(w.colSrc, w.src)
}

// row maps row i of what tmp holds to the result.
func (w *winogradMapper) row(i int) {
	x, t, s := lineRegisters(i)
	for j := range w.inN {
		w.c.VMOVUPS(mem(w.tmp, 64*(i*w.inN+j)), x[j])
	}
	w.emit(&w.winogradCode, x, t, s)
	w.c.MOVQ(w.dst, w.at)
	for j := range w.outN {
		w.store(t[j], s[3])
		if j < w.outN-1 {
			w.c.ADDQ(w.colDst, w.at)
		}
	}
	w.c.ADDQ(w.rowDst, w.dst)
}

// winogradAct loads res and floor and returns how y is stored at at, with a register to spare. K2
// has the lanes of res: none where there is no res. What is then not read is dst itself: a load of
// no lanes from memory that does not exist would cost the processor hundreds of cycles.
func winogradAct(c *build.Context, dst, at reg.GPPhysical,
	floor reg.VecPhysical) func(y, spare reg.VecPhysical) {
	delta := reg.R11 // from dst to res
	c.Load(c.Param("res"), delta)
	c.VBROADCASTSS(operand.NewParamAddr("floor", 72), floor)
	c.KXORW(reg.K2, reg.K2, reg.K2)
	c.TESTQ(delta, delta)
	c.JEQ(operand.LabelRef("alone"))
	c.KMOVW(reg.K1, reg.K2)
	c.SUBQ(dst, delta)
	c.Label("alone")
	return func(y, spare reg.VecPhysical) {
		c.VMOVUPS_Z(operand.Mem{Base: at, Index: delta, Scale: 1}, reg.K2, spare)
		c.VADDPS(spare, y, y)
		c.VMAXPS(y, floor, y) // of NaN and floor the first operand here, NaN
		c.VMOVUPS(y, reg.K1, mem(at, 0))
	}
}
