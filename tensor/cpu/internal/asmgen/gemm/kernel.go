package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The largest tile: 14 rows by 2 registers of 16 columns uses 28 accumulators, 2 registers for a
// row of B and 2 for broadcast elements of A: all 32.
const (
	maxRows    = 14
	maxVectors = 2
)

// Byte offsets in micro.Args and micro.Seg; a test in package micro compares them with the types.
const (
	argA      = 0
	argB      = 24
	argC      = 48
	argSegs   = 72
	argBias   = 96
	argAOff   = 120
	argBOff   = 128
	argCOff   = 136
	argRowA   = 144
	argGroupA = 152
	argStepA  = 160
	argStepB  = 168
	argRowC   = 176
	argGroupC = 184
	argAlpha  = 208
	argBeta   = 212
	argMask   = 216

	argAheadStep = 224 // in bytes
	argAheadJump = 232 // in bytes
	argAskC      = 240
	argAhead     = 264
	argPanel     = 288
	argTapB      = 312

	segA    = 0
	segB    = 8
	segK    = 16
	segSkip = 24
	segSize = 32
)

// Registers. Everything is assigned by hand: with all 32 vector registers in use there is nothing
// for an allocator to decide.
var (
	args     = reg.RDI
	seg      = reg.RSI
	segsLeft = reg.RDX
	a        = [4]reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11} // rows 0, 4, 8, 12 of A
	rowA     = reg.R12
	rowA3    = reg.R13
	stepA    = reg.RBX
	b        = reg.RCX
	stepB    = reg.R15
	k        = reg.RAX // also a temporary while a segment begins
	startC   = reg.R8  // the pointers into C share registers with those into A
	rowC     = reg.R9
	groupC   = reg.R10
	group    = reg.R11
	ahead    = reg.R14  // of the Go runtime only between Go functions
	copied   = seg      // where a copying kernel, which has but one segment, writes its rows of B,
	farAhead = segsLeft // and what it asks for besides
	mask     = [2]reg.Physical{reg.K1, reg.K2}
	zmm      = [32]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	rowB  = zmm[28:30] // one row of B, later the bias
	bcast = zmm[30:32] // elements of A in all lanes, later alpha and beta
)

// A product is the instruction that multiplies an element of A with those of a row of B and adds
// to the accumulators, acc += a*b, with a in all lanes of a register or in memory.
type product struct {
	prefix    string // of the kernels' names
	copies    bool   // there are kernels that copy B
	registers func(c *build.Context, b, a, acc reg.VecPhysical)
	broadcast func(c *build.Context, a operand.Mem, b, acc reg.VecPhysical)
}

var (
	// floats32 multiplies float32s.
	floats32 = product{"mul", true,
		func(c *build.Context, b, a, acc reg.VecPhysical) { c.VFMADD231PS(b, a, acc) },
		func(c *build.Context, a operand.Mem, b, acc reg.VecPhysical) {
			c.VFMADD231PS_BCST(a, b, acc)
		}}
	// pairs multiplies pairs of bfloat16s and adds both products.
	pairs = product{"dot", false, func(c *build.Context, b, a, acc reg.VecPhysical) {
		vdpbf16ps.registers(c, b, a, acc)
	}, func(c *build.Context, a operand.Mem, b, acc reg.VecPhysical) {
		vdpbf16ps.broadcast(c, a, b, acc)
	}}
)

func (p product) kernelName(rows, vectors int) string {
	return fmt.Sprintf("%s%dx%d", p.prefix, rows, 16*vectors)
}

func (p product) copyingName(rows int) string {
	return fmt.Sprintf("%sCopy%dx%d", p.prefix, rows, 16*maxVectors)
}

// kernels adds every tile shape.
func kernels(c *build.Context, p product) {
	for rows := 1; rows <= maxRows; rows++ {
		for v := 1; v <= maxVectors; v++ {
			kernel(c, p, rows, v)
		}
		if p.copies {
			copying(c, p, rows)
		}
	}
}

