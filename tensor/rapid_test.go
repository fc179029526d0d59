package tensor_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"afterimage/tensor"
)

// Properties of random numbers and of window arithmetic for drawn arguments.

// TestRNGProperties: numbers drawn one after another are the stream's words; ranges are kept; a
// permutation holds every number once; another seed, name or step gives other numbers.
func TestRNGProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := tensor.NewKey(rapid.Uint64().Draw(t, "seed"), rapid.String().Draw(t, "name"))
		step := rapid.Uint32().Draw(t, "step")
		rng := tensor.NewRNG(key, step)
		var first []uint32
		for i := range 9 {
			w := rng.Uint32()
			if w != key.Word(step, uint64(i)) {
				t.Fatalf("number %d is %d, word %d", i, w, key.Word(step, uint64(i)))
			}
			first = append(first, w)
		}
		n := rapid.IntRange(1, 1<<31-1).Draw(t, "n")
		if k := rng.IntN(n); k < 0 || k >= n {
			t.Fatalf("IntN(%d) is %d", n, k)
		}
		if u := rng.Float64(); !(u > 0 && u < 1) {
			t.Fatalf("Float64 is %g", u)
		}
		p := rng.Perm(rapid.IntRange(0, 50).Draw(t, "perm"))
		sorted := slices.Sorted(slices.Values(p))
		for i, v := range sorted {
			if v != i {
				t.Fatalf("%v is no permutation", p)
			}
		}
		for what, other := range map[string]*tensor.RNG{
			"seed": tensor.NewRNG(tensor.Key{Seed: key.Seed ^ 1, Stream: key.Stream}, step),
			"name": tensor.NewRNG(tensor.Key{Seed: key.Seed, Stream: key.Stream ^ 1}, step),
			"step": tensor.NewRNG(key, step+1),
		} {
			same := true
			for _, w := range first {
				same = same && other.Uint32() == w
			}
			if same {
				t.Fatalf("another %s gives the same nine numbers", what)
			}
		}
	})
}

// TestWindowProperties counts the windows that fit by trying every position.
func TestWindowProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		n, k, s, d := at("extent", 0, 12), at("kernel", 1, 4), at("stride", 1, 4), at("dilation", 1, 3)
		before, after := at("before", 0, 3), at("after", 0, 3)
		conv := tensor.ConvParams{StrideH: s, StrideW: 1, PadTop: before, PadBottom: after, DilH: d,
			DilW: 1, Groups: 1}
		want := 0
		for i := 0; i+d*(k-1) < n+before+after; i += s {
			want++
		}
		if got, _ := conv.Out(n, 1, k, 1); got != want {
			t.Fatalf("convolution of %d with %+v, kernel %d: %d outputs, %d windows fit", n, conv, k, got,
				want)
		}
		if n == 0 {
			return
		}
		before, after = min(before, k-1), min(after, k-1)
		for _, ceil := range []bool{false, true} {
			pool := tensor.PoolParams{KH: k, KW: 1, StrideH: s, StrideW: 1, PadTop: before,
				PadBottom: after, CeilMode: ceil}
			want := 0
			for i := 0; i < n+before+after; i += s {
				fits := i+k <= n+before+after
				// With CeilMode a window may hang over by less than a stride, if it starts in the image
				// or the padding before it (PyTorch's rule).
				hangs := ceil && i+k < n+before+after+s && i < n+before
				if fits || hangs {
					want++
				}
			}
			if got, _ := pool.Out(n, 1); got != want {
				t.Fatalf("pooling of %d with %+v: %d outputs, %d windows", n, pool, got, want)
			}
		}
	})
}
