package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// copyRowsAVX2 adds copyRows16AVX2 and copyRows32AVX2,
//
//	func copyRowsWAVX2(dst *float32, src *float32, rowSrc int, rows int, cols int)
//
// which copy rows of cols <= W floats to consecutive rows of W floats in dst, filled up with zeros.
// The stride is in bytes; rows and cols > 0.
func copyRowsAVX2(c *build.Context, masks operand.Mem) {
	for _, vectors := range []int{2, 4} {
		c.Function(fmt.Sprintf("copyRows%dAVX2", 8*vectors))
		c.Attributes(attr.NOSPLIT)
		c.SignatureExpr("func(dst *float32, src *float32, rowSrc int, rows int, cols int)")
		dst, src, rowSrc, rows, cols := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R8
		lanes, tmp, zero, eight := reg.RAX, reg.RBX, reg.R9, reg.R10
		c.Load(c.Param("dst"), dst)
		c.Load(c.Param("src"), src)
		c.Load(c.Param("rowSrc"), rowSrc)
		c.Load(c.Param("rows"), rows)
		c.Load(c.Param("cols"), cols)
		c.XORQ(zero, zero)
		c.MOVQ(operand.U32(8), eight)
		for v := range vectors {
			c.MOVQ(cols, lanes) // those of vector v: cols-8v, at least 0 and at most 8
			c.SUBQ(operand.Imm(uint64(8*v)), lanes)
			c.CMOVQLT(zero, lanes)
			c.CMPQ(lanes, eight)
			c.CMOVQGT(eight, lanes)
			loadLanes(c, masks, lanes, tmp, ymm[8+v])
		}
		c.Label("row")
		for v := range vectors {
			c.VMASKMOVPS(mem(src, 32*v), ymm[8+v], ymm[v])
		}
		for v := range vectors {
			c.VMOVUPS(ymm[v], mem(dst, 32*v))
		}
		c.ADDQ(rowSrc, src)
		c.ADDQ(operand.Imm(uint64(32*vectors)), dst)
		c.DECQ(rows)
		c.JNZ(operand.LabelRef("row"))
		c.VZEROUPPER()
		c.RET()
	}
}

// transpose8AVX2 adds
//
//	func transpose8AVX2(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)
//
// which writes dst[j][i] = src[i][j] for i in [0, 8), j in [0, cols), cols > 0, where rows
// i >= rows count as zero and are not read; rows may be zero or less. Strides are in bytes. It is
// transpose16's interleaving with one round of lane shuffles.
func transpose8AVX2(c *build.Context, masks operand.Mem) {
	c.Function("transpose8AVX2")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst *float32, rowDst int, src *float32, rowSrc int, rows, cols int)")
	dst, rowDst, src, rowSrc, rows, cols := reg.RDI, reg.RSI, reg.RDX, reg.RCX, reg.R8, reg.R9
	at, lanes, eight, tmp := reg.R10, reg.RAX, reg.R11, reg.RBX
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("rowDst"), rowDst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("rowSrc"), rowSrc)
	c.Load(c.Param("rows"), rows)
	c.Load(c.Param("cols"), cols)
	c.MOVQ(operand.U32(8), eight)
	in, mixed := ymm[:8], ymm[8:]
	mask := ymm[15] // until the rows are loaded

	c.Label("block")
	c.MOVQ(cols, lanes)
	c.CMPQ(lanes, eight)
	c.CMOVQGT(eight, lanes)
	loadLanes(c, masks, lanes, tmp, mask)
	for i := range in {
		c.VXORPS(in[i], in[i], in[i])
	}
	c.MOVQ(src, at)
	for i := range in {
		c.CMPQ(rows, operand.Imm(uint64(i)))
		c.JLE(operand.LabelRef("loaded"))
		c.VMASKMOVPS(mem(at, 0), mask, in[i])
		c.ADDQ(rowSrc, at)
	}
	c.Label("loaded")
	shuffle8(c, in, mixed)
	for j := range mixed {
		c.VMOVUPS(mixed[j], mem(dst, 0))
		c.DECQ(cols)
		c.JZ(operand.LabelRef("done"))
		c.ADDQ(rowDst, dst)
	}
	c.ADDQ(operand.Imm(32), src)
	c.JMP(operand.LabelRef("block"))
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}

// shuffle8 transposes the eight registers in into out.
func shuffle8(c *build.Context, in, out []reg.VecPhysical) {
	for i := 0; i < 8; i += 2 {
		c.VUNPCKLPS(in[i+1], in[i], out[i])
		c.VUNPCKHPS(in[i+1], in[i], out[i+1])
	}
	for i := 0; i < 8; i += 4 {
		c.VUNPCKLPD(out[i+2], out[i], in[i])
		c.VUNPCKHPD(out[i+2], out[i], in[i+1])
		c.VUNPCKLPD(out[i+3], out[i+1], in[i+2])
		c.VUNPCKHPD(out[i+3], out[i+1], in[i+3])
	}
	// Lane L of in[4g+j] now holds column 4L+j of rows 4g..4g+3.
	const low, high = 0x20, 0x31
	for j := range 4 {
		c.VPERM2F128(operand.Imm(low), in[4+j], in[j], out[j])
		c.VPERM2F128(operand.Imm(high), in[4+j], in[j], out[4+j])
	}
}

// zipAVX2 adds
//
//	func zip8AVX2(dst, a, b *float32, n int)
//
// which writes dst[2*i] = a[i] and dst[2*i+1] = b[i] for i < n, a multiple of 8 above 0.
func zipAVX2(c *build.Context) {
	c.Function("zip8AVX2")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(dst, a, b *float32, n int)")
	dst, x, y, n := reg.RDI, reg.RSI, reg.RDX, reg.RCX
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("a"), x)
	c.Load(c.Param("b"), y)
	c.Load(c.Param("n"), n)
	c.Label("eight")
	c.VMOVUPS(mem(x, 0), ymm[0])
	c.VMOVUPS(mem(y, 0), ymm[1])
	c.VUNPCKLPS(ymm[1], ymm[0], ymm[2]) // 0 1 of each and 4 5
	c.VUNPCKHPS(ymm[1], ymm[0], ymm[3]) // 2 3 and 6 7
	const low, high = 0x20, 0x31
	c.VPERM2F128(operand.Imm(low), ymm[3], ymm[2], ymm[4])
	c.VPERM2F128(operand.Imm(high), ymm[3], ymm[2], ymm[5])
	c.VMOVUPS(ymm[4], mem(dst, 0))
	c.VMOVUPS(ymm[5], mem(dst, 32))
	c.ADDQ(operand.Imm(32), x)
	c.ADDQ(operand.Imm(32), y)
	c.ADDQ(operand.Imm(64), dst)
	c.SUBQ(operand.Imm(8), n)
	c.JNZ(operand.LabelRef("eight"))
	c.VZEROUPPER()
	c.RET()
}

// avx2Chains is peakChains for sixteen registers.
const avx2Chains = 14

// peakLoopAVX2 adds func fmaLoopAVX2(n int): n > 0 rounds of avx2Chains multiply-adds of 8 floats.
func peakLoopAVX2(c *build.Context) {
	c.Function("fmaLoopAVX2")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(n int)")
	c.Load(c.Param("n"), reg.RCX)
	for _, y := range ymm {
		c.VXORPS(y, y, y)
	}
	c.Label("round")
	for i := range avx2Chains {
		c.VFMADD231PS(ymm[14], ymm[15], ymm[i])
	}
	c.DECQ(reg.RCX)
	c.JNZ(operand.LabelRef("round"))
	c.VZEROUPPER()
	c.RET()
}
