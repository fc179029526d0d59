package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestClampRows holds every variant to its definition, to the bit, and to the elements it is given.
func TestClampRows(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 38))
	inf := float32(math.Inf(1))
	for _, v := range variants() {
		for _, n := range []int{0, 1, 7, 16, 17, 33, 160} {
			for _, gap := range []int{0, 5} {
				for count := range 4 {
					for _, b := range [][2]float32{{-0.5, 1}, {0, inf}, {-inf, inf}} {
						size := max(0, count*(n+gap)-gap)
						y, check := guarded(t, size, 4)
						res := randoms(r, size)
						if size > 2 {
							y[0], y[1], y[2] = float32(math.NaN()), -inf, inf
						}
						checkClampRows(t, v, y, nil, n, count, n+gap, b)
						checkClampRows(t, v, y, res, n, count, n+gap, b)
						check("ClampRows")
					}
				}
			}
		}
	}
}

func checkClampRows(t *testing.T, v table, y, res []float32, n, count, step int, b [2]float32) {
	t.Helper()
	want := append([]float32(nil), y...)
	swish := b[0] == -0.5 && res == nil
	saved := active
	active = v
	if swish { // Gated has the rest
		for r := range count {
			HardSwish(want[r*step:][:n], want[r*step:][:n], b[0], b[1])
		}
		HardSwishRows(y, n, count, step, b[0], b[1])
	} else {
		clampRowsGo(want, res, n, count, step, b[0], b[1])
		ClampRows(y, res, n, count, step, b[0], b[1])
	}
	active = saved
	for i := range want {
		if math.Float32bits(y[i]) != math.Float32bits(want[i]) && (y[i] == y[i] || want[i] == want[i]) {
			t.Fatalf("%s: %d rows of %d, %d apart, [%g, %g]: element %d is %g, want %g", v.name, count, n,
				step, b[0], b[1], i, y[i], want[i])
		}
	}
}

// TestClampRowsTooShort: as TestTapSumsTooShort.
func TestClampRowsTooShort(t *testing.T) {
	for _, f := range []func(){
		func() { ClampRows(make([]float32, 8), nil, 3, 2, 6, 0, 1) },
		func() { ClampRows(make([]float32, 9), make([]float32, 8), 3, 2, 6, 0, 1) },
		func() { ClampRows(make([]float32, 9), nil, 3, 2, 2, 0, 1) },
		func() { HardSwishRows(make([]float32, 8), 3, 2, 6, 0, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}
