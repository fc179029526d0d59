package vec

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A benchCase counts the bytes that a function must move at least: each input once and each
// output once.
type benchCase struct {
	name   string
	arrays float64 // of n float32, read or written
	run    func()
}

// Five operands; the benchmarks run on windows of them.
type operands [5][]float32

func newOperands(n int) operands {
	var a operands
	for i := range a {
		a[i] = make([]float32, n)
		for k := range a[i] {
			a[i][k] = float32((k*7+i)%23) - 11
		}
	}
	return a
}

func (a operands) window(lo, n int) operands {
	for i := range a {
		a[i] = a[i][lo : lo+n]
	}
	return a
}

// benchCases runs each hot function on n elements, rows of 64 channels or of 256.
func benchCases(v table, a operands) []benchCase {
	const c = 64
	n := len(a[0])
	d, x, y, z, w := a[0], a[1], a[2], a[3], a[4]
	const wide = 256
	s, t := make([]float64, wide), make([]float64, wide)
	f, h := make([]float32, wide), make([]float32, wide)
	p, q, r := f[:c], h[:c], make([]float32, c)
	fillGo(f, 0.5)
	fillGo(h, 0.25)
	adam := AdamParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Correction1: 1,
		Correction2: 1}
	return []benchCase{
		{"copy", 2, func() { copy(d, x) }},
		{"ReLU", 2, func() { v.relu(d, x) }},
		{"ReLUInPlace", 2, func() { v.relu(d, d) }},
		{"Add", 3, func() { v.add(d, x, y) }},
		{"AddTo", 3, func() { v.addTo(d, x) }},
		{"AXPY", 3, func() { v.axpy(d, 1e-9, x) }},
		{"ReLUGrad", 3, func() { v.reluGrad(d, x, y) }},
		{"AddReLUGrad", 4, func() { v.addReLUGrad(d, x, y, z) }},
		{"AddRow", 2, func() { v.addRow(d, x, p) }},
		{"ScaleShiftReLU", 2, func() { v.scaleShiftReLU(d, x, p, q) }},
		{"ScaleShiftAddReLU", 3, func() { v.scaleShiftAddReLU(d, x, y, p, q) }},
		{"BNBackward", 3, func() { v.bnBackward(d, x, y, q, p, q, r) }},
		{"BNBackwardReLU", 3, func() { v.bnBackwardReLU(d, x, y, q, p, q, r, p) }},
		{"Sum", 1, func() { v.sum(x) }},
		{"ColSum", 1, func() { v.colSum(s[:c], x) }},
		{"ColMoments", 1, func() { v.colMoments(s[:c], t[:c], x, p) }},
		{"ColDot2", 2, func() { v.colDot2(s[:c], t[:c], x, y, p, q) }},
		{"ColDot2ReLU", 2, func() { v.colDot2ReLU(s[:c], t[:c], x, y, p, q, q, p) }},
		{"ColMoments256", 1, func() { v.colMoments(s, t, x, f) }},
		{"ColDot2ReLU256", 2, func() { v.colDot2ReLU(s, t, x, y, f, h, h, f) }},
		{"SGD", 5, func() { v.sgd(d, w, x, SGDParams{LR: 1e-9, Momentum: 0.5}) }},
		{"Adam", 7, func() { v.adam(d, w, z, x, adam) }},
		{"EMA", 3, func() { v.ema(d, x, 0.999) }},
		{"Exp", 2, func() { v.exp(d, x) }},
		{"Log", 2, func() { v.log(d, x) }},
		{"Tanh", 2, func() { v.tanh(d, x) }},
		{"Erf", 2, func() { v.erf(d, x) }},
		{"Sigmoid", 2, func() { v.sigmoid(d, x) }},
		{"SiLU", 2, func() { v.silu(d, x) }},
		{"GELU", 2, func() { v.gelu(d, x) }},
		{"Softplus", 2, func() { v.softplus(d, x) }},
		{"Softmax10", 2, func() { v.softmax(d[:n/10*10], x[:n/10*10], 10) }},
		{"Softmax100", 2, func() { v.softmax(d[:n/100*100], x[:n/100*100], 100) }},
		{"Pool2x2", 1.25, func() { v.pool2x2(d[:n/4], x[:n/2], y[:n/2], c, 0.25) }},
		{"Upsample2x2", 1.25, func() { v.upsample2x2(x[:n/2], y[:n/2], d[:n/4], c, 1) }},
	}
}

// Benchmark reports the bandwidth of every hot function, in the second-level cache (arrays of
// 128 KB) and in memory (windows of 4 MB that move through arrays of 32 MB). Calls alternate with
// calls of copy on as many bytes, and medians are compared: GB/s is the function's, x-copy its
// ratio to copy's, which other users of a shared machine disturb least.
func Benchmark(b *testing.B) {
	for _, size := range []struct {
		name            string
		window, windows int
	}{
		{"L2", 1 << 15, 1}, {"memory", 1 << 20, 8},
	} {
		a := newOperands(size.window * size.windows)
		for _, v := range variants() {
			cases := make([][]benchCase, size.windows)
			for i := range cases {
				cases[i] = benchCases(v, a.window(i*size.window, size.window))
			}
			for j, bc := range cases[0] {
				b.Run(fmt.Sprintf("%s/%s/%s", size.name, v.name, bc.name), func(b *testing.B) {
					var runs []func()
					for i := range cases {
						runs = append(runs, cases[i][j].run)
					}
					benchBesideCopy(b, runs, size.window, bc.arrays)
				})
			}
		}
	}
}

func benchBesideCopy(b *testing.B, runs []func(), n int, arrays float64) {
	dst, src := make([]float32, n*len(runs)), make([]float32, n*len(runs))
	fillGo(src, 1) // pages that were never written are all the same page of zeros, in the cache
	fillGo(dst, 1)
	var times, copies []time.Duration
	for i := 0; b.Loop(); i++ {
		w := i % len(runs)
		d, s, run := dst[w*n:][:n], src[w*n:][:n], runs[w]
		if len(runs) == 1 { // bring the operands into the cache
			copy(d, s)
		}
		t0 := time.Now()
		copy(d, s)
		copies = append(copies, time.Since(t0))
		if len(runs) == 1 {
			run()
		}
		t1 := time.Now()
		run()
		times = append(times, time.Since(t1))
	}
	slices.Sort(times)
	slices.Sort(copies)
	speed := 4 * float64(n) * arrays / times[len(times)/2].Seconds()
	b.ReportMetric(speed/1e9, "GB/s")
	b.ReportMetric(speed*copies[len(copies)/2].Seconds()/(8*float64(n)), "x-copy")
}
