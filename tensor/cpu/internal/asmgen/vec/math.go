package main

import "github.com/mmcloughlin/avo/operand"

// Coefficients are minimax polynomials by Remez's exchange, in relative error of the function
// that they serve, computed in 50 digits and rounded to binary32.
var (
	// (e^r - 1 - r)/r² for |r| ≤ ln(2)/2: 2^-28.3 of e^r.
	expCoeffs = []float64{0.49999994, 0.166665211, 0.041668389, 0.00836871006, 0.00138146139}
	// 2^f for 0 ≤ f < 1: 2^-29 of 2^f, for AVX2's tanh.
	exp2Coeffs = []float64{1, 0.693147, 0.24022983, 0.05548334, 0.009678841, 0.0012439687,
		0.00021702256}
	// (ln(1+f) - f + f²/2)/f³ for -1/4 ≤ f ≤ 1/2: 2^-27.6 of ln(1+f).
	logCoeffs = []float64{0.333334506, -0.250000954, 0.199908614, -0.16647312, 0.144783944,
		-0.131611913, 0.104630195, -0.0450747833}
	// (tanh(x)/x - 1)/x² in z = x² for 0 ≤ z ≤ 0.625²: 2^-27.8 of tanh(x).
	tanhCoeffs = []float64{-0.333332807, 0.133314416, -0.0537397154, 0.020639088, -0.00570498733}
	// erf(x)/x - 1 in z = x² for 0 ≤ z ≤ erfSplit²: 2^-25.6 of erf(x). By reweighted least squares.
	erfCoeffs = []float64{0.128379146, -0.376124686, 0.112815525, -0.0267570327, 0.00497912996,
		-0.000591941599}
	// ln(1 - erf(x)) for erfSplit ≤ x ≤ erfTop: 2^-34 of erf(x). The same way.
	erfcCoeffs = []float64{0.000176677922, -1.1295245, -0.633327584, -0.108301328, 0.0251331466,
		-0.00417626792, 0.000435535941, -2.11878204e-05}
)

// Where erf changes from one polynomial to the other, and from where on it is 1 in binary32.
const (
	erfSplit = 0.9375
	erfTop   = 4
)

const (
	signBit = 0x80000000
	infBits = 0x7f800000
	nanBits = 0x7fc00000
	log2e   = 1.4426950408889634
	// ln 2 in two parts, the upper one rounded down so that the lower one is positive: infinite
	// exponents then give infinities of one sign.
	ln2Hi = 0.693147122859954833984375
	ln2Lo = 5.7699990475328e-08
)

// exp is e^x: x = n·ln 2 + r, e^x = 2^n·(1 + r + r²P(r)).
func (g *gen) exp(x V) V {
	// Beyond these the result is Inf or 0, and infinities would make r NaN. NaN passes.
	x = g.min(g.reg(g.c(100)), x)
	x = g.max(g.reg(g.c(-150)), x)
	n := g.round(g.mul(x, g.c(log2e)))
	r := g.fnmaTo(x, n, g.c(ln2Hi))
	r = g.fnmaTo(r, n, g.c(ln2Lo))
	p := g.fma(g.poly(r, expCoeffs), g.mul(r, r), r)
	return g.scale(g.add(p, g.c(1)), n)
}

// pow2 is 2^t for t ≥ 0, as 2^⌊t⌋·P(t - ⌊t⌋), but no more than 2^64: AVX2.
func (g *gen) pow2(t V) V {
	const down, exact = 1, 8
	t = g.min(g.reg(g.c(64)), t) // NaN passes
	n, whole := g.vec(), g.vec()
	g.VROUNDPS(operand.U8(down|exact), t, n)
	g.VCVTPS2DQ(n, whole)
	return g.mul(g.poly(g.sub(t, n), exp2Coeffs), g.exp2(whole))
}

// round is the integer nearest to x.
func (g *gen) round(x V) V {
	d := g.vec()
	if g.avx2 {
		g.VROUNDPS(operand.U8(nearest), x, d)
	} else {
		g.VRNDSCALEPS(operand.U8(nearest), x, d)
	}
	return d
}

// scale is x·2^n with one rounding, into the subnormal numbers too; n is an integer. VSCALEFPS does
// it. AVX2 multiplies twice, for 2^n may lie beyond the numbers: by 2^⌊n/2⌋, which is exact for
// -250 < n < 250 and x between 1/2 and 2, and by what remains. NaN stays NaN.
func (g *gen) scale(x, n V) V {
	if !g.avx2 {
		d := g.vec()
		g.VSCALEFPS(n, x, d)
		return d
	}
	whole, half, rest := g.vec(), g.vec(), g.vec()
	g.VCVTPS2DQ(n, whole)
	g.VPSRAD(operand.U8(1), whole, half)
	g.VPSUBD(half, whole, rest)
	return g.mul(g.mul(x, g.exp2(half)), g.exp2(rest))
}

// exp2 is 2^n for 32-bit integers -127 < n < 128: AVX2.
func (g *gen) exp2(n V) V {
	d := g.vec()
	g.VPADDD(g.bits(127), n, d)
	g.VPSLLD(operand.U8(mantissaBits), d, d)
	return d
}

