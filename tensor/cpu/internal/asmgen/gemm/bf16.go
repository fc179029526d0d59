package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bf16 adds everything in bfloat16: the tile kernels, whose elements of A and B are pairs, those
// for three taps, the loop that measures their peak, and what makes pairs of float32s.
func bf16(c *build.Context) {
	kernels(c, pairs)
	tapKernels(c, pairs)
	peakLoop(c, "dotLoop", pairs)
	roundRows(c)
	pairRows(c)
}

// roundRows adds
//
//	func roundRows(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)
//
// which rounds rows > 0 rows of cols > 0 floats to bfloat16, two to a lane of dst; of an odd number
// the last has zero beside it. Strides are in bytes.
func roundRows(c *build.Context) {
	c.Function("roundRows")
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)")
	dst, rowDst, src, rowSrc, rows := reg.RDI, reg.RSI, reg.RDX, reg.R8, reg.R9
	tail, blocks, to, from, left := reg.R10, reg.R11, reg.R12, reg.R13, reg.RBX
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("rowDst"), rowDst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("cols"), blocks)
	in32s(c, blocks, tail)
	ones(c)
	halves(c, reg.K1, reg.K2)
	c.INCQ(reg.RCX)
	c.SHRQ(operand.Imm(1), reg.RCX)
	ones(c)
	c.KMOVW(reg.EAX, reg.K3)

	rowsOf32(c, rows, blocks, tail, left, rowParts{
		start: func() { c.MOVQ(dst, to); c.MOVQ(src, from) },
		block: func() {
			c.VMOVUPS(mem(from, 0), zmm[0])
			c.VMOVUPS(mem(from, 64), zmm[1])
			vcvtne2ps2bf16.registers(c, zmm[0], zmm[1], zmm[2])
			c.VMOVUPS(zmm[2], mem(to, 0))
			c.ADDQ(operand.Imm(128), from)
			c.ADDQ(operand.Imm(64), to)
		},
		rest: func() {
			c.VMOVUPS_Z(mem(from, 0), reg.K1, zmm[0])
			c.VMOVUPS_Z(mem(from, 64), reg.K2, zmm[1])
			vcvtne2ps2bf16.registers(c, zmm[0], zmm[1], zmm[2])
			c.VMOVUPS(zmm[2], reg.K3, mem(to, 0))
		},
		next: func() { c.ADDQ(rowDst, dst); c.ADDQ(rowSrc, src) },
	})
}

// rowParts is what rowsOf32 does: where a row begins, for every 32 floats of it, for those that are
// left over, and behind it.
type rowParts struct{ start, block, rest, next func() }

// rowsOf32 ends a kernel with a loop over rows > 0 rows of blocks times 32 floats and tail more.
func rowsOf32(c *build.Context, rows, blocks, tail, left reg.Register, do rowParts) {
	c.Label("row")
	do.start()
	c.MOVQ(blocks, left)
	c.TESTQ(left, left)
	c.JZ(operand.LabelRef("tail"))
	c.Label("block")
	do.block()
	c.DECQ(left)
	c.JNZ(operand.LabelRef("block"))
	c.Label("tail")
	c.TESTQ(tail, tail)
	c.JZ(operand.LabelRef("next"))
	do.rest()
	c.Label("next")
	do.next()
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// in32s turns a number of floats into blocks of 32 and what is left over, tail, which RCX has, too.
func in32s(c *build.Context, blocks, tail reg.Register) {
	c.MOVQ(blocks, tail)
	c.ANDQ(operand.Imm(31), tail)
	c.SHRQ(operand.Imm(5), blocks)
	c.MOVQ(tail, reg.RCX)
}

// ones sets the lowest CL bits of EAX.
func ones(c *build.Context) {
	c.MOVL(operand.U32(1), reg.EAX)
	c.SHLL(reg.CL, reg.EAX)
	c.DECL(reg.EAX)
}

// pairRows adds
//
//	func pairRows(dst *float32, rowDst int, a, b *float32, rowSrc int, rows, cols int, both int32)
//
// which rounds rows > 0 rows of cols > 0 floats of a and of b, rowSrc bytes apart in both, to
// bfloat16, and writes them as rows of cols lanes, rowDst bytes apart: a's in the lower half of a
// lane, b's in the upper. If both is 0, b counts as zero and is not read, and if it is −1 it is
// read.
func pairRows(c *build.Context) {
	order := c.StaticGlobal("interleave") // of two halves of sixteen words
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		c.AppendDatum(operand.U32(i | (16+i)<<16))
	}
	c.Function("pairRows")
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr(
		"func(dst *float32, rowDst int, a, b *float32, rowSrc int, rows, cols int, both int32)")
	dst, rowDst, a, b, rowSrc, rows := reg.RDI, reg.RSI, reg.RDX, reg.R8, reg.R9, reg.R10
	blocks, tail, to, at, left := reg.R11, reg.R12, reg.RBX, reg.R13, reg.RCX
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("rowDst"), rowDst)
	c.Load(c.Param("a"), a)
	c.Load(c.Param("b"), b)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("cols"), blocks)
	in32s(c, blocks, tail)
	ones(c)
	halves(c, reg.K1, reg.K2) // of the tail of a and of what is stored
	ones(c)
	c.ANDL(operand.NewParamAddr("both", 56), reg.EAX)
	halves(c, reg.K3, reg.K4) // of the tail of b
	c.MOVL(operand.NewParamAddr("both", 56), reg.EAX)
	c.KMOVW(reg.EAX, reg.K5)
	c.VMOVUPS(order, zmm[31])
	from := func(p reg.GPPhysical, disp int) operand.Mem {
		return operand.Mem{Base: p, Index: at, Scale: 1, Disp: disp}
	}
	pair := func(v int) {
		vcvtne2ps2bf16.registers(c, zmm[2*v], zmm[2*v+1], zmm[4+v])
		c.VPERMW(zmm[4+v], zmm[31], zmm[4+v])
	}
	rowsOf32(c, rows, blocks, tail, left, rowParts{
		start: func() { c.MOVQ(dst, to); c.XORQ(at, at) },
		block: func() {
			for v := range 2 {
				c.VMOVUPS(from(a, 64*v), zmm[2*v])
				c.VMOVUPS_Z(from(b, 64*v), reg.K5, zmm[2*v+1])
			}
			for v := range 2 {
				pair(v)
				c.VMOVUPS(zmm[4+v], mem(to, 64*v))
			}
			c.ADDQ(operand.Imm(128), at)
			c.ADDQ(operand.Imm(128), to)
		},
		rest: func() {
			for v, k := range [2][2]reg.Physical{{reg.K1, reg.K3}, {reg.K2, reg.K4}} {
				c.VMOVUPS_Z(from(a, 64*v), k[0], zmm[2*v])
				c.VMOVUPS_Z(from(b, 64*v), k[1], zmm[2*v+1])
				pair(v)
				c.VMOVUPS(zmm[4+v], k[0], mem(to, 64*v))
			}
		},
		next: func() { c.ADDQ(rowDst, dst); c.ADDQ(rowSrc, a); c.ADDQ(rowSrc, b) },
	})
}

// halves moves the lower 32 bits of EAX into two mask registers.
func halves(c *build.Context, low, high reg.Physical) {
	c.KMOVW(reg.EAX, low)
	c.SHRL(operand.Imm(16), reg.EAX)
	c.KMOVW(reg.EAX, high)
}
