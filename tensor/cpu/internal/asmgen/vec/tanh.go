package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

// AVX-512 takes tanh by 32 pieces of |x|, in each of which it is a polynomial of degree 4 in
// r = |x| - m, m in the middle; in the one at 0, m is 0 and what the polynomial adds to r is small
// beside it. All of them are evaluated by the same instructions, since a register holds 16 numbers
// and VPERMI2PS chooses from two registers in every lane.
//
// |x| plus a shift has the number of its piece in the exponent and the upper bits of the mantissa,
// eight to a power of two: pieces are narrow where tanh bends and wide where it is flat, from 1/32
// at 0 to 1 at 9.
const (
	tanhPieces = 32
	tanhDegree = 4
	tanhBits   = mantissaBits - 3
	tanhShift  = 0.65625 // leaves half a piece at 0, where m is its end
	tanhTop    = 9.25    // from 9.02 on tanh is 1 in binary32
)

// A tanhTable is m and the coefficients for all pieces.
type tanhTable struct {
	middle [tanhPieces]float32
	coeffs [tanhDegree + 1][tanhPieces]float32
}

// newTanhTable interpolates tanh at the zeros of Chebyshev's polynomial T₅ over each piece, of
// which m is one: at most 0.5 ulp.
func newTanhTable() *tanhTable {
	t := &tanhTable{}
	for s := float32(tanhShift); s < tanhShift+tanhTop; {
		upper := math.Float32bits(s) >> tanhBits
		next := math.Float32frombits((upper + 1) << tanhBits)
		i, lo, hi := upper%tanhPieces, float64(s)-tanhShift, float64(next)-tanhShift
		m, c := float32(0), tanhNear0
		if lo > 0 {
			m = nearExactTanh((lo + hi) / 2)
			c = interpolateTanh(float64(m), (hi-lo)/2)
		}
		t.middle[i] = m
		for k, c := range c {
			t.coeffs[k][i] = float32(c)
		}
		s = next
	}
	return t
}

// tanhNear0 is r - r³/3 + 2r⁵/15 with r⁴/33 for r⁵, which are equal near the piece's end.
var tanhNear0 = [tanhDegree + 1]float64{0, 1, 0, -1. / 3, 2. / 15 / 33}

// interpolateTanh returns the polynomial in r that is tanh(m + r) for r = 0, ±h·cos 18°, ±h·cos
// 54°. Its even part is c₀ + c₂r² + c₄r⁴ and its odd part c₁r + c₃r³.
func interpolateTanh(m, h float64) [tanhDegree + 1]float64 {
	c0 := math.Tanh(m)
	var sq, even, odd [2]float64 // r², (even part - c₀)/r² and odd part/r
	for k := range sq {
		r := h * math.Cos(float64(2*k+1)*math.Pi/10)
		up, down := math.Tanh(m+r), math.Tanh(m-r)
		sq[k], even[k], odd[k] = r*r, ((up+down)/2-c0)/(r*r), (up-down)/2/r
	}
	c4 := (even[1] - even[0]) / (sq[1] - sq[0])
	c3 := (odd[1] - odd[0]) / (sq[1] - sq[0])
	return [...]float64{c0, odd[0] - c3*sq[0], even[0] - c4*sq[0], c3, c4}
}

// nearExactTanh is a number near x whose tanh is nearly a number of binary32, too.
func nearExactTanh(x float64) float32 {
	const reach = 500 // numbers to either side: the best of them misses by about 1/2000 ulp
	x = math.Atanh(float64(float32(math.Tanh(x))))
	first := math.Float32bits(float32(x)) - reach
	best, least := float32(0), 1.
	for d := range uint32(2*reach + 1) {
		near := math.Float32frombits(first + d)
		exact := math.Tanh(float64(near))
		if miss := math.Abs(float64(float32(exact)) - exact); miss < least {
			best, least = near, miss
		}
	}
	return best
}

// prepareTanh loads what tanh needs: for AVX2 nothing.
func prepareTanh(g *gen, _ []V) func(x []V) []V {
	if g.avx2 {
		return func(x []V) []V { return []V{g.tanh(x[0])} }
	}
	t := newTanhTable()
	middle := g.table32("tanhMiddle", t.middle)
	var coeffs [tanhDegree + 1]table32
	for k, c := range t.coeffs {
		coeffs[k] = g.table32(fmt.Sprintf("tanhCoeff%d", k), c)
	}
	tanh := func(g *gen, x V) V {
		a := g.and(x, g.bits(^uint32(signBit)))
		a = g.min(g.reg(g.c(tanhTop)), a) // NaN passes
		i := g.vec()
		g.VPSRLD(operand.U8(tanhBits), g.add(a, g.c(tanhShift)), i)
		r := g.sub(a, g.lookup(middle, i))
		p := g.lookup(coeffs[tanhDegree], i)
		for k := tanhDegree - 1; k >= 0; k-- {
			p = g.fma(p, r, g.lookup(coeffs[k], i))
		}
		return g.signed(p, g.anew(x))
	}
	g.hold(heldConstants, func(g *gen) { tanh(g, g.vec()) })
	return func(x []V) []V { return []V{tanh(g, x[0])} }
}

// A table32 is 32 numbers in two registers.
type table32 [2]V

// table32 loads a read-only table.
func (g *gen) table32(name string, numbers [32]float32) table32 {
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, x := range numbers {
		g.AppendDatum(operand.F32(x))
	}
	var t table32
	for i := range t {
		t[i] = g.loadMasked(m.Offset(i*g.bytes()), nil)
	}
	return t
}

// lookup is, in each lane, the entry of t that the lower five bits of i name.
func (g *gen) lookup(t table32, i V) V {
	d := g.copy(i)
	g.VPERMI2PS(t[1], t[0], d)
	return d
}

// signed is y with the sign of x, for 0 ≤ y ≤ |x| but for rounding: the smaller of both.
func (g *gen) signed(y, x V) V {
	const lesserMagnitude, signOfFirst = 2, 0 << 2
	d := g.vec()
	g.VRANGEPS(operand.U8(lesserMagnitude|signOfFirst), y, x, d)
	return d
}
