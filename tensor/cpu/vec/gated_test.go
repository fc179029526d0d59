package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGated holds the activations x·s(x) to the loops that they are made of, to the bit.
func TestGated(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	x := append(randoms(r, 1000), 0, float32(math.Copysign(0, -1)), 3, -3, 1e-40, -1e30, 1e30,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()))
	for i := range 900 {
		x[i] *= 4
	}
	half := float32(0.5)
	for _, v := range variants() {
		gate := make([]float32, len(x))
		for _, f := range []struct {
			name string
			once func(dst, x []float32)
			gate func()
		}{
			{"SiLU", v.silu, func() { v.sigmoid(gate, x) }},
			{"GELU", v.gelu, func() {
				v.affine(gate, x, float32(1/math.Sqrt2), 0)
				v.erf(gate, gate)
				v.affine(gate, gate, half, half)
			}},
			{"HardSwish", func(dst, x []float32) { v.hardSwish(dst, x, 1./6, half) }, func() {
				v.affine(gate, x, 1./6, half)
				v.clamp(gate, gate, 0, 1)
			}},
		} {
			for _, n := range []int{0, 1, 7, 17, len(x)} {
				got, want := make([]float32, n), make([]float32, n)
				f.gate()
				v.mul(want, x[:n], gate[:n])
				f.once(got, x[:n])
				for i := range want {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) &&
						(got[i] == got[i] || want[i] == want[i]) {
						t.Fatalf("%s %s(%g) is %g at once, %g step by step", v.name, f.name, x[i], got[i],
							want[i])
					}
				}
			}
		}
	}
}
