package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A gen adds to avo's context a way of writing arithmetic that reads like a formula: each method
// returns its result in a new virtual register and destroys no operand. The moves this takes
// cost nothing at run time (register renaming).
//
// It writes for one of two instruction sets. AVX-512 has 16 lanes, mask registers and constants
// that fill all lanes from one word; AVX2 has 8 lanes, masks that are vectors and constants as long
// as a vector.
type gen struct {
	*build.Context
	avx2   bool
	consts map[uint32]operand.Mem // read-only, a word each or for AVX2 a vector
	asked  []uint32               // constants in the order in which they were first asked for
	held   map[uint32]V           // those that the function at work has in registers
	again  map[V]func() V         // loads once more what the loop has in a register
	table  operand.Mem            // AVX2: eight words of ones, eight of zeros
}

// newGen returns a gen without functions.
func newGen(avx2 bool) *gen {
	g := &gen{Context: build.NewContext(), avx2: avx2, consts: map[uint32]operand.Mem{}}
	g.ConstraintExpr("amd64,!purego")
	if avx2 {
		g.table = g.constant("lanes", 0xffffffff, 0)
	}
	return g
}

// function begins a function whose stack does not grow and whose pointers do not escape.
func (g *gen) function(name string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
}

// loopAlign is where loops begin: a fetch of the processor. Elsewhere the same loop may take a
// fifth longer, and where it is hangs on the length of everything in front of it.
const loopAlign = 64

// top labels the beginning of a loop.
func (g *gen) top(label string) {
	g.Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []operand.Op{operand.U8(loopAlign)}})
	g.Label(label)
}

// suffix ends the names of the assembly functions.
func (g *gen) suffix() string {
	if g.avx2 {
		return "AVX2"
	}
	return "AVX512"
}

// lanes is how many float32 a register holds, and bytes how many bytes.
func (g *gen) lanes() int {
	if g.avx2 {
		return 8
	}
	return 16
}

func (g *gen) bytes() int { return elemSize * g.lanes() }

// V is a vector register, whole lanes of float32 unless said otherwise.
type V = reg.VecVirtual

// vec returns a new vector register.
func (g *gen) vec() V {
	if g.avx2 {
		return g.YMM()
	}
	return g.ZMM()
}

// Rounding mode "nearest even, no exceptions" of VRNDSCALEPS and VROUNDPS, and comparison
// predicates.
const (
	nearest = 8
	ltOQ    = 17
	nltUQ   = 21
	gtOQ    = 30
	eqOQ    = 0
	unordQ  = 3
	ordQ    = 7
	nleUQ   = 22
)

// bits returns the read-only word with the given bits, to be used with embedded broadcast, or for
// AVX2 the vector of it; a register that holds it, if there is one.
func (g *gen) bits(b uint32) operand.Op {
	if v, ok := g.held[b]; ok {
		return v
	}
	m, ok := g.consts[b]
	if ok {
		return m
	}
	if g.avx2 {
		m = g.constant(fmt.Sprintf("c%08x", b), b)
	} else {
		m = g.ConstData(fmt.Sprintf("c%08x", b), operand.U32(b))
	}
	g.consts[b], g.asked = m, append(g.asked, b)
	return m
}

// heldConstants is how many of AVX-512's 32 registers a loop over single vectors can spare for
// constants.
const heldConstants = 22

// hold loads up to most constants that body asks for into registers, before a loop around it: read
// from memory each would cost a load in every turn, and those of a polynomial keep the load units
// as busy as the arithmetic is. AVX2 has no registers to spare.
func (g *gen) hold(most int, body func(g *gen)) {
	if g.avx2 {
		return
	}
	probe := newGen(false)
	probe.Function("probe")
	body(probe)
	held := map[uint32]V{}
	for _, b := range probe.asked[:min(most, len(probe.asked))] {
		held[b] = g.reg(g.bits(b))
	}
	g.held = held
}

// constant adds a read-only array of eight copies of each word.
func (g *gen) constant(name string, words ...uint32) operand.Mem {
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, w := range words {
		for range 8 {
			g.AppendDatum(operand.U32(w))
		}
	}
	return m
}

// c returns what bits does for the binary32 number nearest to f.
func (g *gen) c(f float64) operand.Op { return g.bits(math.Float32bits(float32(f))) }

// reg returns x itself if it is a register, else a register with x in all lanes.
func (g *gen) reg(x operand.Op) V {
	if v, ok := x.(V); ok {
		return v
	}
	d := g.vec()
	g.VBROADCASTSS(x, d)
	return d
}

// anew is x, loaded again if the loop has loaded it: a register less in between.
func (g *gen) anew(x V) V {
	if load, ok := g.again[x]; ok {
		return load()
	}
	return x
}

