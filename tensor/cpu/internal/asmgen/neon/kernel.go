package main

import "fmt"

// A kernel computes a part of a tile: rows by cols elements of C, in registers of four. A row of 16
// columns has four accumulators, of 4 columns one. A column alone is computed in all four lanes
// alike, of which one is stored.
type kernel struct {
	*gen
	rows, cols int
}

// 6 rows of 4 registers leave 8 of the 32 for a row of B, elements of A, alpha and beta.
const maxRows = 6

var columns = []int{16, 4, 1}

// Byte offsets in micro.Args, micro.Seg and micro.part; a test compares them with the types.
const (
	argA      = 0
	argB      = 24
	argC      = 48
	argSegs   = 72
	argBias   = 96
	argRowA   = 144
	argGroupA = 152
	argStepA  = 160
	argStepB  = 168
	argRowC   = 176
	argGroupC = 184
	argAlpha  = 208
	argBeta   = 212

	segA    = 0
	segB    = 8
	segK    = 16
	segSkip = 24
	segSize = 32

	partA     = 0
	partB     = 8
	partC     = 16
	partBias  = 24
	partSkips = 32
)

// Registers by number. A row of A or C has a pointer of its own.
const (
	args     = 0
	part     = 1
	seg      = 2
	segsLeft = 3
	k        = 4
	b        = 5
	stepB    = 6
	stepA    = 7
	row0     = 8 // to 13
	tmp      = 14
	tmp2     = 15
	rowStep  = 19
	groupA   = 20
	startA   = 21
	startB   = 22

	rowB  = 24 // vectors: to 27, later the bias or a row of C
	bcast = 28 // and 29: elements of A, later alpha and beta
)

func (q kernel) name() string { return fmt.Sprintf("mul%dx%dNEON", q.rows, q.cols) }

// vectors is the number of accumulators of a row.
func (q kernel) vectors() int { return max(1, q.cols/4) }

func (q kernel) acc(r, v int) int { return r*q.vectors() + v }

func (q kernel) emit() {
	q.function(q.name(), 16)
	q.op("MOVD tile+0(FP), R%d", args)
	q.op("MOVD p+8(FP), R%d", part)
	for v := range q.rows * q.vectors() {
		q.op("VEOR V%d.B16, V%d.B16, V%d.B16", v, v, v)
	}
	q.op("MOVD %d(R%d), R%d", argSegs, args, seg)
	q.op("MOVD %d(R%d), R%d", argSegs+8, args, segsLeft)
	q.op("CBZ R%d, store", segsLeft)
	q.floats(argRowA, rowStep)
	q.floats(argGroupA, groupA)
	q.floats(argStepA, stepA)
	q.floats(argStepB, stepB)
	q.begin(argA, partA, startA)
	q.begin(argB, partB, startB)

	q.line("segment:")
	q.op("MOVD %d(R%d), R%d", segA, seg, tmp)
	q.op("ADD R%d<<2, R%d, R%d", tmp, startA, row0)
	q.pointers(groupA)
	q.op("MOVD %d(R%d), R%d", segB, seg, tmp)
	q.op("ADD R%d<<2, R%d, R%d", tmp, startB, b)
	q.op("MOVD %d(R%d), R%d", segK, seg, k)
	q.op("MOVD %d(R%d), R%d", segSkip, seg, tmp)
	q.op("MOVD %d(R%d), R%d", partSkips, part, tmp2)
	q.op("AND R%d, R%d, R%d", tmp2, tmp, tmp)
	q.op("CMP $1, R%d", tmp)
	q.op("BEQ skipFirst")
	q.op("BHI skipLast")
	q.multiply("all", 0, q.rows)
	q.line("next:")
	q.op("ADD $%d, R%d", segSize, seg)
	q.op("SUBS $1, R%d, R%d", segsLeft, segsLeft)
	q.op("BNE segment")
	q.op("B store")
	q.multiply("skipFirst", 1, q.rows)
	q.op("B next")
	q.multiply("skipLast", 0, q.rows-1)
	q.op("B next")
	q.store()
	q.op("RET")
}

// floats loads a count of float32s from the arguments as a count of bytes.
func (q kernel) floats(offset, to int) {
	q.op("MOVD %d(R%d), R%d", offset, args, to)
	q.op("LSL $2, R%d, R%d", to, to)
}

// begin loads an operand's address, the part's offset included.
func (q kernel) begin(slice, offset, to int) {
	q.op("MOVD %d(R%d), R%d", slice, args, to)
	q.op("MOVD %d(R%d), R%d", offset, part, tmp)
	q.op("ADD R%d, R%d, R%d", tmp, to, to)
}

