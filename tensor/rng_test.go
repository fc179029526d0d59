package tensor_test

import (
	"math"
	"testing"

	"afterimage/tensor"
)

// TestPhiloxKnownAnswers holds the vectors that the paper's authors publish with Random123
// (file kat_vectors, philox4x32 with 10 rounds).
func TestPhiloxKnownAnswers(t *testing.T) {
	const all = math.MaxUint32
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, [2]uint32{all, all},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			[2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := tensor.Philox(c.ctr, c.key); got != c.want {
			t.Errorf("Philox(%08x, %08x) = %08x, want %08x", c.ctr, c.key, got, c.want)
		}
	}
}

// TestKeyLayout pins where seed, stream, step and index go: stored runs depend on it.
func TestKeyLayout(t *testing.T) {
	k := tensor.Key{Seed: 0x299f31d0_a4093822, Stream: 0x03707344_13198a2e}
	const step = 0x85a308d3
	want := [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}
	if got := k.Block(step, 0x243f6a88); got != want {
		t.Errorf("Block = %08x, want %08x", got, want)
	}
	for i, w := range want {
		if got := k.Word(step, 4*0x243f6a88+uint64(i)); got != w {
			t.Errorf("Word %d = %08x, want %08x", i, got, w)
		}
	}
	if k.Block(step, 5) == k.Block(step, 5|1<<32) || k.Block(1, 5) == k.Block(2, 5) {
		t.Error("different positions share a block")
	}
	if tensor.StreamID("") != 14695981039346656037 || tensor.StreamID("a") != 0xaf63dc4c8601ec8c {
		t.Error("StreamID is not 64-bit FNV-1a")
	}
}

func TestUniform01ExcludesItsEnds(t *testing.T) {
	if lo, hi := tensor.Uniform01(0), tensor.Uniform01(math.MaxUint32); !(lo > 0 && hi < 1) {
		t.Errorf("range [%v, %v]", lo, hi)
	}
}

// normalAccuracy bounds StdNormal's error against math.Erfinv, absolute near zero and relative
// beyond 1: its coefficients were published in single precision.
const normalAccuracy = 1e-6

func TestStdNormalAccuracy(t *testing.T) {
	worst := 0.0
	check := func(w uint32) {
		want := math.Sqrt2 * math.Erfinv(2*tensor.Uniform01(w)-1)
		err := math.Abs(tensor.StdNormal(w)-want) / max(1, math.Abs(want))
		if worst = max(worst, err); err > normalAccuracy {
			t.Fatalf("StdNormal(%#x) = %v, want %v", w, tensor.StdNormal(w), want)
		}
		if mirror := tensor.StdNormal(^w); mirror != -tensor.StdNormal(w) {
			t.Fatalf("StdNormal(%#x) = %v is not the negative of %v", ^w, mirror,
				tensor.StdNormal(w))
		}
	}
	for i := range uint32(1000) {
		check(i)           // the far tail
		check(1<<31 + i)   // the centre
		check(i * 4294967) // evenly
	}
	// The two polynomials meet at t = 5, where |x| = √(1 − e⁻⁵).
	seam := uint32((1 - math.Sqrt(1-math.Exp(-5))) / 2 * (1 << 32))
	for i := range uint32(1000) {
		check(seam - 500 + i)
	}
	t.Logf("worst error %.2g", worst)
}