// mantissaBits is the number of stored bits of a binary32 mantissa.
const mantissaBits = 23

// log is ln x: x = 2^e·m with m in [3/4, 3/2), f = m-1, ln x = e·ln 2 + f - f²/2 + f³P(f).
func (g *gen) log(x V) V {
	m, e := g.parts(x)
	f := g.sub(m, g.c(1))
	f2 := g.mul(f, f)
	t := g.mul(g.poly(f, logCoeffs), f) // f·P(f)
	t = g.sub(t, g.c(0.5))              // -1/2 + f·P(f)
	t = g.fma(t, f2, g.mul(e, g.c(ln2Lo)))
	t = g.add(t, f)
	t = g.fmaTo(t, e, g.c(ln2Hi))
	if g.avx2 {
		t = g.logEnds(x, t)
	}
	return t
}

// parts is the mantissa m in [3/4, 3/2) and the exponent e of x = 2^e·m.
func (g *gen) parts(x V) (m, e V) {
	if g.avx2 {
		return g.partsAVX2(x)
	}
	// VGETMANTPS makes NaN of numbers below zero, VGETEXPPS -Inf of 0; both know subnormal numbers.
	const interval34to32, nanIfNegative = 3, 2 << 2
	m, e = g.vec(), g.vec()
	em := g.vec()
	g.VGETMANTPS(operand.U8(interval34to32|nanIfNegative), x, m)
	g.VGETEXPPS(x, e)
	g.VGETEXPPS(m, em) // -1 where VGETMANTPS halved the mantissa
	return m, g.sub(e, em)
}

// partsAVX2 is parts for positive numbers, by their bits: the distance from 3/4 has the exponent in
// its upper bits. Subnormal numbers are made normal first.
func (g *gen) partsAVX2(x V) (m, e V) {
	const up = 24
	small := g.cmp(ltOQ, x, g.reg(g.c(0x1p-126)))
	e = g.pick(small, g.reg(g.c(-up)))
	x = g.blend(small, g.mul(x, g.c(1<<up)), x)
	n, shifted, number := g.vec(), g.vec(), g.vec()
	g.VPSUBD(g.c(0.75), x, n)
	g.VPSRAD(operand.U8(mantissaBits), n, n)
	g.VPSLLD(operand.U8(mantissaBits), n, shifted)
	m = g.vec()
	g.VPSUBD(shifted, x, m)
	g.VCVTDQ2PS(n, number)
	return m, g.add(e, number)
}

// logEnds is the logarithm y of x but where x is not positive and finite: +Inf and NaN are their
// own, 0 has -Inf, and below is NaN.
func (g *gen) logEnds(x, y V) V {
	y = g.blend(g.cmp(nltUQ, x, g.reg(g.bits(infBits))), x, y)
	y = g.blend(g.cmp(eqOQ, x, g.zero()), g.reg(g.bits(signBit|infBits)), y)
	return g.blend(g.cmp(ltOQ, x, g.zero()), g.reg(g.bits(nanBits)), y)
}

// tanh is x + x·zP(z), z = x², for |x| < 0.625 and ±(1 - 2/(e^2|x| + 1)) elsewhere: AVX2. There an
// error of the power loses weight as fast as the power grows, so that its exponent needs a single
// product.
func (g *gen) tanh(x V) V {
	a := g.and(x, g.bits(^uint32(signBit)))
	e := g.pow2(g.mul(a, g.c(2*log2e)))
	big := g.sub(g.reg(g.c(1)), g.div(g.c(2), g.add(e, g.c(1))))
	z := g.mul(x, x)
	small := g.fma(g.mul(g.poly(z, tanhCoeffs), z), x, x)
	y := g.blend(g.cmp(ltOQ, a, g.reg(g.c(0.625))), small, big)
	return g.or(y, g.and(x, g.bits(signBit))) // small has its sign, but for -0
}

// erf is x + x·P(x²) for |x| < erfSplit and ±(1 - e^Q(|x|)) elsewhere.
func (g *gen) erf(x V) V {
	a := g.and(x, g.bits(^uint32(signBit)))
	e := g.exp(g.poly(g.min(g.reg(g.c(erfTop)), a), erfcCoeffs))
	big := g.or(g.sub(g.reg(g.c(1)), e), g.and(x, g.bits(signBit)))
	small := g.fma(g.poly(g.mul(x, x), erfCoeffs), x, x)
	return g.blend(g.cmp(ltOQ, a, g.reg(g.c(erfSplit))), small, big)
}

// sigmoid is 1/(1 + e^-x).
func (g *gen) sigmoid(x V) V {
	e := g.exp(g.xor(x, g.bits(signBit)))
	return g.div(g.c(1), g.add(e, g.c(1)))
}

// softplus is max(x,0) + ln(1+u), u = e^-|x|. With w = 1+u rounded, ln(1+u) is
// ln w + (u-(w-1))/w to first order in the rounding error u-(w-1), which is exact.
func (g *gen) softplus(x V) V {
	u := g.exp(g.or(x, g.bits(signBit)))
	w := g.add(u, g.c(1))
	lost := g.sub(u, g.sub(w, g.c(1)))
	l := g.add(g.log(w), g.div(lost, w))
	return g.add(l, g.max(g.zero(), g.anew(x)))
}
