package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A gen adds to avo's context a way of writing arithmetic that reads like a formula: each method
// returns its result in a new virtual register and destroys no operand. The moves this takes
// cost nothing at run time (register renaming).
type gen struct {
	*build.Context
	consts map[uint32]operand.Mem // one read-only word per constant
}

// V is a vector register, 16 lanes of float32 unless said otherwise.
type V = reg.VecVirtual

// Rounding mode "nearest even, no exceptions" of VRNDSCALEPS, and comparison predicates.
const (
	nearest = 8
	ltOQ    = 17
	gtOQ    = 30
	eqOQ    = 0
	unordQ  = 3
	ordQ    = 7
	nleUQ   = 22
)

// bits returns the read-only word with the given bits, to be used with embedded broadcast.
func (g *gen) bits(b uint32) operand.Mem {
	m, ok := g.consts[b]
	if !ok {
		m = g.ConstData(fmt.Sprintf("c%08x", b), operand.U32(b))
		g.consts[b] = m
	}
	return m
}

// c returns the read-only word with the binary32 number nearest to f.
func (g *gen) c(f float64) operand.Mem { return g.bits(math.Float32bits(float32(f))) }

// reg returns x itself if it is a register, else a register with x in all lanes.
func (g *gen) reg(x operand.Op) V {
	if v, ok := x.(V); ok {
		return v
	}
	d := g.ZMM()
	g.VBROADCASTSS(x, d)
	return d
}

func (g *gen) copy(x V) V {
	d := g.ZMM()
	g.VMOVAPS(x, d)
	return d
}

func (g *gen) zero() V {
	d := g.ZMM()
	g.VXORPS(d, d, d)
	return d
}

type instr func(ops ...operand.Op)

// op2 emits x∘y; y may be a constant in memory.
func (g *gen) op2(plain, bcst instr, x, y operand.Op) V {
	d := g.ZMM()
	a := g.reg(x)
	if _, ok := y.(operand.Mem); ok {
		bcst(y, a, d)
	} else {
		plain(y, a, d)
	}
	return d
}

func (g *gen) add(x, y operand.Op) V { return g.op2(g.VADDPS, g.VADDPS_BCST, x, y) }
func (g *gen) sub(x, y operand.Op) V { return g.op2(g.VSUBPS, g.VSUBPS_BCST, x, y) }
func (g *gen) mul(x, y operand.Op) V { return g.op2(g.VMULPS, g.VMULPS_BCST, x, y) }
func (g *gen) div(x, y operand.Op) V { return g.op2(g.VDIVPS, g.VDIVPS_BCST, x, y) }
func (g *gen) and(x, y operand.Op) V { return g.op2(g.VPANDD, g.VPANDD_BCST, x, y) }
func (g *gen) xor(x, y operand.Op) V { return g.op2(g.VPXORD, g.VPXORD_BCST, x, y) }
func (g *gen) or(x, y operand.Op) V  { return g.op2(g.VPORD, g.VPORD_BCST, x, y) }

// max is x > y ? x : y, so it is y if either is NaN; min likewise.
func (g *gen) max(x, y operand.Op) V { return g.op2(g.VMAXPS, g.VMAXPS_BCST, x, y) }
func (g *gen) min(x, y operand.Op) V { return g.op2(g.VMINPS, g.VMINPS_BCST, x, y) }

func (g *gen) sqrt(x V) V {
	d := g.ZMM()
	g.VSQRTPS(x, d)
	return d
}

// fma is x·y + z in one rounding; z may be a constant in memory.
func (g *gen) fma(x, y V, z operand.Op) V {
	d := g.copy(x)
	if _, ok := z.(operand.Mem); ok {
		g.VFMADD213PS_BCST(z, y, d)
	} else {
		g.VFMADD213PS(z, y, d)
	}
	return d
}

// fmaTo is z + x·y in one rounding; y may be a constant in memory.
func (g *gen) fmaTo(z, x V, y operand.Op) V {
	d := g.copy(z)
	if _, ok := y.(operand.Mem); ok {
		g.VFMADD231PS_BCST(y, x, d)
	} else {
		g.VFMADD231PS(y, x, d)
	}
	return d
}

// fnmaTo is z - x·y in one rounding; y may be a constant in memory.
func (g *gen) fnmaTo(z, x V, y operand.Op) V {
	d := g.copy(z)
	if _, ok := y.(operand.Mem); ok {
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

// cmp is the mask of the lanes where x∘y holds.
func (g *gen) cmp(pred uint8, x, y V) reg.OpmaskVirtual {
	k := g.K()
	g.VCMPPS(operand.U8(pred), y, x, k)
	return k
}

// pick is x where k holds and 0 elsewhere.
func (g *gen) pick(k reg.OpmaskVirtual, x V) V {
	d := g.ZMM()
	g.VMOVAPS_Z(x, k, d)
	return d
}

// blend is x where k holds and y elsewhere.
func (g *gen) blend(k reg.OpmaskVirtual, x, y V) V {
	d := g.copy(y)
	g.VMOVAPS(x, k, d)
	return d
}

// tailMask loads the low n bits, n < 32, into a mask register.
func (g *gen) tailMask(n reg.GPVirtual) reg.OpmaskVirtual {
	ones, k := g.GP64(), g.K()
	g.MOVQ(operand.I32(-1), ones)
	g.BZHIQ(n, ones, ones)
	g.KMOVW(ones.As32(), k)
	return k
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

// split returns n rounded down to a multiple of 16 and the rest.
func (g *gen) split(n reg.GPVirtual) (full, rest reg.GPVirtual) {
	full, rest = g.GP64(), g.GP64()
	g.MOVQ(n, full)
	g.ANDQ(operand.I8(-16), full)
	g.MOVQ(n, rest)
	g.ANDQ(operand.I8(15), rest)
	return full, rest
}
