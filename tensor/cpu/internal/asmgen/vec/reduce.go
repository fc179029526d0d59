package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A block of a sum is 16 vectors in 4 accumulators of float32, so that a lane adds 16 numbers
// before it is widened to float64.
const (
	blockVectors = 16
	blockAccs    = 4
)

// reductions emits the sums and extremes of one-dimensional arrays.
func (g *gen) reductions() {
	g.sum("sum", "Σ x.", []string{"x"}, func(acc V, x []V) { g.VADDPS(x[0], acc, acc) })
	g.sum("sumSq", "Σ x².", []string{"x"}, func(acc V, x []V) { g.VFMADD231PS(x[0], x[0], acc) })
	g.sum("dot", "Σ x·y.", []string{"x", "y"},
		func(acc V, x []V) { g.VFMADD231PS(x[1], x[0], acc) })
	g.extreme("maxOf", "max x", 0xff800000, func(x, m V) { g.VMAXPS(m, x, m) })
	g.extreme("minOf", "min x", 0x7f800000, func(x, m V) { g.VMINPS(m, x, m) })
}

// sum emits a function that returns the sum of term over n elements.
func (g *gen) sum(name, doc string, streams []string, term func(acc V, x []V)) {
	g.Function(name + suffix)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + suffix + " returns " + doc)
	g.SignatureExpr(fmt.Sprintf("func(%s *float32, n int) float64", strings.Join(streams, ", ")))
	var ptr []reg.GPVirtual
	for _, s := range streams {
		ptr = append(ptr, g.pointer(s))
	}
	n := g.pointer("n")
	total := [2]V{g.zero(), g.zero()} // 8 lanes of float64 each
	const block = 16 * blockVectors
	g.CMPQ(n, operand.I32(block))
	g.JLT(operand.LabelRef("vectors"))
	g.Label("block")
	g.block(ptr, total, term)
	g.advance(ptr, n, block)
	g.CMPQ(n, operand.I32(block))
	g.JGE(operand.LabelRef("block"))
	g.Label("vectors")
	g.CMPQ(n, operand.I8(16))
	g.JLT(operand.LabelRef("tail"))
	g.Label("vector")
	g.one(ptr, nil, total, term)
	g.advance(ptr, n, 16)
	g.CMPQ(n, operand.I8(16))
	g.JGE(operand.LabelRef("vector"))
	g.Label("tail")
	g.TESTQ(n, n)
	g.JZ(operand.LabelRef("done"))
	g.one(ptr, g.tailMask(n), total, term)
	g.Label("done")
	g.Store(g.sum64(total), g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}

func (g *gen) advance(ptr []reg.GPVirtual, n reg.GPVirtual, by int) {
	for _, p := range ptr {
		g.ADDQ(operand.I32(4*by), p)
	}
	g.SUBQ(operand.I32(by), n)
}

func (g *gen) block(ptr []reg.GPVirtual, total [2]V, term func(acc V, x []V)) {
	var acc [blockAccs]V
	for j := range acc {
		acc[j] = g.zero()
	}
	for v := range blockVectors {
		var x []V
		for _, p := range ptr {
			d := g.ZMM()
			g.VMOVUPS(operand.Mem{Base: p, Disp: 64 * v}, d)
			x = append(x, d)
		}
		term(acc[v%blockAccs], x)
	}
	g.widen(g.add(g.add(acc[0], acc[1]), g.add(acc[2], acc[3])), total)
}

// one adds a single vector, all of it if mask is nil.
func (g *gen) one(ptr []reg.GPVirtual, mask reg.Register, total [2]V, term func(acc V, x []V)) {
	var x []V
	for _, p := range ptr {
		d := g.ZMM()
		if mask == nil {
			g.VMOVUPS(operand.Mem{Base: p}, d)
		} else {
			g.VMOVUPS_Z(operand.Mem{Base: p}, mask, d)
		}
		x = append(x, d)
	}
	acc := g.zero()
	term(acc, x)
	g.widen(acc, total)
}

// widen adds 16 lanes of float32 to 2 times 8 lanes of float64.
func (g *gen) widen(acc V, total [2]V) {
	upper, lo, hi := g.YMM(), g.ZMM(), g.ZMM()
	g.VEXTRACTF64X4(operand.U8(1), acc, upper)
	g.VCVTPS2PD(acc.AsY(), lo)
	g.VCVTPS2PD(upper, hi)
	g.VADDPD(lo, total[0], total[0])
	g.VADDPD(hi, total[1], total[1])
}

// sum64 adds 16 lanes of float64 by halving.
func (g *gen) sum64(total [2]V) reg.VecVirtual {
	s, y, x := g.ZMM(), g.YMM(), g.XMM()
	g.VADDPD(total[1], total[0], s)
	g.VEXTRACTF64X4(operand.U8(1), s, y)
	g.VADDPD(y, s.AsY(), y)
	g.VEXTRACTF128(operand.U8(1), y, x)
	g.VADDPD(x, y.AsX(), x)
	odd := g.XMM()
	g.VPERMILPD(operand.U8(1), x, odd)
	g.VADDPD(odd, x, x)
	return x
}

// extreme emits a function that returns the largest or smallest of n elements, NaN if one is.
// pick leaves the better of x and m in m, and m where x is NaN.
func (g *gen) extreme(name, doc string, identity uint32, pick func(x, m V)) {
	g.Function(name + suffix)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + suffix + " returns " + doc + " and a nonzero nan if one of them is NaN.")
	g.SignatureExpr("func(x *float32, n int) (m float32, nan uint32)")
	x, n := g.pointer("x"), g.pointer("n")
	best := g.reg(g.bits(identity))
	bad := g.K()
	g.KXORW(bad, bad, bad)
	take := func(v V) {
		g.KORW(g.cmp(unordQ, v, v), bad, bad)
		pick(v, best)
	}
	g.CMPQ(n, operand.I8(16))
	g.JLT(operand.LabelRef("tail"))
	g.Label("loop")
	v := g.ZMM()
	g.VMOVUPS(operand.Mem{Base: x}, v)
	take(v)
	g.advance([]reg.GPVirtual{x}, n, 16)
	g.CMPQ(n, operand.I8(16))
	g.JGE(operand.LabelRef("loop"))
	g.Label("tail")
	last := g.reg(g.bits(identity))
	g.VMOVUPS(operand.Mem{Base: x}, g.tailMask(n), last)
	take(last)
	g.horizontal(best, pick)
	flag := g.GP32()
	g.KMOVW(bad, flag)
	g.Store(best.AsX(), g.Return("m"))
	g.Store(flag, g.Return("nan"))
	g.VZEROUPPER()
	g.RET()
}

// horizontal combines the 16 lanes of m by halving and leaves the result in all of them.
func (g *gen) horizontal(m V, combine func(x, m V)) {
	for _, swap := range []uint8{0x4e, 0xb1} { // 256-bit halves, then 128-bit quarters
		t := g.ZMM()
		g.VSHUFF32X4(operand.U8(swap), m, m, t)
		combine(t, m)
	}
	for _, swap := range []uint8{0x4e, 0xb1} { // pairs, then neighbours
		t := g.ZMM()
		g.VPERMILPS(operand.U8(swap), m, t)
		combine(t, m)
	}
}
