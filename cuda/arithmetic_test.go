//go:build linux && amd64 && cgo

package cuda

import (
	"math"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/backendtest"
	"afterimage/tensor/ref"
)

// inBF16 opens the fake device with bf16 products, through the fake libraries or our own kernels;
// cache is the folder of plans, "" a new one.
func inBF16(t *testing.T, libraries bool, cache string) *Backend {
	t.Helper()
	if libraries {
		t.Setenv("AFTERIMAGE_CUBLASLT", fake.Lt)
		t.Setenv("AFTERIMAGE_CUDNN", fake.DNN)
	}
	b := open(t, Options{Precision: tensor.BF16, Hopper: true, Cache: cache})
	if (b.lt != nil) != libraries || (b.dnn != nil) != libraries ||
		!strings.HasSuffix(b.Kernels(), ", bf16 products and activations") {
		t.Fatalf("libraries %v: %s", libraries, b.Kernels())
	}
	if libraries {
		b.dnn.alone = true
	}
	return b
}

// TestConformanceBF16 runs the conformance suite's products in bf16, on operands that are
// bfloat16s, so that rounding them changes nothing: sizes, strides, NaN and Inf.
func TestConformanceBF16(t *testing.T) {
	if testing.Short() {
		t.Skip("short: TestBF16Products multiplies a few shapes")
	}
	for name, libraries := range map[string]bool{"own": false, "libraries": true} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			backendtest.Run(t, backendtest.Options{Families: []string{"matmul", "conv"}, BF16: true,
				BF16Results: libraries, PaddingMultiplied: paddingMultiplied,
				NoF64: "F64 products do not round",
				Open:  func(int) tensor.Backend { return inBF16(t, libraries, cache) }})
		})
	}
}

// A pair is one tensor on two backends: F32 on the device, and F64 on the reference as it is and
// rounded to BF16, with the absolute values of the latter.
type pair struct{ device, whole, rounded, size *tensor.Tensor }

// draw returns normal numbers.
func draw(d, r *tensor.Scope, rng *tensor.RNG, shape ...int) pair {
	n := tensor.Shape(shape).Size()
	whole, rounded, size := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range whole {
		v := float32(rng.Normal())
		bits := math.Float32bits(v)
		bits = (bits + 0x7FFF + bits>>16&1) &^ 0xFFFF // to nearest, ties to even
		whole[i], rounded[i] = float64(v), float64(math.Float32frombits(bits))
		size[i] = math.Abs(rounded[i])
	}
	p := pair{device: d.New(tensor.F32, shape...), whole: r.New(tensor.F64, shape...),
		rounded: r.New(tensor.F64, shape...), size: r.New(tensor.F64, shape...)}
	p.device.SetFloats(whole)
	p.whole.SetFloats(whole)
	p.rounded.SetFloats(rounded)
	p.size.SetFloats(size)
	return p
}

// agrees compares a sum of k products with the reference on rounded operands, which must agree but
// for the F32 additions, and on operands that are not, which is what Options.Precision promises.
// Both bounds are relative to the sum of the products' absolute values.
// So is what rounding the result costs, which may be up to narrow of it.
func agrees(t *testing.T, what string, k int, narrow float64, got *tensor.Tensor,
	f func(y, a, b *tensor.Tensor), r *tensor.Scope, a, b pair,
) {
	t.Helper()
	rounded, whole, size := r.New(tensor.F64, got.Shape()...), r.New(tensor.F64, got.Shape()...),
		r.New(tensor.F64, got.Shape()...)
	f(rounded, a.rounded, b.rounded)
	f(whole, a.whole, b.whole)
	f(size, a.size, b.size)
	w, e, s := rounded.Floats(), whole.Floats(), size.Floats()
	adding := float64(k)*0x1p-23 + narrow
	differs := narrow > 0
	for i, v := range got.Floats() {
		if d := math.Abs(v - w[i]); !(d <= adding*s[i]) {
			t.Fatalf("%s, element %d: %.9g, of rounded operands %.9g: beyond %d additions in F32", what,
				i, v, w[i], k)
		}
		if d := math.Abs(v - e[i]); !(d <= (0x1p-7+adding)*s[i]*1.01) { // of unrounded |x·w|: 1 % room
			t.Fatalf("%s, element %d: %.9g, exactly %.9g: beyond the promised bound", what, i, v, e[i])
		}
		differs = differs || math.Abs(v-e[i]) > adding*s[i]
	}
	if !differs {
		t.Errorf("%s: nothing was rounded", what)
	}
}