func (g *gen) copy(x V) V {
	d := g.vec()
	g.VMOVAPS(x, d)
	return d
}

func (g *gen) zero() V {
	d := g.vec()
	g.VXORPS(d, d, d)
	return d
}

type instr func(ops ...operand.Op)

// op2 emits x∘y; y may be a constant in memory.
func (g *gen) op2(plain, bcst instr, x, y operand.Op) V {
	d := g.vec()
	a := g.reg(x)
	if g.broadcast(y) {
		bcst(y, a, d)
	} else {
		plain(y, a, d)
	}
	return d
}

// broadcast says whether an operand has to be broadcast by the instruction that uses it.
func (g *gen) broadcast(x operand.Op) bool {
	_, memory := x.(operand.Mem)
	return memory && !g.avx2
}

func (g *gen) add(x, y operand.Op) V { return g.op2(g.VADDPS, g.VADDPS_BCST, x, y) }
func (g *gen) sub(x, y operand.Op) V { return g.op2(g.VSUBPS, g.VSUBPS_BCST, x, y) }
func (g *gen) mul(x, y operand.Op) V { return g.op2(g.VMULPS, g.VMULPS_BCST, x, y) }
func (g *gen) div(x, y operand.Op) V { return g.op2(g.VDIVPS, g.VDIVPS_BCST, x, y) }

// and, xor and or work on bits.
func (g *gen) and(x, y operand.Op) V {
	if g.avx2 {
		return g.op2(g.VANDPS, nil, x, y)
	}
	return g.op2(g.VPANDD, g.VPANDD_BCST, x, y)
}

func (g *gen) xor(x, y operand.Op) V {
	if g.avx2 {
		return g.op2(g.VXORPS, nil, x, y)
	}
	return g.op2(g.VPXORD, g.VPXORD_BCST, x, y)
}

func (g *gen) or(x, y operand.Op) V {
	if g.avx2 {
		return g.op2(g.VORPS, nil, x, y)
	}
	return g.op2(g.VPORD, g.VPORD_BCST, x, y)
}

// max is x > y ? x : y, so it is y if either is NaN; min likewise.
func (g *gen) max(x, y operand.Op) V { return g.op2(g.VMAXPS, g.VMAXPS_BCST, x, y) }
func (g *gen) min(x, y operand.Op) V { return g.op2(g.VMINPS, g.VMINPS_BCST, x, y) }

func (g *gen) sqrt(x V) V {
	d := g.vec()
	g.VSQRTPS(x, d)
	return d
}

// fma is x·y + z in one rounding; z may be a constant in memory.
func (g *gen) fma(x, y V, z operand.Op) V {
	d := g.copy(x)
	if g.broadcast(z) {
		g.VFMADD213PS_BCST(z, y, d)
	} else {
		g.VFMADD213PS(z, y, d)
	}
	return d
}

// fmaTo is z + x·y in one rounding; y may be a constant in memory.
func (g *gen) fmaTo(z, x V, y operand.Op) V {
	d := g.copy(z)
	if g.broadcast(y) {
		g.VFMADD231PS_BCST(y, x, d)
	} else {
		g.VFMADD231PS(y, x, d)
	}
	return d
}

// fnmaTo is z - x·y in one rounding; y may be a constant in memory.
func (g *gen) fnmaTo(z, x V, y operand.Op) V {
	d := g.copy(z)
	if g.broadcast(y) {
		g.VFNMADD231PS_BCST(y, x, d)
	} else {
		g.VFNMADD231PS(y, x, d)
	}
	return d
}

// poly is Horner's scheme for c[0] + c[1]x + c[2]x² + …
func (g *gen) poly(x V, c []float64) V {
	p := g.reg(g.c(c[len(c)-1]))
	for i := len(c) - 2; i >= 0; i-- {
		p = g.fma(p, x, g.c(c[i]))
	}
	return p
}

// pointer, integer and scalar load parameters; a scalar fills all lanes.
func (g *gen) pointer(name string) reg.GPVirtual {
	return g.Load(g.Param(name), g.GP64()).(reg.GPVirtual)
}

func (g *gen) scalar(name string) V { return g.reg(g.argument(name)) }

// argument addresses a parameter on the stack.
func (g *gen) argument(name string) operand.Mem {
	b, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// split returns n rounded down to whole vectors and the rest.
func (g *gen) split(n reg.GPVirtual) (full, rest reg.GPVirtual) {
	full, rest = g.GP64(), g.GP64()
	g.MOVQ(n, full)
	g.ANDQ(operand.I8(-g.lanes()), full)
	g.MOVQ(n, rest)
	g.ANDQ(operand.I8(g.lanes()-1), rest)
	return full, rest
}
