package main

import (
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

// winograd adds, for each map L, a function
//
//	func name(dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int, tmp *float32,
//		mask int)
//
// which applies L to the columns and then to the rows of a square of 16-float vectors, sixteen
// channels at once. Strides between vectors are in bytes. Lanes without a bit in mask are neither
// read nor written. tmp has room for 36 vectors.
//
// winogradOutputAct is winogradOutput with two arguments more, res *float32, laid out as dst, or nil,
// and floor float32: it stores max(y + res, floor), and NaN where y is NaN. winogradOutputMask has
// res and gate *float32, laid out as dst: it stores y + res where gate > 0, and 0 elsewhere.
func winograd(c *build.Context) {
	for _, l := range lines {
		for _, e := range l.ends() {
			winogradMap(c, l, e)
		}
	}
}

// An end is what a map does to what it stores.
type end struct {
	name, doc string // added to the map's
	params    string // more of them
	kind      endKind
}

type endKind int

const (
	asIs endKind = iota
	act
	masked
)

// ends lists the variants of a map.
func (l line) ends() []end {
	ends := []end{{}}
	if l.name == "winogradOutput" {
		ends = append(ends,
			end{"Act", ", adds res unless it is nil, and takes the maximum with floor",
				", res *float32, floor float32", act},
			end{"Mask", ", adds res unless it is nil, and stores 0 where gate is not positive",
				", res, gate *float32", masked})
	}
	return ends
}

// lineRegisters returns the registers of the i-th line: two sets in turn, so that a line need not
// wait for the stores of the one before.
func lineRegisters(i int) (in, out, tmp []reg.VecPhysical) {
	if i%2 == 1 {
		return zmm[16:22], zmm[22:28], zmm[12:16]
	}
	return zmm[0:6], zmm[6:12], zmm[12:16]
}

// signature is that of a map's function; lanes names the argument that says which lanes take part.
func (e end) signature(lanes string) string {
	return "func(dst *float32, rowDst, colDst int, src *float32, rowSrc, colSrc int, tmp *float32, " +
		lanes + " int" + e.params + ")"
}

func winogradMap(c *build.Context, l line, e end) {
	c.Function(l.name + e.name)
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr(e.signature("mask"))
	dst, rowDst, colDst, src, rowSrc, colSrc := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R8, reg.R9
	tmp, at := reg.R10, reg.RAX
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("rowDst"), rowDst)
	c.Load(c.Param("colDst"), colDst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("colSrc"), colSrc)
	c.Load(c.Param("tmp"), tmp)
	c.Load(c.Param("mask"), reg.RAX)
	c.KMOVW(reg.EAX, reg.K1)
	w := &winogradCode{c, map[float32]operand.Op{}}
	for i, k := range l.consts {
		w.consts[k] = zmm[31-i]
		c.MOVL(operand.U32(math.Float32bits(k)), reg.EAX)
		c.VPBROADCASTD(reg.EAX, zmm[31-i])
	}
	store := func(y, _ reg.VecPhysical) { c.VMOVUPS(y, reg.K1, mem(at, 0)) }
	if e.kind != asIs {
		store = winogradEnd(c, e.kind, dst, at, zmm[31-len(l.consts)])
	}
	for j := range l.inN {
		x, t, s := lineRegisters(j)
		c.MOVQ(src, at)
		for i := range l.inN {
			c.VMOVUPS_Z(mem(at, 0), reg.K1, x[i])
			if i < l.inN-1 {
				c.ADDQ(rowSrc, at)
			}
		}
		c.ADDQ(colSrc, src)
		l.emit(w, x, t, s)
		for i := range l.outN {
			c.VMOVUPS(t[i], mem(tmp, 64*(i*l.inN+j)))
		}
	}
	for i := range l.outN {
		x, t, s := lineRegisters(i)
		for j := range l.inN {
			c.VMOVUPS(mem(tmp, 64*(i*l.inN+j)), x[j])
		}
		l.emit(w, x, t, s)
		c.MOVQ(dst, at)
		for j := range l.outN {
			store(t[j], s[3])
			if j < l.outN-1 {
				c.ADDQ(colDst, at)
			}
		}
		c.ADDQ(rowDst, dst)
	}
	c.VZEROUPPER()
	c.RET()
}

// winogradEnd loads res and floor, or gate, and returns how y is stored at at, with a register to
// spare. K2 has the lanes of res: none where there is no res. What is then not read is dst itself:
// a load of no lanes from memory that does not exist would cost the processor hundreds of cycles.
func winogradEnd(c *build.Context, kind endKind, dst, at reg.GPPhysical,
	floor reg.VecPhysical) func(y, spare reg.VecPhysical) {
	delta, gate := reg.R11, reg.R12 // from dst to res and to gate
	c.Load(c.Param("res"), delta)
	if kind == act {
		c.VBROADCASTSS(operand.NewParamAddr("floor", 72), floor)
	} else {
		c.VPXORD(floor, floor, floor)
		c.Load(c.Param("gate"), gate)
		c.SUBQ(dst, gate)
	}
	c.KXORW(reg.K2, reg.K2, reg.K2)
	c.TESTQ(delta, delta)
	c.JEQ(operand.LabelRef("alone"))
	c.KMOVW(reg.K1, reg.K2)
	c.SUBQ(dst, delta)
	c.Label("alone")
	return func(y, spare reg.VecPhysical) {
		c.VMOVUPS_Z(operand.Mem{Base: at, Index: delta, Scale: 1}, reg.K2, spare)
		c.VADDPS(spare, y, y)
		if kind == act {
			c.VMAXPS(y, floor, y) // of NaN and floor the first operand here, NaN
		} else {
			c.VMOVUPS_Z(operand.Mem{Base: at, Index: gate, Scale: 1}, reg.K1, spare)
			c.VCMPPS(operand.Imm(greaterThan), floor, spare, reg.K3)
			c.VMOVAPS_Z(y, reg.K3, y)
		}
		c.VMOVUPS(y, reg.K1, mem(at, 0))
	}
}

// greaterThan is the comparison > of VCMPPS, false for NaN.
const greaterThan = 0x1e
