package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// AVX2 has 16 registers of 8 numbers, no masks and no broadcast inside an instruction. The tile of
// the drivers, up to 14 rows by 32 columns, is therefore computed in parts (micro's mulAVX2): up
// to 6 rows by 16 columns, which takes 12 accumulators, two registers for a row of B and one for
// an element of A, and leaves one for the mask of a last vector that is not whole.

// An avx2Shape is a family of kernels, one for each number of rows.
type avx2Shape struct {
	rows, vectors int  // the most rows; registers of columns
	tail          bool // the last vector has only the first lanes columns
}

// avx2Shapes are the families in the order that micro's mulAVX2 numbers them. Eight columns have
// one accumulator a row, so more rows are needed to fill the pipeline.
var avx2Shapes = []avx2Shape{{6, 2, false}, {6, 2, true}, {8, 1, true}}

// Byte offsets in micro.part; a test compares them with the type.
const (
	partA     = 0
	partB     = 8
	partC     = 16
	partBias  = 24
	partSkips = 32
	partLanes = 40
)

// part is the register that points at it; the others are kernel.go's.
var part = reg.R14

var ymm = [16]reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

// An avx2Kernel is one member of a family while it is being emitted.
type avx2Kernel struct {
	*build.Context
	rows, vectors int
	tail          bool
	rowB          []reg.VecPhysical // one row of B, later the bias
	bcast, lanes  reg.VecPhysical   // an element of A, later alpha and beta; the tail's mask
}

func (s avx2Shape) name(rows int) string {
	tail := ""
	if s.tail {
		tail = "Tail"
	}
	return fmt.Sprintf("mul%dx%d%sAVX2", rows, 8*s.vectors, tail)
}

// avx2 adds every AVX2 function of package micro.
func avx2(c *build.Context) {
	masks := laneMasks(c)
	for _, s := range avx2Shapes {
		for rows := 1; rows <= s.rows; rows++ {
			t := &avx2Kernel{c, rows, s.vectors, s.tail, ymm[12 : 12+s.vectors], ymm[14], ymm[15]}
			t.emit(s.name(rows), masks)
		}
	}
	copyRowsAVX2(c, masks)
	transpose8AVX2(c, masks)
	zipAVX2(c)
	peakLoopAVX2(c)
}

// laneMasks adds a table whose eight words from word 8-n on are the mask of the first n lanes.
func laneMasks(c *build.Context) operand.Mem {
	m := c.StaticGlobal("laneMasks")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		ones := operand.U32(0)
		if i < 8 {
			ones = 0xffffffff
		}
		c.AddDatum(4*i, ones)
	}
	return m
}

// loadLanes loads the mask of the first n lanes and overwrites n.
func loadLanes(c *build.Context, masks operand.Mem, n, tmp reg.GPPhysical, to reg.VecPhysical) {
	c.LEAQ(masks.Offset(32), tmp)
	c.SHLQ(operand.Imm(2), n)
	c.SUBQ(n, tmp)
	c.VMOVUPS(mem(tmp, 0), to)
}

func (t *avx2Kernel) acc(r, v int) reg.VecPhysical { return ymm[r*t.vectors+v] }

// partial says whether vector v has only some of its lanes.
func (t *avx2Kernel) partial(v int) bool { return t.tail && v == t.vectors-1 }

// emit adds the function. It is kernel.go's, for a part of a tile: where the part begins and
// whether the tile's first and last row are in it comes in a second argument.
func (t *avx2Kernel) emit(name string, masks operand.Mem) {
	t.Function(name)
	t.Attributes(attr.NOSPLIT)
	t.SignatureExpr("func(tile, p *byte)")
	t.MOVQ(operand.NewParamAddr("tile", 0), args)
	t.MOVQ(operand.NewParamAddr("p", 8), part)
	if t.tail {
		t.MOVQ(mem(part, partLanes), reg.RAX)
		loadLanes(t.Context, masks, reg.RAX, reg.RBX, t.lanes)
	}
	each(t.rows, t.vectors, func(r, v int) { t.VXORPS(t.acc(r, v), t.acc(r, v), t.acc(r, v)) })
	t.addressC()
	walkC(t.Context, t.rows, 1, func(int, int) { t.PREFETCHT0(mem(reg.RAX, 0)) })
	t.MOVQ(mem(args, argSegs), seg)
	t.MOVQ(mem(args, argSegs+8), segsLeft)
	t.TESTQ(segsLeft, segsLeft)
	t.JZ(operand.LabelRef("store"))
	floats(t.Context, argRowA, rowA)
	t.LEAQ(operand.Mem{Base: rowA, Index: rowA, Scale: 2}, rowA3)
	floats(t.Context, argStepA, stepA)
	floats(t.Context, argStepB, stepB)

	t.Label("segment")
	t.beginSegment()
	t.MOVQ(mem(seg, segSkip), reg.R11)
	t.ANDQ(mem(part, partSkips), reg.R11)
	t.CMPQ(reg.R11, operand.Imm(1))
	t.MOVQ(mem(seg, segK), k)
	t.JEQ(operand.LabelRef("skipFirst"))
	t.JA(operand.LabelRef("skipLast"))
	t.multiply("all", 0, t.rows)
	t.Label("next")
	t.ADDQ(operand.Imm(segSize), seg)
	t.DECQ(segsLeft)
	t.JNZ(operand.LabelRef("segment"))
	t.JMP(operand.LabelRef("store"))
	t.multiply("skipFirst", 1, t.rows)
	t.JMP(operand.LabelRef("next"))
	t.multiply("skipLast", 0, t.rows-1)
	t.JMP(operand.LabelRef("next"))

	t.Label("store")
	t.store()
	t.VZEROUPPER()
	t.RET()
}