// kernel adds one member of the family: for every segment and every k in it,
//
//	acc[r][:] += A[segment + r + k] * B[segment + k][:]
//
// with the whole accumulator tile in registers, and at the end C = alpha*acc + bias + beta*C.
// A segment comes with the rows it leaves out (none, the first or the last: the pixels whose tap
// falls into the padding at a border), so there are three copies of the inner loop, and a fourth
// for all rows of a tile of full width: loads of B under a mask cost about half a percent of a
// product, though in the first-level cache they are as fast as others.
func kernel(c *build.Context, p product, rows, vectors int) {
	acc := begin(c, p.kernelName(rows, vectors), rows, vectors)
	c.MOVQ(mem(args, argSegs+8), segsLeft)
	c.TESTQ(segsLeft, segsLeft)
	c.JZ(operand.LabelRef("store"))
	if vectors > 1 {
		c.MOVQ(mem(args, argAhead), ahead)
		c.TESTQ(ahead, ahead)
		c.CMOVQEQ(mem(args, argC), ahead) // nothing: the same line over and over
	}

	c.Label("segment")
	// C: at the beginning, or in the midst of the sum, when the tile's first misses are over.
	c.CMPQ(segsLeft, mem(args, argAskC))
	c.JNE(operand.LabelRef("asked"))
	addressC(c)
	walkC(c, rows, vectors, func(r, v int) { c.PREFETCHT0(mem(reg.RAX, 64*v)) })
	c.Label("asked")
	beginSegment(c, rows)
	if rows > 1 {
		c.CMPQ(mem(seg, segSkip), operand.Imm(1))
		c.MOVQ(mem(seg, segK), k)
		c.JEQ(operand.LabelRef("skipFirst"))
		c.JA(operand.LabelRef("skipLast"))
	} else {
		c.MOVQ(mem(seg, segK), k)
	}
	if vectors == maxVectors {
		c.CMPL(mem(args, argMask), operand.I8(-1))
		c.JNE(operand.LabelRef("all"))
		multiply(c, p, loop{"whole", 0, rows, vectors, false}, acc, lookAhead)
		c.JMP(operand.LabelRef("next"))
	}
	multiply(c, p, loop{"all", 0, rows, vectors, true}, acc, lookAhead)
	c.Label("next")
	if vectors > 1 {
		c.ADDQ(mem(args, argAheadJump), ahead)
	}
	c.ADDQ(operand.Imm(segSize), seg)
	c.DECQ(segsLeft)
	c.JNZ(operand.LabelRef("segment"))
	c.JMP(operand.LabelRef("store"))
	if rows > 1 {
		multiply(c, p, loop{"skipFirst", 1, rows, vectors, true}, acc, lookAhead)
		c.JMP(operand.LabelRef("next"))
		multiply(c, p, loop{"skipLast", 0, rows - 1, vectors, true}, acc, lookAhead)
		c.JMP(operand.LabelRef("next"))
	}

	c.Label("store")
	store(c, rows, vectors, acc)
	c.VZEROUPPER()
	c.RET()
}

// begin starts a kernel: what all segments share, and accumulators at zero.
func begin(c *build.Context, name string, rows, vectors int) (acc func(r, v int) reg.VecPhysical) {
	c.Function(name)
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(tile *byte)")
	acc = func(r, v int) reg.VecPhysical { return zmm[r*vectors+v] }

	c.MOVQ(operand.NewParamAddr("tile", 0), args)
	c.MOVL(mem(args, argMask), reg.EAX)
	c.KMOVW(reg.EAX, mask[0])
	c.SHRL(operand.Imm(16), reg.EAX)
	c.KMOVW(reg.EAX, mask[1])
	each(rows, vectors, func(r, v int) { c.VPXORD(acc(r, v), acc(r, v), acc(r, v)) })
	c.MOVQ(mem(args, argSegs), seg)
	floats(c, argRowA, rowA)
	c.LEAQ(operand.Mem{Base: rowA, Index: rowA, Scale: 2}, rowA3)
	floats(c, argStepA, stepA)
	floats(c, argStepB, stepB)
	return acc
}

// copyAhead is how many rows ahead of its own a copying kernel asks for B: with what the processor
// looks ahead itself, soon enough for the caches, and late enough that rows which are a page apart,
// and so compete for the eight to twelve lines of one set of the first-level cache, do not push
// each other out: 12 and more cost 2 % of a product with 64 rows.
const copyAhead = 6

