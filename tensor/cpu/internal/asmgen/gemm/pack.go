package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packing adds the kernels that move data without computing.
func packing(c *build.Context) {
	transpose16(c)
	copyRows(c)
	prefetchRows(c)
}

// transpose16 adds
//
//	func transpose16(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)
//
// which writes dst[j][i] = src[i][j] for i in [0, 16), j in [0, cols), cols <= 16, where rows
// i >= rows (rows <= 16) count as zero and are not read. Strides are in bytes.
//
// Sixteen registers hold the rows. Interleaving pairs of rows, then pairs of pairs, leaves in each
// 128-bit lane four rows of one column; two rounds of lane shuffles put the lanes together.
func transpose16(c *build.Context) {
	c.Function("transpose16")
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)")
	dst, rowDst, src, rowSrc, rows, cols := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R8, reg.R9
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("rowDst"), rowDst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("cols"), reg.RCX)
	c.MOVQ(reg.RCX, cols)
	c.MOVL(operand.U32(1), reg.EAX)
	c.SHLL(reg.CL, reg.EAX)
	c.DECL(reg.EAX)
	c.KMOVW(reg.EAX, reg.K1)
	c.Load(c.Param("rowSrc"), rowSrc)
	in, tmp := zmm[:16], zmm[16:]
	for i := range 16 {
		c.VPXORD(in[i], in[i], in[i])
	}
	for i := range 16 {
		c.CMPQ(rows, operand.Imm(uint64(i)))
		c.JLE(operand.LabelRef("loaded"))
		c.VMOVUPS_Z(mem(src, 0), reg.K1, in[i])
		c.ADDQ(rowSrc, src)
	}
	c.Label("loaded")
	shuffle(c, in, tmp)
	for j := range 16 {
		c.VMOVUPS(in[j], mem(dst, 0))
		if j < 15 {
			c.CMPQ(cols, operand.Imm(uint64(j+1)))
			c.JLE(operand.LabelRef("stored"))
			c.ADDQ(rowDst, dst)
		}
	}
	c.Label("stored")
	c.VZEROUPPER()
	c.RET()
}

// shuffle transposes sixteen registers.
func shuffle(c *build.Context, in, tmp []reg.VecPhysical) {
	for i := 0; i < 16; i += 2 {
		c.VUNPCKLPS(in[i+1], in[i], tmp[i])
		c.VUNPCKHPS(in[i+1], in[i], tmp[i+1])
	}
	for i := 0; i < 16; i += 4 {
		c.VUNPCKLPD(tmp[i+2], tmp[i], in[i])
		c.VUNPCKHPD(tmp[i+2], tmp[i], in[i+1])
		c.VUNPCKLPD(tmp[i+3], tmp[i+1], in[i+2])
		c.VUNPCKHPD(tmp[i+3], tmp[i+1], in[i+3])
	}
	// Lane L of in[4g+j] now holds column 4L+j of rows 4g..4g+3.
	const even, odd = 0x88, 0xdd // lanes 0 and 2 of both operands, or 1 and 3
	for j := range 4 {
		c.VSHUFF32X4(operand.Imm(even), in[4+j], in[j], tmp[j])
		c.VSHUFF32X4(operand.Imm(odd), in[4+j], in[j], tmp[4+j])
		c.VSHUFF32X4(operand.Imm(even), in[12+j], in[8+j], tmp[8+j])
		c.VSHUFF32X4(operand.Imm(odd), in[12+j], in[8+j], tmp[12+j])
	}
	for j := range 4 {
		c.VSHUFF32X4(operand.Imm(even), tmp[8+j], tmp[j], in[j])
		c.VSHUFF32X4(operand.Imm(even), tmp[12+j], tmp[4+j], in[4+j])
		c.VSHUFF32X4(operand.Imm(odd), tmp[8+j], tmp[j], in[8+j])
		c.VSHUFF32X4(operand.Imm(odd), tmp[12+j], tmp[4+j], in[12+j])
	}
}

// copyRows adds copyRows16 and copyRows32,
//
//	func copyRowsW(dst *float32, src *float32, rowSrc int, rows int, mask int)
//
// which copy rows of W floats to consecutive rows of dst, zero where the mask has no bit (there
// the source is not read). The stride is in bytes; rows > 0.
func copyRows(c *build.Context) {
	for _, vectors := range []int{1, 2} {
		c.Function(fmt.Sprintf("copyRows%d", 16*vectors))
		c.Attributes(4) // NOSPLIT
		c.SignatureExpr("func(dst *float32, src *float32, rowSrc int, rows int, mask int)")
		dst, src, rowSrc, rows := reg.RDI, reg.RSI, reg.RDX, reg.RCX
		c.Load(c.Param("dst"), dst)
		c.Load(c.Param("src"), src)
		c.Load(c.Param("rowSrc"), rowSrc)
		c.Load(c.Param("rows"), rows)
		c.Load(c.Param("mask"), reg.RAX)
		c.KMOVW(reg.EAX, mask[0])
		c.SHRL(operand.Imm(16), reg.EAX)
		c.KMOVW(reg.EAX, mask[1])
		c.Label("row")
		for v := range vectors {
			c.VMOVUPS_Z(mem(src, 64*v), mask[v], zmm[v])
		}
		for v := range vectors {
			c.VMOVUPS(zmm[v], mem(dst, 64*v))
		}
		c.ADDQ(rowSrc, src)
		c.ADDQ(operand.Imm(uint64(64*vectors)), dst)
		c.DECQ(rows)
		c.JNZ(operand.LabelRef("row"))
		c.VZEROUPPER()
		c.RET()
	}
}

// prefetchRows adds
//
//	func prefetchRows(src *float32, rowSrc int, rows, lines int)
//
// which asks for lines > 0 cache lines from the start of each of rows > 0 rows to be brought into
// the second-level cache. The stride is in bytes.
func prefetchRows(c *build.Context) {
	c.Function("prefetchRows")
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(src *float32, rowSrc int, rows, lines int)")
	src, rowSrc, rows, lines, at, left := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.RAX, reg.RBX
	c.Load(c.Param("src"), src)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("lines"), lines)
	c.Label("row")
	c.MOVQ(src, at)
	c.MOVQ(lines, left)
	c.Label("line")
	c.PREFETCHT1(mem(at, 0))
	c.ADDQ(operand.Imm(64), at)
	c.DECQ(left)
	c.JNZ(operand.LabelRef("line"))
	c.ADDQ(rowSrc, src)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("row"))
	c.RET()
}
