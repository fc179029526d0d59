package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An evex is a 512-bit instruction of three operands that neither avo nor the Go assembler knows.
// It is written as bytes, in the format of Intel's manual (volume 2, section 2.7): a prefix of
// four, the opcode, and one or two that name operands. The map of opcodes is 0F 38, W is 0.
type evex struct {
	pp     byte // the implied prefix: 2 for F3, 3 for F2
	opcode byte
}

// The instructions of AVX512_BF16 that are used here.
var (
	// vdpbf16ps adds to each 32-bit lane of r the two products of the bfloat16 halves of v and m.
	vdpbf16ps = evex{2, 0x52}
	// vcvtne2ps2bf16 rounds the lanes of m to the lower half of r and those of v to the upper.
	vcvtne2ps2bf16 = evex{3, 0x72}
)

// registers emits the form with three registers, in the assembler's order: the destination last.
func (e evex) registers(c *build.Context, m, v, r reg.VecPhysical) {
	n := number(m)
	e.emit(c, 0, n>>4, n>>3, v, r, 0xc0|n&7)
}

// broadcast emits the form whose m is one 32-bit number in memory, for all lanes.
func (e evex) broadcast(c *build.Context, m operand.Mem, v, r reg.VecPhysical) {
	base := index(m.Base)
	if m.Disp != 0 || base&7 == 4 || base&7 == 5 {
		panic(fmt.Sprintf("evex: %v needs an encoding that is not here", m.Asm()))
	}
	const bcst = 1 << 4
	if m.Index == nil {
		e.emit(c, bcst, 0, base>>3, v, r, base&7)
		return
	}
	scale := map[uint8]byte{1: 0, 2: 1, 4: 2, 8: 3}[m.Scale]
	i := index(m.Index)
	e.emit(c, bcst, i>>3, base>>3, v, r, 4, scale<<6|i&7<<3|base&7)
}

// emit writes the instruction: x and b extend the operand m, whose bytes and r's number follow the
// opcode.
func (e evex) emit(c *build.Context, bcst, x, b byte, v, r reg.VecPhysical, modrm ...byte) {
	nr, nv := number(r), number(v)
	not := func(bit byte) byte { return ^bit & 1 }
	p0 := not(nr>>3)<<7 | not(x)<<6 | not(b)<<5 | not(nr>>4)<<4 | 2
	p1 := ^nv&15<<3 | 1<<2 | e.pp
	p2 := 2<<5 | bcst | not(nv>>4)<<3
	modrm[0] |= nr & 7 << 3
	write(c, append([]byte{0x62, p0, p1, p2, e.opcode}, modrm...))
}

// write emits six or seven bytes.
func write(c *build.Context, b []byte) {
	at := func(i int) uint32 { return uint32(b[i]) }
	directive := func(name string, value operand.Op) {
		c.Instruction(&ir.Instruction{Opcode: name, Operands: []operand.Op{value},
			ISA: []string{"AVX512BF16"}})
	}
	directive("LONG", operand.U32(at(0)|at(1)<<8|at(2)<<16|at(3)<<24))
	directive("WORD", operand.U16(at(4)|at(5)<<8))
	if len(b) == 7 {
		directive("BYTE", operand.U8(at(6)))
	}
}

func number(r reg.VecPhysical) byte { return byte(r.PhysicalIndex()) }

func index(r reg.Register) byte { return byte(r.(reg.GPPhysical).PhysicalIndex()) }
