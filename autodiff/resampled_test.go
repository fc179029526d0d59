package autodiff_test

import (
	"fmt"
	"math"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestResampledConvolutions: a filter of one tap more equals the two steps, in F64 to rounding.
func TestResampledConvolutions(t *testing.T) {
	mean := tensor.PoolParams{KH: 2, KW: 2, StrideH: 2, StrideW: 2}
	for i, c := range []struct{ h, w, kh, kw, top, left, bottom, right int }{
		{4, 6, 3, 3, 1, 1, 1, 1}, {5, 4, 3, 3, 1, 1, 1, 1}, {3, 5, 3, 3, 0, 2, 1, 0},
		{4, 4, 1, 1, 0, 0, 0, 0}, {6, 5, 2, 4, 1, 3, 0, 2}, {5, 5, 5, 5, 2, 2, 2, 2},
	} {
		p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1,
			PadTop: c.top, PadLeft: c.left, PadBottom: c.bottom, PadRight: c.right}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			g := ad.NewGraph(ref.New())
			defer g.Close()
			draw := func(in gradcheck.Input) value {
				return g.Const(tensor.FromSlice(g.Scope(), in.Data, in.Shape...))
			}
			x, w := draw(normal(1, 2, c.h, c.w, 3)), draw(normal(2, 4, c.kh, c.kw, 3))
			want := ad.Conv2D(ad.Upsample(x, 2), w, p)
			equals(t, "enlarged", ad.Conv2DInputGrad(x, ad.UpsampledFilter(w), want.Dim(1),
				want.Dim(2), ad.UpsampledParams(c.kh, c.kw, p)), want)
			twice := p
			twice.StrideH, twice.StrideW = 2, 2
			equals(t, "halved", ad.Conv2D(x, ad.PooledFilter(w), twice),
				ad.AvgPool(ad.Conv2D(x, w, p), mean))
		})
	}
}

func equals(t *testing.T, name string, got, want value) {
	t.Helper()
	if !got.Shape().Equal(want.Shape()) {
		t.Fatalf("%s: shape %v, expected %v", name, got.Shape(), want.Shape())
	}
	const bound = 1e-13 // sums of at most 75 products of standard normals, in F64
	w := want.Tensor().Floats()
	for i, v := range got.Tensor().Floats() {
		if d := math.Abs(v - w[i]); !(d <= bound) {
			t.Fatalf("%s: element %d is %v, expected %v", name, i, v, w[i])
		}
	}
}

// TestUpsampledParams: what has no such form is refused.
func TestUpsampledParams(t *testing.T) {
	plain := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	strided, padded := plain, plain
	strided.StrideW, padded.PadLeft = 2, 3
	for _, p := range []tensor.ConvParams{strided, padded} {
		func() {
			defer func() {
				if _, ok := recover().(*tensor.Error); !ok {
					t.Errorf("%+v: expected a panic with *tensor.Error", p)
				}
			}()
			ad.UpsampledParams(3, 3, p)
		}()
	}
}
