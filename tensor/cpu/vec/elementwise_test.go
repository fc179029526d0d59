package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var sizes = []int{0, 1, 15, 16, 17, 31, 33, 63, 64, 65, 96, 127, 128, 129, 193, 257, 1000, 1003}

// guarded returns n numbers at an odd alignment between two guard zones, and a check of these.
func guarded(t *testing.T, n, offset int) (x []float32, check func(what string)) {
	const zone = 144 // wider than any unrolled step
	const guard = float32(-12345.678)
	buf := make([]float32, n+2*zone+offset)
	for i := range buf {
		buf[i] = guard
	}
	lo := zone + offset
	return buf[lo : lo+n : lo+n], func(what string) {
		t.Helper()
		for i, v := range buf {
			if (i < lo || i >= lo+n) && v != guard {
				t.Fatalf("%s wrote outside its output, at %d of [0,%d)", what, i-lo, n)
			}
		}
	}
}

// inputs returns count slices of n values in (-8, 8), each tenth or so special.
func (e ew) inputs(r *rand.Rand, count, n int, special bool) [][]float32 {
	specials := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0,
		float32(math.Copysign(0, -1)), 1e-40, -1e-40, 1, -1}
	out := make([][]float32, count)
	for k := range out {
		out[k] = make([]float32, n)
		for i := range out[k] {
			v := (r.Float32()*2 - 1) * float32(math.Exp2(float64(r.IntN(8)-4)))
			if e.positive {
				v = float32(math.Abs(float64(v))) + 1e-6
			}
			out[k][i] = v
			if special && r.IntN(10) == 0 {
				out[k][i] = specials[r.IntN(len(specials))]
			}
		}
	}
	return out
}

func wide64(xs [][]float32, i int) []float64 {
	out := make([]float64, len(xs))
	for k := range xs {
		out[k] = float64(xs[k][i])
	}
	return out
}

// close32 says whether got is the binary32 value want within tol roundoffs of mag.
func close32(got float32, want, mag, tol float64) bool {
	g, w := float64(got), float64(float32(want))
	if math.IsNaN(w) || math.IsNaN(g) {
		return math.IsNaN(w) && math.IsNaN(g)
	}
	if g == w || math.IsInf(w, 0) || math.IsInf(g, 0) {
		return g == w
	}
	if tol == 0 {
		return false
	}
	return math.Abs(g-want) <= tol*eps32*mag+tiny
}

func clone(x [][]float32) [][]float32 {
	out := make([][]float32, len(x))
	for k := range x {
		out[k] = append([]float32(nil), x[k]...)
	}
	return out
}

// once runs the case on n elements (rows of c channels) and checks values and guard zones.
func (e ew) once(t *testing.T, v table, r *rand.Rand, n, c int, alias int) {
	t.Helper()
	in := e.inputs(r, e.ins, n, true)
	vecs := e.inputs(r, e.vecs, c, false)
	keep := clone(in)
	out, check := guarded(t, n, r.IntN(17))
	if e.accum {
		alias = 0
	}
	if alias >= 0 {
		copy(out, in[alias])
		in[alias] = out
	}
	e.run(v, out, in, vecs)
	what := fmt.Sprintf("%s (%s, n %d, C %d, alias %d)", e.name, v.name, n, c, alias)
	check(what)
	for i := range out {
		var cv []float64
		if e.vecs > 0 {
			cv = wide64(vecs, i%c)
		}
		args := wide64(keep, i)
		want, mag := e.ref(args, cv)
		if !close32(out[i], want, mag, e.tol) {
			t.Fatalf("%s: element %d: got %v, want %v from %v %v", what, i, out[i], want, args, cv)
		}
	}
}

func TestElementwise(t *testing.T) {
	for _, v := range variants() {
		for _, e := range elementwiseCases() {
			t.Run(v.name+"/"+e.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				for _, n := range sizes {
					if e.vecs == 0 {
						for alias := -1; alias < e.ins; alias++ {
							e.once(t, v, r, n, n, alias)
						}
						continue
					}
					for _, rows := range []int{0, 1, 2, 7, 35} {
						if n*rows < 5000 {
							e.once(t, v, r, n*rows, n, r.IntN(e.ins+1)-1)
						}
					}
				}
			})
		}
	}
}

// An element's result must not depend on where it stands: the whole equals the pieces, bit by bit.
func TestElementwisePosition(t *testing.T) {
	const n = 1003
	for _, v := range variants() {
		for _, e := range elementwiseCases() {
			if e.vecs > 0 {
				continue
			}
			r := rand.New(rand.NewPCG(3, 4))
			in := e.inputs(r, e.ins, n, true)
			whole, pieces := make([]float32, n), make([]float32, n)
			copy(whole, in[0])
			copy(pieces, in[0])
			e.run(v, whole, in, nil)
			for lo := 0; lo < n; {
				hi := min(n, lo+1+r.IntN(40))
				part := make([][]float32, e.ins)
				for k := range in {
					part[k] = in[k][lo:hi]
				}
				e.run(v, pieces[lo:hi], part, nil)
				lo = hi
			}
			for i := range whole {
				if math.Float32bits(whole[i]) != math.Float32bits(pieces[i]) {
					t.Fatalf("%s/%s: element %d: %v in the whole, %v in a piece",
						v.name, e.name, i, whole[i], pieces[i])
				}
			}
		}
	}
}
