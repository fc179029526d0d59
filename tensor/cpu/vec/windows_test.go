package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMaxWindows holds every variant against argMaxGo of each window, with ties and NaN.
func TestMaxWindows(t *testing.T) {
	for _, v := range variants() {
		for _, c := range []int{1, 7, 8, 15, 16, 17, 40, 64} {
			for _, w := range []Windows{{KH: 2, KW: 2, Pitch: 10, Step: 2, Count: 5},
				{KH: 3, KW: 3, Pitch: 11, Step: 2, Count: 5, First: 70}, {KH: 1, KW: 1, Pitch: 1, Count: 1},
				{KH: 2, KW: 3, Pitch: 3, Step: 0, Count: 2}, {KH: 3, KW: 1, Pitch: 4, Step: 5, Count: 3}} {
				w.C = c
				checkWindows(t, v, w)
			}
		}
	}
}

func checkWindows(t *testing.T, v table, w Windows) {
	t.Helper()
	r := rand.New(rand.NewPCG(21, 22))
	x := make([]float32, w.pixels()*w.C)
	for i := range x {
		x[i] = float32(r.IntN(4)) // many ties, of both zeros as well
		if r.IntN(8) == 0 {
			x[i] = float32(math.Copysign(0, -1))
		}
		if r.IntN(12) == 0 {
			x[i] = float32(math.NaN())
		}
	}
	alone, checkAlone := guarded(t, w.Count*w.C, 3)
	v.maxima(alone, x, w)
	checkAlone("maxima")
	y, check := guarded(t, w.Count*w.C, 3)
	idx := make([]int32, w.Count*w.C+1)
	v.maxWindows(y, idx[:w.Count*w.C], x, w)
	check("MaxWindows")
	if idx[w.Count*w.C] != 0 {
		t.Fatalf("%s MaxWindows wrote past idx", v.name)
	}
	for i, got := range y {
		j, c := i/w.C, i%w.C
		var window []float32
		for u := range w.KH {
			for s := range w.KW {
				window = append(window, x[(j*w.Step+u*w.Pitch+s)*w.C+c])
			}
		}
		at := argMaxGo(window)
		want := int(w.First) + j*w.Step + at/w.KW*w.Pitch + at%w.KW
		if int(idx[i]) != want || got != window[at] && window[at] == window[at] {
			t.Fatalf("%s MaxWindows %+v, window %d, channel %d: %v at %d of %v, want %d", v.name, w, j, c,
				got, idx[i], window, want)
		}
		if m := alone[i]; math.Float32bits(m) != math.Float32bits(got) && (m == m || got == got) {
			t.Fatalf("%s %+v, window %d, channel %d: %v, and %v without its position", v.name, w, j, c,
				got, m)
		}
	}
}

// TestMaxWindowsCalls: more windows than one call of the assembly takes.
func TestMaxWindowsCalls(t *testing.T) {
	const n = 1 << 17
	w := Windows{C: 1, Count: n, KH: 1, KW: 2, Pitch: 2, Step: 1, First: 5}
	x := make([]float32, n+1)
	x[n/2] = 1
	y, idx := make([]float32, n), make([]int32, n)
	for _, v := range variants() {
		v.maxWindows(y, idx, x, w)
		for j, at := range idx {
			want := j
			if j == n/2-1 {
				want++
			}
			if int(at) != want+5 {
				t.Fatalf("%s: window %d has its maximum at %d, want %d", v.name, j, at, want+5)
			}
		}
	}
}

// TestScatterAdd: several pixels may name one position, and a wrong one ends the call.
func TestScatterAdd(t *testing.T) {
	for _, v := range variants() {
		r := rand.New(rand.NewPCG(27, 28))
		for _, c := range []int{1, 3, 16, 33} {
			const pixels, n = 7, 20
			dy, idx := randoms(r, n*c), make([]int32, n*c)
			dx, check := guarded(t, pixels*c, 2)
			clear(dx)
			want := make([]float32, pixels*c)
			for i := range idx {
				idx[i] = int32(r.IntN(pixels))
				want[int(idx[i])*c+i%c] += dy[i]
			}
			if left := v.scatterAdd(dx, dy, idx, c); left != 0 {
				t.Fatalf("%s ScatterAdd left %d pixels", v.name, left)
			}
			check("ScatterAdd")
			for i := range dx {
				if dx[i] != want[i] {
					t.Fatalf("%s ScatterAdd C %d: element %d is %v, want %v", v.name, c, i, dx[i], want[i])
				}
			}
			for _, bad := range []int32{-1, pixels, math.MaxInt32, math.MinInt32} {
				wrong := append([]int32(nil), idx...)
				wrong[4*c+c/2] = bad
				if left := v.scatterAdd(dx, dy, wrong, c); left != n-4 {
					t.Fatalf("%s ScatterAdd took position %d: %d pixels left", v.name, bad, left)
				}
				check("ScatterAdd")
			}
		}
	}
}
