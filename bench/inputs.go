package bench

import "afterimage/tensor"

// seed of all random inputs.
const seed = 1

// uniform fills x with numbers in (0, 1) of the stream called name.
func uniform(x []float32, name string) {
	key := tensor.NewKey(seed, "bench/"+name)
	for i := 0; i < len(x); i += 4 {
		w := key.Block(0, uint64(i/4))
		for k := range min(4, len(x)-i) {
			x[i+k] = float32(tensor.Uniform01(w[k]))
		}
	}
}

// period is after how many numbers random repeats itself: enough that nothing notices, few enough
// that filling 100 MB takes no time.
const period = 1<<16 - 1

// random returns n numbers of the stream called name, in (−1, 1).
func random(n int, name string) []float32 {
	x := make([]float32, n)
	first := x[:min(n, period)]
	uniform(first, name)
	for i, v := range first {
		first[i] = 2*v - 1
	}
	for at := len(first); at < n; at += period {
		copy(x[at:], first)
	}
	return x
}
