package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Registers of the kernels for three taps. Two sums for each row, 28 registers at most, leave three
// for the taps' rows of B and one for an element of A.
var (
	tapB    = ahead
	tapRows = zmm[28:31]
	element = zmm[31]
)

func tapsName(rows int) string { return fmt.Sprintf("dotTaps%dx16", rows) }

// tapKernels adds the kernels of every number of rows for three taps at once: for every segment and
// every k in it,
//
//	acc[r][:] += A[segment + r + tap + k] * B[segment + tap + k][:] for tap = 0, 1, 2
//
// where row r+tap of A is read once for up to three rows of the result. A sum has two accumulators,
// the second for the middle tap, so that few rows, too, keep the instruction busy. Segments leave
// out the first or the last row of A, the pixels outside the image.
func tapKernels(c *build.Context, p product) {
	for rows := 1; rows <= maxRows; rows++ {
		tapKernel(c, p, rows)
	}
}

func tapKernel(c *build.Context, p product, rows int) {
	acc := begin(c, tapsName(rows), rows, 2)
	floats(c, argTapB, tapB)
	c.MOVQ(mem(args, argSegs+8), segsLeft)
	c.TESTQ(segsLeft, segsLeft)
	c.JZ(operand.LabelRef("store"))

	c.Label("segment")
	c.CMPQ(segsLeft, mem(args, argAskC))
	c.JNE(operand.LabelRef("asked"))
	addressC(c)
	walkC(c, rows, 1, func(r, v int) { c.PREFETCHT0(mem(reg.RAX, 0)) })
	c.Label("asked")
	beginSegment(c, rows+2)
	c.CMPQ(mem(seg, segSkip), operand.Imm(1))
	c.MOVQ(mem(seg, segK), k)
	c.JEQ(operand.LabelRef("skipFirst"))
	c.JA(operand.LabelRef("skipLast"))
	multiplyTaps(c, p, "all", 0, rows+2, rows, acc)
	c.Label("next")
	c.ADDQ(operand.Imm(segSize), seg)
	c.DECQ(segsLeft)
	c.JNZ(operand.LabelRef("segment"))
	c.JMP(operand.LabelRef("store"))
	multiplyTaps(c, p, "skipFirst", 1, rows+2, rows, acc)
	c.JMP(operand.LabelRef("next"))
	multiplyTaps(c, p, "skipLast", 0, rows+1, rows, acc)
	c.JMP(operand.LabelRef("next"))

	c.Label("store")
	for r := range rows {
		c.VADDPS(acc(r, 1), acc(r, 0), acc(r, 0))
	}
	store(c, rows, 1, func(r, _ int) reg.VecPhysical { return acc(r, 0) })
	c.VZEROUPPER()
	c.RET()
}

// multiplyTaps is the inner loop for rows first..last-1 of A.
func multiplyTaps(c *build.Context, p product, label string, first, last, rows int,
	acc func(r, v int) reg.VecPhysical) {
	c.Label(label)
	c.VMOVUPS_Z(mem(b, 0), mask[0], tapRows[0])
	c.VMOVUPS_Z(operand.Mem{Base: b, Index: tapB, Scale: 1}, mask[0], tapRows[1])
	c.VMOVUPS_Z(operand.Mem{Base: b, Index: tapB, Scale: 2}, mask[0], tapRows[2])
	c.ADDQ(stepB, b)
	for r := first; r < last; r++ {
		c.VBROADCASTSS(elementA(r), element)
		for tap, row := range tapRows {
			if to := r - tap; 0 <= to && to < rows {
				p.registers(c, row, element, acc(to, tap%2))
			}
		}
	}
	for g := 0; 4*g < last; g++ {
		c.ADDQ(stepA, a[g])
	}
	c.DECQ(k)
	c.JNZ(operand.LabelRef(label))
}
