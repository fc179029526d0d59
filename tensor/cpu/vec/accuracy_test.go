package vec

import (
	"math"
	"testing"
	"unsafe"
)

// Documented accuracies in ulp, over (nearly) all of binary32.
const (
	ulpExp     = 1.0
	ulpLog     = 1.0
	ulpTanh    = 2.0
	ulpErf     = 1.25
	ulpSigmoid = 3.0
	// ulpSoftplus: exp, log and a division each leave an ulp or so, and the sum another.
	ulpSoftplus = 3.0
)

// ulps returns |got - want| in units of the spacing of binary32 at want.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	if math.IsNaN(want) || got != got {
		if math.IsNaN(want) && got != got {
			return 0
		}
		return math.Inf(1)
	}
	if got == w {
		return 0
	}
	if math.IsInf(float64(w), 0) || math.IsInf(float64(got), 0) {
		// Rounding may reach Inf from just below the overflow threshold, and stop short of it.
		return math.Abs(want)/math.MaxFloat32 - 1
	}
	a := float32(math.Abs(float64(w)))
	spacing := float64(math.Nextafter32(a, float32(math.Inf(1)))) - float64(a)
	return math.Abs(float64(got)-want) / spacing
}

// Every function is tried on a grid of bit patterns that reaches every exponent and both signs.
func TestAccuracy(t *testing.T) {
	stride := uint32(2003) // prime: mantissas of all kinds
	if testing.Short() {
		stride = 20011
	}
	var x []float32
	for b := uint64(0); b < 1<<32; b += uint64(stride) {
		x = append(x, math.Float32frombits(uint32(b)))
	}
	y := make([]float32, len(x))
	for _, v := range variants() {
		for _, f := range []struct {
			name  string
			run   func(dst, x []float32)
			ref   func(x float64) float64
			limit float64
			skip  func(x float32) bool
		}{
			{"Exp", v.exp, math.Exp, ulpExp, nil},
			{"Log", v.log, math.Log, ulpLog, nil},
			{"Tanh", v.tanh, math.Tanh, ulpTanh, nil},
			{"Erf", v.erf, math.Erf, ulpErf, nil},
			{"Sigmoid", v.sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
				ulpSigmoid, func(x float32) bool { return x < -87 && x > -105 }},
			{"Softplus", v.softplus, func(x float64) float64 {
				return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
			}, ulpSoftplus, nil},
		} {
			f.run(y, x)
			worst, at := 0.0, float32(0)
			for i, a := range x {
				if f.skip != nil && f.skip(a) {
					continue
				}
				if e := ulps(y[i], f.ref(float64(a))); e > worst {
					worst, at = e, a
				}
			}
			t.Logf("%s %s: at most %.2f ulp, at %v", v.name, f.name, worst, at)
			if worst > f.limit {
				t.Errorf("%s %s(%v): %.2f ulp, promised %v", v.name, f.name, at, worst, f.limit)
			}
		}
	}
}

// Tanh may not fall where x grows: of all numbers between 1/64 and 16, which hold the changes from
// piece to piece or form to form and the last step to 1, or in short every eleventh.
func TestTanhMonotone(t *testing.T) {
	const n = 1 << 16
	stride := uint32(1)
	if testing.Short() {
		stride = 11
	}
	x, y := make([]float32, n), make([]float32, n)
	for _, v := range variants() {
		last := float32(0)
		for b := math.Float32bits(1. / 64); b < math.Float32bits(16); b += n * stride {
			for i := range x {
				x[i] = math.Float32frombits(b + uint32(i)*stride)
			}
			v.tanh(y, x)
			for i, g := range y {
				if !(g >= last && g <= 1) {
					t.Fatalf("%s: tanh(%v) = %v, and %v before it", v.name, x[i], g, last)
				}
				last = g
			}
		}
		if last != 1 {
			t.Errorf("%s: tanh ends at %v", v.name, last)
		}
	}
}

// Tanh must be odd to the last bit, and no exponential may lose an infinity or a zero or its sign.
func TestTranscendentalEnds(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, v := range variants() {
		one := func(f func(dst, x []float32), x float32) float32 {
			y := []float32{0}
			f(y, []float32{x})
			return y[0]
		}
		for i, c := range []struct{ got, want float32 }{
			{one(v.exp, inf), inf}, {one(v.exp, -inf), 0}, {one(v.exp, 0), 1},
			{one(v.exp, 88.8), inf}, {one(v.exp, -104), 0}, {one(v.exp, 3e38), inf},
			{one(v.log, 0), -inf}, {one(v.log, inf), inf}, {one(v.log, 1), 0},
			{one(v.log, float32(math.Copysign(0, -1))), -inf},
			{one(v.tanh, inf), 1}, {one(v.tanh, -inf), -1},
			{one(v.erf, inf), 1}, {one(v.erf, -inf), -1}, {one(v.erf, 0.3), -one(v.erf, -0.3)},
			{one(v.erf, 3), -one(v.erf, -3)}, {one(v.erf, 3.999), 1}, {one(v.erf, 4.001), 1},
			{one(v.sigmoid, inf), 1}, {one(v.sigmoid, -inf), 0}, {one(v.sigmoid, 0), 0.5},
			{one(v.softplus, inf), inf}, {one(v.softplus, -inf), 0},
			{one(v.tanh, 0.3), -one(v.tanh, -0.3)}, {one(v.tanh, 3), -one(v.tanh, -3)},
		} {
			if c.got != c.want {
				t.Errorf("%s case %d: got %v, want %v", v.name, i, c.got, c.want)
			}
		}
		minus0 := float32(math.Copysign(0, -1))
		for i, got := range []float32{one(v.tanh, minus0), one(v.erf, minus0)} {
			if got != 0 || !math.Signbit(float64(got)) {
				t.Errorf("%s: odd function %d of -0: got %v", v.name, i, got)
			}
		}
	}
}

// Large outputs take the path around the cache; the bits must be those of small ones.
func TestStreamedEqualsCached(t *testing.T) {
	const n = 2*StreamLen + 16*1024 + 37 // large for loops of one input, too
	for _, v := range variants() {
		x, y := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i], y[i] = float32(i%1013)-500, float32(i%977)-400
		}
		buf := make([]float32, n+32)
		out := buf[3 : n+3]
		v.add(out, x, y)
		for i := range out {
			if out[i] != x[i]+y[i] {
				t.Fatalf("%s Add: element %d of %d: %v", v.name, i, n, out[i])
			}
		}
		if buf[2] != 0 || buf[n+3] != 0 {
			t.Fatalf("%s Add wrote outside its output", v.name)
		}
		v.relu(out, x)
		for i := range out {
			if out[i] != max(0, x[i]) {
				t.Fatalf("%s ReLU: element %d of %d: %v", v.name, i, n, out[i])
			}
		}
		const c = 64
		rows := n / c * c
		want := make([]float32, rows)
		for lo := 0; lo < rows; lo += c * 100 { // the capacity hides that they are large
			hi := min(rows, lo+c*100)
			v.scaleShiftReLU(want[lo:hi:hi], x[lo:hi], y[:c], x[:c])
		}
		for _, at := range []int{offset64(buf), 1} { // at a cache line's start, and not
			got := buf[at : at+rows]
			v.scaleShiftReLU(got, x[:rows], y[:c], x[:c])
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s ScaleShiftReLU: element %d: %v, want %v", v.name, i, got[i],
						want[i])
				}
			}
		}
	}
}

// offset64 returns the first index of x that lies at a multiple of 64 bytes.
func offset64(x []float32) int {
	return int(-uintptr(unsafe.Pointer(&x[0])) >> 2 & 15)
}
