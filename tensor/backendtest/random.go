package backendtest

import (
	"fmt"
	"math"

	"afterimage/tensor"
)

// randomFamily tests Random: bits against Key, not against ref, and moments.
func randomFamily(f *family) {
	keys := []tensor.Key{{}, {Seed: 1, Stream: 2}, tensor.NewKey(42, "noise/g"),
		{Seed: 1<<64 - 1, Stream: 1<<64 - 1}, {Seed: 7 << 32, Stream: 9 << 32}}
	steps := []int32{0, 1, 1000, math.MaxInt32, -1}
	f.check("bits", func(e *env) {
		for _, key := range keys {
			for _, step := range steps {
				for _, n := range []int{0, 1, 3, 4, 5, 17, 67} {
					randomBits(e, key, step, n)
				}
			}
		}
		randomBits(e, keys[2], 3, 70001)
	})
	f.check("moments", randomMoments)
}

// randomBits compares every element with the published formulas, rounded to the dtype.
func randomBits(e *env, key tensor.Key, step int32, n int) {
	s := e.ints([]int32{step}, 1)
	for d, draw := range []func(uint32) float64{tensor.Uniform01, tensor.StdNormal} {
		y := e.out(n)
		e.Random(tensor.Dist(d), key, y, s)
		got := y.Floats()
		for i, v := range got {
			if want := rounded(draw(key.Word(uint32(step), uint64(i))), e.dt); v != want {
				e.fault("dist %d key %v step %d: element %d of %d: got %v, want %v", d, key, step,
					i, n, v, want)
				return
			}
		}
	}
}

// momentSigmas is how many standard errors a moment may be off: a wrong generator is off by
// hundreds, and with fixed keys a right one that passes once passes always.
const momentSigmas = 4

func randomMoments(e *env) {
	const n = 100_000
	step := e.ints([]int32{5}, 1)
	y := e.out(n)
	e.Random(tensor.Normal, tensor.NewKey(3, "moments"), y, step)
	var m [5]float64
	for _, v := range y.Floats() {
		for k := range m {
			m[k] += math.Pow(v, float64(k)) / n
		}
	}
	// The k-th power of a standard normal has mean 0, 1, 0, 3 and variance 1, 2, 15, 96.
	want, variance := [5]float64{1, 0, 1, 0, 3}, [5]float64{0, 1, 2, 15, 96}
	for k := 1; k < 5; k++ {
		if bound := momentSigmas * math.Sqrt(variance[k]/n); math.Abs(m[k]-want[k]) > bound {
			e.fault("moment %d of %d normals: got %.4f, want %v ± %.4f", k, n, m[k], want[k], bound)
		}
	}
	u := e.out(n)
	e.Random(tensor.Uniform, tensor.NewKey(4, "moments"), u, step)
	var bins [16]int
	for _, v := range u.Floats() {
		bins[min(int(v*16), 15)]++
	}
	for i, b := range bins {
		if dev := math.Abs(float64(b) - n/16.0); dev > momentSigmas*math.Sqrt(n/16.0) {
			e.fault("bin %d of 16 holds %d of %d uniforms", i, b, n)
		}
	}
	e.want(fmt.Sprint("uniform ", n), u, within(kRounded))
}
