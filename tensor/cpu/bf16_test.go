package cpu

import (
	"math"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/ref"
)

// openBF16 opens a backend that multiplies in bfloat16, or skips the test.
func openBF16(t *testing.T, threads int) *Backend {
	t.Helper()
	if !gemm.HasBF16() {
		t.Skip("no AVX512_BF16 here; packages gemm and conv test the plain Go")
	}
	b := Open(threads)
	t.Cleanup(b.Close)
	if err := b.SetPrecision(tensor.BF16); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConformanceBF16 holds convolutions and matrix products of operands that are bfloat16s to
// tensor/ref within the bounds of sums in float32, with Winograd's form beside and without it.
func TestConformanceBF16(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestConformance reaches the fallback in F64")
	}
	for name, families := range map[string][]string{"winograd": {"conv"},
		"direct": {"matmul", "conv"}} {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, backendtest.Options{
				Open: func(threads int) tensor.Backend {
					b := openBF16(t, threads)
					b.SetWinograd(name == "winograd")
					return b
				},
				Families: families, BF16: true,
				NoF64:  "it is not affected, and TestConformance tests it",
				NoBF16: "tensor/ref computes it, whatever the precision"})
		})
	}
}

// TestPrecisionRounds shows that each of the kernels rounds its operands in bfloat16 and only then,
// within the bound that SetPrecision states.
func TestPrecisionRounds(t *testing.T) {
	b := openBF16(t, 2)
	b.SetWinograd(false)
	slow, fast := tensor.NewScope(ref.New()), tensor.NewScope(b)
	defer slow.Close()
	defer fast.Close()
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1,
		DilH: 1, DilW: 1, Groups: 1}
	image, filter, matrix := []int{2, 8, 8, 32}, []int{32, 3, 3, 32}, []int{64, 64}
	for name, k := range map[string]struct {
		a, b, out []int
		f         func(be tensor.Backend, out, a, b *tensor.Tensor)
	}{
		"forward": {image, filter, image,
			func(be tensor.Backend, out, a, b *tensor.Tensor) { be.Conv2D(out, a, b, p) }},
		"input gradient": {image, filter, image,
			func(be tensor.Backend, out, a, b *tensor.Tensor) { be.Conv2DInputGrad(out, a, b, p) }},
		"weight gradient": {image, image, filter,
			func(be tensor.Backend, out, a, b *tensor.Tensor) { be.Conv2DWeightGrad(out, a, b, p) }},
		"product": {matrix, matrix, matrix, func(be tensor.Backend, out, a, b *tensor.Tensor) {
			be.MatMul(out, a, b, tensor.MatMulParams{})
		}},
	} {
		x, y := normals(slow, fast, name+" a", k.a), normals(slow, fast, name+" b", k.b)
		want, mag := slow.New(tensor.F64, k.out...), slow.New(tensor.F64, k.out...)
		k.f(slow.Backend(), want, x.slow, y.slow)
		k.f(slow.Backend(), mag, magnitude(slow, x.slow), magnitude(slow, y.slow))
		worst := func(d tensor.DType) (worst float64) {
			if err := b.SetPrecision(d); err != nil {
				t.Fatal(err)
			}
			got := fast.New(tensor.F32, k.out...)
			k.f(b, got, x.fast, y.fast)
			w, m := want.Floats(), mag.Floats()
			for i, g := range got.Floats() {
				worst = max(worst, math.Abs(g-w[i])/m[i])
			}
			return worst
		}
		const additions = 288 * 0x1p-24 // of the longest sum
		if e := worst(tensor.BF16); e > 0x1p-7+0x1p-16+additions || e < 4*additions {
			t.Errorf("%s in bf16: largest error %.3g of the magnitudes", name, e)
		}
		if e := worst(tensor.F32); e > additions {
			t.Errorf("%s in f32: largest error %.3g of the magnitudes", name, e)
		}
	}
}

// normals draws one operand for both.
func normals(slow, fast *tensor.Scope, label string, shape []int) pair {
	x, y := slow.New(tensor.F64, shape...), fast.New(tensor.F32, shape...)
	rng := tensor.NewRNG(tensor.NewKey(1, label), 0)
	v := make([]float64, x.Size())
	for i := range v {
		v[i] = float64(float32(rng.Normal()))
	}
	x.SetFloats(v)
	y.SetFloats(v)
	return pair{x, y}
}

// TestSetPrecision: what is refused, and what is then chosen.
func TestSetPrecision(t *testing.T) {
	b := Open(1)
	defer b.Close()
	if b.Precision() != tensor.F32 {
		t.Errorf("a new backend multiplies in %v", b.Precision())
	}
	if err := b.SetPrecision(tensor.F64); err == nil || b.Precision() != tensor.F32 {
		t.Errorf("f64: %v, now %v", err, b.Precision())
	}
	err := b.SetPrecision(tensor.BF16)
	if gemm.HasBF16() != (err == nil) || gemm.HasBF16() != (b.Precision() == tensor.BF16) {
		t.Errorf("bf16 with the instruction there: %v; %v, now %v", gemm.HasBF16(), err, b.Precision())
	}
	if err != nil && !strings.Contains(err.Error(), "AVX512_BF16") {
		t.Errorf("bf16: %v: expected the name of what is missing", err)
	}
	if err := b.SetPrecision(tensor.F32); err != nil || b.Precision() != tensor.F32 {
		t.Errorf("back to f32: %v, now %v", err, b.Precision())
	}
}