// beginSegment sets the pointers to the segment's first elements.
func (t *avx2Kernel) beginSegment() {
	t.MOVQ(mem(seg, segA), a[0])
	t.SHLQ(operand.Imm(2), a[0])
	t.ADDQ(mem(part, partA), a[0])
	t.ADDQ(mem(args, argA), a[0])
	if t.rows > 4 {
		floats(t.Context, argGroupA, a[1])
		t.ADDQ(a[0], a[1])
	}
	t.MOVQ(mem(seg, segB), b)
	t.SHLQ(operand.Imm(2), b)
	t.ADDQ(mem(part, partB), b)
	t.ADDQ(mem(args, argB), b)
}

// multiply is the inner loop for rows first..last-1, of which there may be none. Whole vectors take
// two steps at a time: processors that decode four instructions a cycle have none to spare.
func (t *avx2Kernel) multiply(label string, first, last int) {
	t.Label(label)
	switch {
	case first >= last:
	case t.tail:
		t.step(first, last)
		t.DECQ(k)
		t.JNZ(operand.LabelRef(label))
	default:
		t.SUBQ(operand.Imm(2), k)
		t.JL(operand.LabelRef(label + "One"))
		t.Label(label + "Two")
		t.step(first, last)
		t.step(first, last)
		t.SUBQ(operand.Imm(2), k)
		t.JGE(operand.LabelRef(label + "Two"))
		t.Label(label + "One")
		t.ADDQ(operand.Imm(2), k)
		t.JZ(operand.LabelRef(label + "Done"))
		t.step(first, last)
		t.Label(label + "Done")
	}
}

// step adds the products of one element of each row of A and one row of B.
func (t *avx2Kernel) step(first, last int) {
	for v := range t.vectors {
		t.load(mem(b, 32*v), v, t.rowB[v])
	}
	t.ADDQ(stepB, b)
	for r := first; r < last; r++ {
		t.VBROADCASTSS(elementA(r), t.bcast)
		for v := range t.vectors {
			t.VFMADD231PS(t.rowB[v], t.bcast, t.acc(r, v))
		}
	}
	for g := 0; 4*g < last; g++ {
		t.ADDQ(stepA, a[g])
	}
}

// load reads vector v of a row of columns.
func (t *avx2Kernel) load(from operand.Mem, v int, to reg.VecPhysical) {
	if t.partial(v) {
		t.VMASKMOVPS(from, t.lanes, to)
		return
	}
	t.VMOVUPS(from, to)
}

// store is store.go's epilogue for a part of a tile.
func (t *avx2Kernel) store() {
	t.addressC()
	t.VBROADCASTSS(mem(args, argAlpha), t.bcast)
	each(t.rows, t.vectors, func(r, v int) { t.VMULPS(t.bcast, t.acc(r, v), t.acc(r, v)) })

	t.CMPQ(mem(args, argBias+8), operand.Imm(0))
	t.JEQ(operand.LabelRef("unbiased"))
	t.MOVQ(mem(args, argBias), reg.RAX)
	t.ADDQ(mem(part, partBias), reg.RAX)
	for v := range t.vectors {
		t.load(mem(reg.RAX, 32*v), v, t.rowB[v])
	}
	each(t.rows, t.vectors, func(r, v int) { t.VADDPS(t.rowB[v], t.acc(r, v), t.acc(r, v)) })
	t.Label("unbiased")

	t.MOVL(mem(args, argBeta), reg.EAX)
	t.ADDL(reg.EAX, reg.EAX) // drops the sign: zero for 0 and -0
	t.JZ(operand.LabelRef("overwrite"))
	t.VBROADCASTSS(mem(args, argBeta), t.bcast)
	walkC(t.Context, t.rows, t.vectors, func(r, v int) {
		t.load(mem(reg.RAX, 32*v), v, t.rowB[v])
		t.VFMADD231PS(t.rowB[v], t.bcast, t.acc(r, v))
	})
	t.Label("overwrite")
	walkC(t.Context, t.rows, t.vectors, func(r, v int) {
		if t.partial(v) {
			t.VMASKMOVPS(t.acc(r, v), t.lanes, mem(reg.RAX, 32*v))
			return
		}
		t.VMOVUPS(t.acc(r, v), mem(reg.RAX, 32*v))
	})
}

// addressC sets the registers that walkC uses.
func (t *avx2Kernel) addressC() {
	t.MOVQ(mem(part, partC), startC)
	t.ADDQ(mem(args, argC), startC)
	floats(t.Context, argRowC, rowC)
	floats(t.Context, argGroupC, groupC)
}