// TestStdNormalBits holds StdNormal to the last bit. A compiler that fused one of its products into
// a sum, as Go may with GOAMD64=v3 and on arm64 where a conversion is missing, would change some:
// the first 14 words are those of 4,000 that did when the last sum of the logarithm was fused.
func TestStdNormalBits(t *testing.T) {
	for _, c := range []struct {
		word uint32
		bits uint64
	}{
		{0xcfc0641d, 0x3fec4602b5aab467}, {0x1649d405, 0xbff5beb441f6dd89},
		{0x0cad1998, 0xbffa649ad648e8f3}, {0x3236a447, 0xbfeb5ffcb76d69f4},
		{0x09fca9f1, 0xbffc3244f79e00d3}, {0xcdbdae51, 0x3feb5ab6940e87b2},
		{0x1b03713d, 0xbff402e2206b99ca}, {0x18a0cbed, 0xbff4db19b6ac5a0e},
		{0xce6b682c, 0x3feba97a3bf9a21e}, {0x0ada5b8e, 0xbffb93ab211cfe64},
		{0xcee92a45, 0x3febe2e7a3f3b2cc}, {0x1739aacf, 0xbff56188af69aa69},
		{0xe93ee1a7, 0x3ff59001a60554bd}, {0xf2100fa4, 0x3ff9a6cfddf9a33f},
		{0x00000000, 0xc0195a120319f76a}, {0x9e3779b1, 0x3fd3387742de0792},
		{0x3c6ef362, 0xbfe7021d389c4e44}, {0xdaa66d13, 0x3ff0ddf5f777602e},
		{0x78dde6c4, 0xbfb1e513fa282416}, {0x17156075, 0xbff56f732f1ce4e5},
		{0xb54cda26, 0x3fe18a68126a90d1}, {0x538453d7, 0xbfdcd221ee11a399},
		{0xf1bbcd88, 0x3ff977875c9578a0}, {0x8ff34739, 0x3fc4129d3a48f6bd},
		{0x2e2ac0ea, 0xbfed4010e5ed3274}, {0xcc623a9b, 0x3feabf17f3e52393},
	} {
		if got := math.Float64bits(tensor.StdNormal(c.word)); got != c.bits {
			t.Errorf("StdNormal(%#08x) has the bits %#016x, want %#016x", c.word, got, c.bits)
		}
	}
}

func TestRNGIsAPureFunction(t *testing.T) {
	key := tensor.NewKey(7, "test")
	r := tensor.NewRNG(key, 3)
	for i := range uint64(100) {
		if got, want := r.Uint32(), key.Word(3, i); got != want {
			t.Fatalf("number %d = %08x, want %08x", i, got, want)
		}
	}
	a, b := tensor.NewRNG(key, 4), tensor.NewRNG(key, 4)
	for range 10 {
		if a.Normal() != b.Normal() || a.Uniform(-2, 5) != b.Uniform(-2, 5) {
			t.Fatal("two generators of one key differ")
		}
	}
	for range 1000 {
		if v := a.Uniform(-2, 5); v <= -2 || v >= 5 {
			t.Fatalf("Uniform(-2, 5) = %v", v)
		}
	}
	mustPanic(t, "IntN(0)", func() { a.IntN(0) })
}

// chiSquareBound is the 1 − 10⁻⁶ quantile of χ² with df degrees of freedom, by Wilson and
// Hilferty's cube (1931). The key is fixed: a test that passes once passes always.
func chiSquareBound(df float64) float64 {
	const z = 4.753 // standard normal quantile of 1 − 10⁻⁶
	c := 1 - 2/(9*df) + z*math.Sqrt(2/(9*df))
	return df * c * c * c
}

func TestIntNUniform(t *testing.T) {
	r := tensor.NewRNG(tensor.NewKey(1, "intn"), 0)
	const n, draws = 37, 37_000
	var count [n]float64
	for range draws {
		count[r.IntN(n)]++
	}
	chi := 0.0
	for _, c := range count {
		d := c - draws/n
		chi += d * d / (draws / n)
	}
	if chi > chiSquareBound(n-1) {
		t.Errorf("χ² = %.1f with %d degrees of freedom", chi, n-1)
	}
}

// TestPermUniform counts all 24 orders of four things, and checks that a longer result is a
// permutation.
func TestPermUniform(t *testing.T) {
	r := tensor.NewRNG(tensor.NewKey(1, "perm"), 0)
	const orders, draws = 24, 24_000
	count := map[[4]int]float64{}
	for range draws {
		count[[4]int(r.Perm(4))]++
	}
	chi := 0.0
	for _, c := range count {
		d := c - draws/orders
		chi += d * d / (draws / orders)
	}
	if len(count) != orders || chi > chiSquareBound(orders-1) {
		t.Errorf("%d orders of %d, χ² = %.1f", len(count), orders, chi)
	}
	seen := make([]bool, 1000)
	for _, v := range r.Perm(1000) {
		if seen[v] {
			t.Fatalf("%d occurs twice", v)
		}
		seen[v] = true
	}
	if len(r.Perm(0)) != 0 {
		t.Error("Perm(0) is not empty")
	}
}