// copying adds a kernel of a single segment that also writes the rows of B it reads one after the
// other to Args.panel. Rows of B that lie a page apart are foreseen by nobody, so it asks for them
// itself, further ahead for the second-level cache as well, and for nothing else, not even C.
func copying(c *build.Context, p product, rows int) {
	const vectors = maxVectors
	acc := begin(c, p.copyingName(rows), rows, vectors)
	beginSegment(c, rows)
	c.MOVQ(mem(seg, segK), k)
	c.MOVQ(mem(args, argPanel), copied)
	c.IMUL3Q(operand.U32(copyAhead), stepB, ahead)
	c.ADDQ(b, ahead)
	near := func(c *build.Context) {
		for v := range vectors {
			c.VMOVUPS(rowB[v], mem(copied, 64*v))
			c.PREFETCHT0(mem(ahead, 64*v))
		}
		c.ADDQ(operand.Imm(64*vectors), copied)
		c.ADDQ(stepB, ahead)
	}
	c.MOVQ(mem(args, argAheadStep), farAhead)
	c.TESTQ(farAhead, farAhead)
	c.JNZ(operand.LabelRef("far"))
	multiply(c, p, loop{"all", 0, rows, vectors, true}, acc, near)
	c.JMP(operand.LabelRef("store"))
	c.Label("far")
	c.ADDQ(b, farAhead)
	multiply(c, p, loop{"allFar", 0, rows, vectors, true}, acc, func(c *build.Context) {
		near(c)
		for v := range vectors {
			c.PREFETCHT1(mem(farAhead, 64*v))
		}
		c.ADDQ(stepB, farAhead)
	})
	c.Label("store")
	store(c, rows, vectors, acc)
	c.VZEROUPPER()
	c.RET()
}

// beginSegment sets the pointers to the segment's first elements.
func beginSegment(c *build.Context, rows int) {
	c.MOVQ(mem(args, argAOff), a[0])
	c.ADDQ(mem(seg, segA), a[0])
	c.SHLQ(operand.Imm(2), a[0])
	c.ADDQ(mem(args, argA), a[0])
	if rows > 4 {
		floats(c, argGroupA, k)
		for g := 1; 4*g < rows; g++ {
			c.LEAQ(operand.Mem{Base: a[g-1], Index: k, Scale: 1}, a[g])
		}
	}
	c.MOVQ(mem(args, argBOff), b)
	c.ADDQ(mem(seg, segB), b)
	c.SHLQ(operand.Imm(2), b)
	c.ADDQ(mem(args, argB), b)
}

// A loop is the inner loop for rows first..last-1 of a tile.
type loop struct {
	label       string
	first, last int
	vectors     int
	masked      bool // rows of B may be shorter than the vectors
}

// multiply adds an inner loop. One vector of columns feeds the
// multiplication from memory, as fast as elements can be loaded; with two, an element of A is
// loaded once for both, and there is room to ask for a cache line of what comes later: arithmetic
// and memory work side by side, where a burst of such requests would fill the processor's queue and
// make it wait. That is what beside adds.
func multiply(c *build.Context, p product, l loop, acc func(r, v int) reg.VecPhysical,
	beside func(c *build.Context)) {
	c.Label(l.label)
	for v := range l.vectors {
		if l.masked {
			c.VMOVUPS_Z(mem(b, 64*v), mask[v], rowB[v])
		} else {
			c.VMOVUPS(mem(b, 64*v), rowB[v])
		}
	}
	c.ADDQ(stepB, b)
	if l.vectors > 1 {
		beside(c)
	}
	for r := l.first; r < l.last; r++ {
		if l.vectors == 1 {
			p.broadcast(c, elementA(r), rowB[0], acc(r, 0))
			continue
		}
		t := bcast[r%2]
		c.VBROADCASTSS(elementA(r), t)
		for v := range l.vectors {
			p.registers(c, rowB[v], t, acc(r, v))
		}
	}
	for g := 0; 4*g < l.last; g++ {
		c.ADDQ(stepA, a[g])
	}
	c.DECQ(k)
	c.JNZ(operand.LabelRef(l.label))
}

// lookAhead asks for one line of Args.Ahead.
func lookAhead(c *build.Context) {
	c.PREFETCHT1(mem(ahead, 0))
	c.ADDQ(mem(args, argAheadStep), ahead)
}

// elementA is row r of A: four rows share a pointer, reached with 0, 1, 2 and 3 row strides.
func elementA(r int) operand.Mem {
	p := a[r/4]
	switch r % 4 {
	case 1:
		return operand.Mem{Base: p, Index: rowA, Scale: 1}
	case 2:
		return operand.Mem{Base: p, Index: rowA, Scale: 2}
	case 3:
		return operand.Mem{Base: p, Index: rowA3, Scale: 1}
	}
	return operand.Mem{Base: p}
}

// floats loads a count of float32s from the arguments as a count of bytes.
func floats(c *build.Context, offset int, to reg.GPPhysical) {
	c.MOVQ(mem(args, offset), to)
	c.SHLQ(operand.Imm(2), to)
}

func mem(base reg.Register, offset int) operand.Mem {
	return operand.Mem{Base: base, Disp: offset}
}
