package tensor

import "math"

// Key identifies one stream of random numbers: a user's seed and the stream's own number.
// Numbers are a pure function of (Key, step, index): no generator has state, so order,
// threads, prefetch and resume cannot change them.
type Key struct {
	Seed   uint64 // the user's --seed
	Stream uint64 // which use: see StreamID
}

// StreamID turns a stream's name ("init/layer1.conv.weight", "noise/g") into its number
// (FNV-1a, 64 bits). Names must be static: what changes from step to step is the step.
func StreamID(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// NewKey returns the key of the stream called name under seed.
func NewKey(seed uint64, name string) Key { return Key{seed, StreamID(name)} }

// Philox returns the four 32-bit words of Philox4x32-10 for the counter words c and the key
// words k. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
func Philox(c [4]uint32, k [2]uint32) [4]uint32 {
	const m0, m1 = 0xD2511F53, 0xCD9E8D57 // multipliers of the paper, table 2
	const w0, w1 = 0x9E3779B9, 0xBB67AE85 // Weyl increments: golden ratio, √3−1
	for range 10 {
		p0, p1 := uint64(m0)*uint64(c[0]), uint64(m1)*uint64(c[2])
		c = [4]uint32{uint32(p1>>32) ^ c[1] ^ k[0], uint32(p1), uint32(p0>>32) ^ c[3] ^ k[1],
			uint32(p0)}
		k[0] += w0
		k[1] += w1
	}
	return c
}

// Block returns the four words that serve elements 4b, 4b+1, 4b+2, 4b+3 at the given step.
// The counter is (b low, step, stream low, stream high ⊕ b high); the key is the seed.
func (k Key) Block(step uint32, b uint64) [4]uint32 {
	return Philox(
		[4]uint32{uint32(b), step, uint32(k.Stream), uint32(k.Stream>>32) ^ uint32(b>>32)},
		[2]uint32{uint32(k.Seed), uint32(k.Seed >> 32)})
}

// Word returns element i's 32 random bits at the given step.
func (k Key) Word(step uint32, i uint64) uint32 { return k.Block(step, i/4)[i%4] }

// Uniform01 maps 32 random bits to (0, 1): (w + ½)·2⁻³². Both ends are excluded.
// No step rounds, so a compiler that fuses the product into a caller's sum changes nothing.
func Uniform01(w uint32) float64 { return (float64(w) + 0.5) * (1.0 / (1 << 32)) }

// StdNormal maps 32 random bits to a standard normal by inverting its distribution function,
// √2·erfinv(2u−1), with a polynomial of degree 8 on either side of t = −log(1−x²) = 5. It uses
// IEEE addition, multiplication, division and square root in a fixed order, never a fused
// multiply-add, so every backend gets the same bits. Range: about ±6.34; error below 5e-7.
//
// Source: M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade, 2011, table 5
// (single-precision coefficients, evaluated in double precision). The tail's coefficients are our
// own minimax fit over all t that 32 bits reach (up to 21.5; relative error 3.4e-7), because the
// published ones end where single precision does and are off by 4e-4 at our far end.
func StdNormal(w uint32) float64 {
	x := float64(2*Uniform01(w)) - 1
	t := -logDet(float64(1-x) * float64(1+x))
	var c *[9]float64
	if t < 5 {
		t, c = t-2.5, &erfinvCentral
	} else {
		t, c = math.Sqrt(t)-3, &erfinvTail
	}
	p := c[0]
	for _, a := range c[1:] {
		p = a + float64(p*t)
	}
	return float64(math.Sqrt2 * float64(p*x)) // converted for the callers it is inlined in
}

var erfinvCentral = [9]float64{2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06,
	0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941}
var erfinvTail = [9]float64{-1.44485814e-05, -0.000128422251, 0.00114864253, -0.0034075375,
	0.00581355123, -0.0077129636, 0.00942707636, 1.00168177, 2.83297736}

// atanhSeries are the coefficients of atanh(s)/s in s², the highest first: 1/21, 1/19, …, 1. s ≤
// 0.1716: the next term is below 1e-18.
var atanhSeries = [11]float64{1. / 21, 1. / 19, 1. / 17, 1. / 15, 1. / 13, 1. / 11, 1. / 9, 1. / 7,
	1. / 5, 1. / 3, 1}

// logDet is the natural logarithm of a positive, normal x, by x = 2ᵉ·m with m in [√½, √2) and
// log m = 2·atanh(s), s = (m−1)/(m+1), a series in s². No fused operation, no table: the
// same bits on every machine. Error below 1e-15 relative for the arguments StdNormal uses.
func logDet(x float64) float64 {
	bits := math.Float64bits(x)
	e := int(bits>>52) - 1023
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m, e = m/2, e+1
	}
	s := (m - 1) / (m + 1)
	s2 := float64(s * s)
	p := atanhSeries[0]
	for _, a := range atanhSeries[1:] {
		p = a + float64(p*s2)
	}
	return float64(float64(2*s)*p) + float64(float64(e)*math.Ln2)
}

// An RNG draws numbers one after another on the host from one stream at one step. It is for
// host-side work (drawing scenes, augmentation, initialisation); what it returns depends only on
// (key, step) and how many numbers were drawn before.
type RNG struct {
	key  Key
	step uint32
	next uint64
	buf  [4]uint32
}

// NewRNG returns the host-side generator of the stream key at step.
func NewRNG(key Key, step uint32) *RNG { return &RNG{key: key, step: step} }

// Uint32 returns 32 random bits.
func (r *RNG) Uint32() uint32 {
	if r.next%4 == 0 {
		r.buf = r.key.Block(r.step, r.next/4)
	}
	w := r.buf[r.next%4]
	r.next++
	return w
}

// Float64 returns a uniform number in (0, 1).
func (r *RNG) Float64() float64 { return Uniform01(r.Uint32()) }

// Uniform returns a uniform number in (lo, hi).
func (r *RNG) Uniform(lo, hi float64) float64 { return lo + float64((hi-lo)*r.Float64()) }

// Normal returns a standard normal.
func (r *RNG) Normal() float64 { return StdNormal(r.Uint32()) }

// IntN returns a uniform integer in [0, n). The bias is below n·2⁻³².
// It panics if n ≤ 0.
func (r *RNG) IntN(n int) int {
	if n <= 0 {
		panic(&Error{Op: "RNG.IntN", Reason: "n must be positive"})
	}
	return int(uint64(r.Uint32()) * uint64(n) >> 32)
}

// Perm returns a random permutation of 0..n−1 (Fisher and Yates).
func (r *RNG) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := r.IntN(i + 1)
		p[i], p[j] = p[j], i
	}
	return p
}