// TestBF16Products holds matrix products and the three convolutions in bf16 to the reference on
// operands rounded to bfloat16: through our kernels and through the libraries' interfaces.
func TestBF16Products(t *testing.T) {
	for name, libraries := range map[string]bool{"own": false, "libraries": true} {
		t.Run(name, func(t *testing.T) {
			b, exact := inBF16(t, libraries, ""), ref.New()
			d, r := tensor.NewScope(b), tensor.NewScope(exact)
			defer d.Close()
			defer r.Close()
			rng := tensor.NewRNG(tensor.NewKey(1, t.Name()), 0)
			for _, s := range [][4]int{{1, 1, 1, 1}, {7, 5, 3, 2}, {65, 33, 40, 1}, {64, 64, 64, 1}} {
				bf16MatMul(t, b, exact, d, r, rng, s)
			}
			plain := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
			padded, grouped := plain, plain
			padded.PadTop, padded.PadLeft, padded.PadBottom, padded.PadRight = 1, 1, 1, 1
			padded.StrideH = 2
			grouped.Groups = 2
			bf16Conv(t, b, exact, d, r, rng, [3]int{2, 16, 8}, padded)
			bf16Conv(t, b, exact, d, r, rng, [3]int{3, 3, 5}, plain)
			bf16Conv(t, b, exact, d, r, rng, [3]int{1, 6, 4}, grouped)
			if by, own := b.ConvolutionsBy(); (by > 0) != libraries || own != 0 {
				t.Errorf("%d convolutions by cuDNN, %d for lack of a plan by our kernels", by, own)
			}
			if err := b.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
}

// bf16MatMul multiplies m×k by k×n, batch times, with every transposition. s is m, n, k, batch.
func bf16MatMul(t *testing.T, b *Backend, exact *ref.Backend, d, r *tensor.Scope, rng *tensor.RNG,
	s [4]int,
) {
	m, n, k, batch := s[0], s[1], s[2], s[3]
	for trans := range 4 {
		p := tensor.MatMulParams{TransA: trans&1 != 0, TransB: trans&2 != 0}
		as, bs := []int{batch, m, k}, []int{batch, k, n}
		if p.TransA {
			as = []int{batch, k, m}
		}
		if p.TransB {
			bs = []int{batch, n, k}
		}
		x, y := draw(d, r, rng, as...), draw(d, r, rng, bs...)
		got := d.New(tensor.F32, batch, m, n)
		b.MatMul(got, x.device, y.device, p)
		agrees(t, "MatMul", k, 0, got,
			func(z, x, y *tensor.Tensor) { exact.MatMul(z, x, y, p) }, r, x, y)
	}
}

// bf16Conv runs the triple on images [n 7 6 c] with 3×3 filters; s is n, c, o.
func bf16Conv(t *testing.T, b *Backend, exact *ref.Backend, d, r *tensor.Scope, rng *tensor.RNG,
	s [3]int, p tensor.ConvParams,
) {
	n, c, o := s[0], s[1], s[2]
	oh, ow := p.Out(7, 6, 3, 3)
	x, w := draw(d, r, rng, n, 7, 6, c), draw(d, r, rng, o, 3, 3, c/p.Groups)
	dy := draw(d, r, rng, n, oh, ow, o)
	y, dx, dw := d.Like(dy.device), d.Like(x.device), d.Like(w.device)
	narrow := 0.0
	if b.dnn != nil { // cuDNN's results are bfloat16
		narrow = 0x1p-8
	}
	b.Conv2D(y, x.device, w.device, p)
	b.Conv2DInputGrad(dx, dy.device, w.device, p)
	b.Conv2DWeightGrad(dw, x.device, dy.device, p)
	agrees(t, "Conv2D", 9*c/p.Groups, narrow, y,
		func(y, x, w *tensor.Tensor) { exact.Conv2D(y, x, w, p) }, r, x, w)
	agrees(t, "Conv2DInputGrad", 9*o/p.Groups, narrow, dx,
		func(dx, dy, w *tensor.Tensor) { exact.Conv2DInputGrad(dx, dy, w, p) }, r, dy, w)
	agrees(t, "Conv2DWeightGrad", n*oh*ow, narrow, dw,
		func(dw, x, dy *tensor.Tensor) { exact.Conv2DWeightGrad(dw, x, dy, p) }, r, x, dy)
}

// TestBF16Epilogue wants bias, residual and ReLU added to the F32 sums.
func TestBF16Epilogue(t *testing.T) {
	for name, libraries := range map[string]bool{"own": false, "libraries": true} {
		t.Run(name, func(t *testing.T) {
			b := inBF16(t, libraries, "")
			s := tensor.NewScope(b)
			defer s.Close()
			x, w := s.Full(tensor.F32, 1, 1, 4, 4, 8), s.Full(tensor.F32, 1, 8, 1, 1, 8)
			bias, res := s.Full(tensor.F32, -8.0009765625, 8), s.Full(tensor.F32, 0.00048828125, 1, 4, 4, 8)
			y := s.New(tensor.F32, 1, 4, 4, 8)
			p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
			b.Conv2DBiasAct(y, x, w, bias, res, false, p)
			if got := y.Floats()[5]; got != -0.00048828125 { // would vanish in bfloat16
				t.Errorf("got %v", got)
			}
			b.Conv2DBiasAct(y, x, w, bias, res, true, p)
			if got := y.Floats()[5]; got != 0 {
				t.Errorf("after the ReLU: %v", got)
			}
		})
	}
}

// TestArithmetic names what the options make of products, and refuses what contradicts itself.
func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want arithmetic
		fail string
	}{
		{Options{}, exact, ""}, {Options{Precision: tensor.F32}, exact, ""},
		{Options{TF32: true}, tf32, ""}, {Options{Precision: tensor.BF16}, bf16, ""},
		{Options{Precision: tensor.BF16, TF32: true}, 0, "choose one"},
		{Options{Precision: tensor.F64}, 0, "expected f32 or bf16"},
	} {
		got, err := c.o.arithmetic()
		if got != c.want || (err == nil) != (c.fail == "") ||
			err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%+v: %v, %v", c.o, got, err)
		}
	}
}
