package main

import (
	"fmt"
	"math"

	"afterimage/cuda"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// bf16 multiplies matrices and convolves in bf16 and compares with F64 sums of operands rounded to
// bfloat16: what the tensor cores compute, by our kernels and by NVIDIA's libraries, which the
// conformance suite, all in F32 and F64, does not reach.
func (c *check) bf16() error {
	for _, o := range arithmetics() {
		if o.Precision != tensor.BF16 {
			continue
		}
		b, err := c.open(o.Options)
		if err != nil {
			return err
		}
		worst, err := bf16Worst(b, c.tiny)
		b.Close()
		if err != nil {
			return err
		}
		// Sums of at most 9,216 products, each addition off by 2⁻²³ of what is added so far.
		bound := 9216 * 0x1p-23
		if !o.Own {
			bound += 0x1p-8 // cuDNN's results are bfloat16
		}
		c.say(line{Stage: "agreement", Name: "products, " + o.name, OK: worst <= bound,
			Values: map[string]any{"worst_of_sum_of_sizes": worst, "bound": bound}})
	}
	return nil
}

// A trial is one product with its operands' shapes and result's.
type trial struct {
	a, b, out []int
	run       func(on tensor.Backend, out, a, b *tensor.Tensor)
}

// trials cover every kernel of the bf16 products: narrow tiles and wide ones, which take a result
// of 128 of them, transpositions, the three convolutions, channels that are no multiple of eight.
func trials(tiny bool) (all []trial) {
	m := 300
	if tiny {
		m = 12
	}
	for trans := range 4 {
		p := tensor.MatMulParams{TransA: trans&1 != 0, TransB: trans&2 != 0}
		for _, s := range [][3]int{{33, 17, 65}, {m, m, 256}, {5 * m, 5 * m, 64}} {
			a, b := []int{s[0], s[2]}, []int{s[2], s[1]}
			if p.TransA {
				a = []int{s[2], s[0]}
			}
			if p.TransB {
				b = []int{s[1], s[2]}
			}
			all = append(all, trial{a, b, []int{s[0], s[1]},
				func(on tensor.Backend, out, a, b *tensor.Tensor) { on.MatMul(out, a, b, p) }})
		}
	}
	shapes := [][4]int{{2, 9, 3, 5}, {2, 8, 16, 24}} // n, size, c, o
	if !tiny {                                       // wide tiles for y, for dx, for dw
		shapes = append(shapes, [4]int{8, 48, 8, 128}, [4]int{8, 48, 72, 8}, [4]int{1, 8, 1024, 256})
	}
	for _, s := range shapes {
		n, size, i, o := s[0], s[1], s[2], s[3]
		p := tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1,
			PadRight: 1, DilH: 1, DilW: 1, Groups: 1}
		x, w, y := []int{n, size, size, i}, []int{o, 3, 3, i}, []int{n, size, size, o}
		all = append(all,
			trial{x, w, y, func(on tensor.Backend, y, x, w *tensor.Tensor) { on.Conv2D(y, x, w, p) }},
			trial{y, w, x, func(on tensor.Backend, x, y, w *tensor.Tensor) {
				on.Conv2DInputGrad(x, y, w, p)
			}},
			trial{x, y, w, func(on tensor.Backend, w, x, y *tensor.Tensor) {
				on.Conv2DWeightGrad(w, x, y, p)
			}})
	}
	return all
}

// bf16Worst returns the largest error of all trials relative to the sum of the products' sizes.
func bf16Worst(b *cuda.Backend, tiny bool) (worst float64, err error) {
	host := cpu.Open(0)
	defer host.Close()
	for i, t := range trials(tiny) {
		d, h := tensor.NewScope(b), tensor.NewScope(host)
		rng := tensor.NewRNG(tensor.NewKey(1, "gpucheck/bf16"), uint32(i))
		operand := func(shape []int) (on, exact, size *tensor.Tensor) {
			n := tensor.Shape(shape).Size()
			whole, rounded, sizes := make([]float32, n), make([]float64, n), make([]float64, n)
			for k := range whole {
				whole[k] = float32(rng.Normal())
				bits := math.Float32bits(whole[k])
				bits = (bits + 0x7FFF + bits>>16&1) &^ 0xFFFF // to nearest, ties to even
				rounded[k] = float64(math.Float32frombits(bits))
				sizes[k] = math.Abs(rounded[k])
			}
			return tensor.FromSlice(d, whole, shape...), tensor.FromSlice(h, rounded, shape...),
				tensor.FromSlice(h, sizes, shape...)
		}
		aOn, a, aSize := operand(t.a)
		bOn, b64, bSize := operand(t.b)
		got, want := d.New(tensor.F32, t.out...), h.New(tensor.F64, t.out...)
		size := h.New(tensor.F64, t.out...)
		t.run(b, got, aOn, bOn)
		t.run(host, want, a, b64)
		t.run(host, size, aSize, bSize)
		w, s := want.Floats(), size.Floats()
		for k, v := range got.Floats() {
			if e := math.Abs(v-w[k]) / max(s[k], 1e-30); !(e <= worst) && !math.IsNaN(worst) {
				worst = e
			}
		}
		d.Close()
		h.Close()
		if err := b.Sync(); err != nil {
			return 0, fmt.Errorf("trial %d: %w", i, err)
		}
	}
	return worst, nil
}
