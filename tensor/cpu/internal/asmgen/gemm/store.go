package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// store is the epilogue. C is read only when beta is not zero, so that an uninitialised or
// non-finite C does not leak into a result that overwrites it.
func store(c *build.Context, rows, vectors int, acc func(r, v int) reg.VecPhysical) {
	addressC(c)
	c.VBROADCASTSS(mem(args, argAlpha), bcast[0])
	each(rows, vectors, func(r, v int) { c.VMULPS(bcast[0], acc(r, v), acc(r, v)) })

	c.CMPQ(mem(args, argBias+8), operand.Imm(0))
	c.JEQ(operand.LabelRef("unbiased"))
	c.MOVQ(mem(args, argBias), reg.RAX)
	for v := range vectors {
		c.VMOVUPS_Z(mem(reg.RAX, 64*v), mask[v], rowB[v])
	}
	each(rows, vectors, func(r, v int) { c.VADDPS(rowB[v], acc(r, v), acc(r, v)) })
	c.Label("unbiased")

	c.MOVL(mem(args, argBeta), reg.EAX)
	c.ADDL(reg.EAX, reg.EAX) // drops the sign: zero for 0 and -0
	c.JZ(operand.LabelRef("overwrite"))
	c.VBROADCASTSS(mem(args, argBeta), bcast[1])
	walkC(c, rows, vectors, func(r, v int) {
		c.VFMADD231PS(mem(reg.RAX, 64*v), bcast[1], mask[v], acc(r, v))
	})
	c.Label("overwrite")
	walkC(c, rows, vectors, func(r, v int) { c.VMOVUPS(acc(r, v), mask[v], mem(reg.RAX, 64*v)) })
}

// addressC sets the registers that walkC uses.
func addressC(c *build.Context) {
	c.MOVQ(mem(args, argCOff), startC)
	c.SHLQ(operand.Imm(2), startC)
	c.ADDQ(mem(args, argC), startC)
	floats(c, argRowC, rowC)
	floats(c, argGroupC, groupC)
}

// walkC visits the vectors of the tile of C, with RAX pointing at the row.
func walkC(c *build.Context, rows, vectors int, f func(r, v int)) {
	for r := range rows {
		switch {
		case r == 0:
			c.MOVQ(startC, group)
			c.MOVQ(group, reg.RAX)
		case r%4 == 0:
			c.ADDQ(groupC, group)
			c.MOVQ(group, reg.RAX)
		default:
			c.ADDQ(rowC, reg.RAX)
		}
		for v := range vectors {
			f(r, v)
		}
	}
}

func each(rows, vectors int, f func(r, v int)) {
	for r := range rows {
		for v := range vectors {
			f(r, v)
		}
	}
}
