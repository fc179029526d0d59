package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A block of a sum is 16 vectors in 4 accumulators of float32, so that a lane adds 16 numbers
// before it is widened to float64. Lanes are those of the instruction set.
const (
	blockVectors = 16
	blockAccs    = 4
)

// sum emits the function that returns the sum of n elements.
func (g *gen) sum() {
	name := "sum" + g.suffix()
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + " returns Σ x.")
	g.SignatureExpr("func(x *float32, n int) float64")
	ptr, n := g.pointer("x"), g.pointer("n")
	total := [2]V{g.zero(), g.zero()} // half as many lanes of float64 each
	lanes := g.lanes()
	block := lanes * blockVectors
	g.CMPQ(n, operand.I32(block))
	g.JLT(operand.LabelRef("vectors"))
	g.Label("block")
	g.block(ptr, total)
	g.advance(ptr, n, block)
	g.CMPQ(n, operand.I32(block))
	g.JGE(operand.LabelRef("block"))
	g.Label("vectors")
	g.CMPQ(n, operand.I8(lanes))
	g.JLT(operand.LabelRef("tail"))
	g.Label("vector")
	g.one(ptr, nil, total)
	g.advance(ptr, n, lanes)
	g.CMPQ(n, operand.I8(lanes))
	g.JGE(operand.LabelRef("vector"))
	g.Label("tail")
	g.TESTQ(n, n)
	g.JZ(operand.LabelRef("done"))
	g.one(ptr, g.newTail(n).mask(), total)
	g.Label("done")
	g.Store(g.sum64(total), g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}

func (g *gen) advance(ptr, n reg.GPVirtual, by int) {
	g.ADDQ(operand.I32(4*by), ptr)
	g.SUBQ(operand.I32(by), n)
}

func (g *gen) block(ptr reg.GPVirtual, total [2]V) {
	var acc [blockAccs]V
	for j := range acc {
		acc[j] = g.zero()
	}
	for v := range blockVectors {
		x := g.vec()
		g.VMOVUPS(operand.Mem{Base: ptr, Disp: g.bytes() * v}, x)
		g.VADDPS(x, acc[v%blockAccs], acc[v%blockAccs])
	}
	g.widen(g.add(g.add(acc[0], acc[1]), g.add(acc[2], acc[3])), total)
}

// one adds a single vector, all of it if mask is nil.
func (g *gen) one(ptr reg.GPVirtual, mask M, total [2]V) {
	x := g.loadMasked(operand.Mem{Base: ptr}, mask)
	acc := g.zero()
	g.VADDPS(x, acc, acc)
	g.widen(acc, total)
}

// widen adds the lanes of float32 to 2 times half as many lanes of float64.
func (g *gen) widen(acc V, total [2]V) {
	lower, upper := g.halves(acc)
	lo, hi := g.vec(), g.vec()
	g.VCVTPS2PD(lower, lo)
	g.VCVTPS2PD(upper, hi)
	g.VADDPD(lo, total[0], total[0])
	g.VADDPD(hi, total[1], total[1])
}

// sum64 adds the lanes of float64 by halving.
func (g *gen) sum64(total [2]V) reg.VecVirtual {
	s := g.vec()
	g.VADDPD(total[1], total[0], s)
	y, x := s, g.XMM()
	if !g.avx2 {
		y = g.YMM()
		g.VEXTRACTF64X4(operand.U8(1), s, y)
		g.VADDPD(y, s.AsY(), y)
	}
	g.VEXTRACTF128(operand.U8(1), y, x)
	g.VADDPD(x, y.AsX(), x)
	odd := g.XMM()
	g.VPERMILPD(operand.U8(1), x, odd)
	g.VADDPD(odd, x, x)
	return x
}

// horizontal combines the lanes of m by halving and leaves the result in all of them.
func (g *gen) horizontal(m V, combine func(x, m V)) {
	if g.avx2 {
		t := g.vec()
		g.VPERM2F128(operand.U8(1), m, m, t) // 128-bit halves
		combine(t, m)
	} else {
		for _, swap := range []uint8{0x4e, 0xb1} { // 256-bit halves, then 128-bit quarters
			t := g.vec()
			g.VSHUFF32X4(operand.U8(swap), m, m, t)
			combine(t, m)
		}
	}
	for _, swap := range []uint8{0x4e, 0xb1} { // pairs, then neighbours
		t := g.vec()
		g.VPERMILPS(operand.U8(swap), m, t)
		combine(t, m)
	}
}