// pointers sets the pointers of the rows after the first: rowStep apart, but the fifth is a group
// after the first.
func (q kernel) pointers(group int) {
	for r := 1; r < q.rows; r++ {
		if r == 4 {
			q.op("ADD R%d, R%d, R%d", group, row0, row0+4)
			continue
		}
		q.op("ADD R%d, R%d, R%d", rowStep, row0+r-1, row0+r)
	}
}

// multiply is the inner loop for rows first..last-1, of which there may be none.
func (q kernel) multiply(label string, first, last int) {
	q.line("%s:", label)
	if first >= last {
		return
	}
	q.load(b, rowB)
	q.op("ADD R%d, R%d, R%d", stepB, b, b)
	for r := first; r < last; r++ {
		x := bcast + r%2
		q.op("VLD1R.P (R%d)(R%d), [V%d.S4]", row0+r, stepA, x)
		for v := range q.vectors() {
			q.op("VFMLA V%d.S4, V%d.S4, V%d.S4", rowB+v, x, q.acc(r, v))
		}
	}
	q.op("SUBS $1, R%d, R%d", k, k)
	q.op("BNE %s", label)
}

// load reads a row of columns.
func (q kernel) load(from, to int) {
	switch q.cols {
	case 16:
		q.op("VLD1 (R%d), [V%d.S4, V%d.S4, V%d.S4, V%d.S4]", from, to, to+1, to+2, to+3)
	case 4:
		q.op("VLD1 (R%d), [V%d.S4]", from, to)
	default:
		q.op("VLD1R (R%d), [V%d.S4]", from, to)
	}
}

// scalar loads a number of the arguments into all lanes.
func (q kernel) scalar(offset, to int) {
	q.op("ADD $%d, R%d, R%d", offset, args, tmp)
	q.op("VLD1R (R%d), [V%d.S4]", tmp, to)
}

// store is the epilogue: C = alpha*acc + bias + beta*C.
func (q kernel) store() {
	q.line("store:")
	q.begin(argC, partC, row0)
	q.floats(argRowC, rowStep)
	q.floats(argGroupC, groupA)
	q.pointers(groupA)
	q.scalar(argAlpha, bcast)
	q.each(func(r, v int) { q.vector(fmul, bcast, q.acc(r, v)) })

	q.op("MOVD %d(R%d), R%d", argBias+8, args, tmp)
	q.op("CBZ R%d, unbiased", tmp)
	q.begin(argBias, partBias, b)
	q.load(b, rowB)
	q.each(func(r, v int) { q.vector(fadd, rowB+v, q.acc(r, v)) })
	q.line("unbiased:")

	q.op("MOVWU %d(R%d), R%d", argBeta, args, tmp)
	q.op("LSLW $1, R%d, R%d", tmp, tmp) // drops the sign: zero for 0 and -0
	q.op("CBZW R%d, overwrite", tmp)
	q.scalar(argBeta, bcast)
	for r := range q.rows {
		q.load(row0+r, rowB)
		for v := range q.vectors() {
			q.op("VFMLA V%d.S4, V%d.S4, V%d.S4", rowB+v, bcast, q.acc(r, v))
		}
	}
	q.line("overwrite:")
	for r := range q.rows {
		at, first := row0+r, q.acc(r, 0)
		switch q.cols {
		case 16:
			q.op("VST1 [V%d.S4, V%d.S4, V%d.S4, V%d.S4], (R%d)", first, first+1, first+2, first+3,
				at)
		case 4:
			q.op("VST1 [V%d.S4], (R%d)", first, at)
		default:
			q.op("FMOVS F%d, (R%d)", first, at)
		}
	}
}

func (q kernel) each(f func(r, v int)) {
	for r := range q.rows {
		for v := range q.vectors() {
			f(r, v)
		}
	}
}

// Instructions on four numbers that Go's assembler does not know (Arm Architecture Reference
// Manual, C7.2: FMUL (vector) and FADD (vector), single precision, Q = 1).
const (
	fmul = 0x6e20dc00
	fadd = 0x4e20d400
)

// vector adds y ∘ x as y.
func (q kernel) vector(code uint32, x, y int) {
	name := "FMUL"
	if code == fadd {
		name = "FADD"
	}
	q.op("WORD $%#x // %s V%d.4S, V%d.4S, V%d.4S", code|uint32(x)<<16|uint32(y)<<5|uint32(y), name, y,
		y, x)
}
