package autodiff_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	ad "afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
	"afterimage/tensor"
)

// tol is the relative error allowed to a handful of float64 roundings.
const tol = 1e-12

func near(t testing.TB, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
		t.Errorf("%s = %.15g, expected %.15g", what, got, want)
	}
}

func scalars(t testing.TB, x ...float64) (graph, vals) {
	in := make([]input, len(x))
	for i, v := range x {
		in[i] = gradcheck.Of([]int{}, v)
	}
	return open(t, in)
}

func TestThirdDerivative(t *testing.T) {
	_, in := scalars(t, 0.3)
	x := in[0]
	y := ad.Tanh(x)
	d1 := ad.Grad(y, in, ad.CreateGraph())[0]
	d2 := ad.Grad(d1, in, ad.CreateGraph())[0]
	d3 := ad.Grad(d2, in)[0]
	th := math.Tanh(0.3)
	near(t, "tanh'", d1.Item(), 1-th*th)
	near(t, "tanh''", d2.Item(), -2*th*(1-th*th))
	near(t, "tanh'''", d3.Item(), (1-th*th)*(6*th*th-2))
}

// TestOrder3 goes one order beyond what the table checks, where the derivatives of VJPs' VJPs meet.
func TestOrder3(t *testing.T) {
	gradcheck.Check(t, func(_ graph, in vals) value {
		return ad.Mul(ad.Softmax(ad.MatMul(in[0], in[1], false, true)), ad.Exp(ad.Mean(in[0], 0)))
	}, []input{normal(1, 2, 3), normal(2, 3, 3)}, gradcheck.Order(3))
	gradcheck.Check(t, normFunc(batchNormReLU), normInputs(false, true, true), gradcheck.Order(3))
}

func TestSharedValues(t *testing.T) {
	_, in := scalars(t, 2, 3)
	x, w := in[0], in[1]
	s := ad.Mul(x, w) // used by three consumers
	y := ad.Add(ad.Add(s, s), ad.Mul(s, ad.Sub(x, s)))
	// y = 2xw + xw·(x − xw) = 2xw + x²w − x²w²
	d := ad.Grad(y, in)
	near(t, "∂y/∂x", d[0].Item(), 2*3+2*2*3-2*2*9)
	near(t, "∂y/∂w", d[1].Item(), 2*2+4-2*4*3)
}

func TestWantedValues(t *testing.T) {
	_, in := scalars(t, 2)
	x := in[0]
	h := ad.Square(x)
	y := ad.Square(h)
	d := ad.Grad(y, []value{h, y, x, h})
	near(t, "∂y/∂h", d[0].Item(), 8)
	near(t, "∂y/∂y", d[1].Item(), 1)
	near(t, "∂y/∂x", d[2].Item(), 32)
	near(t, "∂y/∂h again", d[3].Item(), 8)
	near(t, "h, which was asked about", h.Item(), 4)
	d[0].Done()
	near(t, "a result whose twin was freed", d[3].Item(), 8)
}

// TestGoOn splits one backward pass at an inner value: the graph in front of it is left alone.
func TestGoOn(t *testing.T) {
	_, in := scalars(t, 2)
	h := ad.Exp(ad.Square(in[0]))
	dh := ad.Grad(ad.Square(h), []value{h})[0]
	dx := ad.Grad(h, in, ad.WithCotangent(dh))[0]
	near(t, "d exp(x²)²/dx", dx.Item(), 2*math.Exp(4)*math.Exp(4)*4)
}

func TestIndependent(t *testing.T) {
	g, in := scalars(t, 2, 3)
	y := ad.Square(in[0])
	d := ad.Grad(y, []value{in[1], g.Scalar(tensor.F64, 1)})
	near(t, "independent leaf", d[0].Item(), 0)
	near(t, "independent constant", d[1].Item(), 0)
	near(t, "of a leaf by itself", ad.Grad(in[0], in[:1])[0].Item(), 1)
	if z := ad.Mul(in[0].Detach(), in[0]); ad.Grad(z, in[:1])[0].Item() != 2 {
		t.Error("a gradient passed through Detach")
	}
}

func TestNoGrad(t *testing.T) {
	g, in := scalars(t, 2)
	var y value
	g.NoGrad(func() { y = ad.Square(in[0]) })
	if y.NeedsGrad() || !g.Recording() {
		t.Error("NoGrad recorded, or did not end")
	}
	_ = tensor.Try(func() { g.NoGrad(func() { panic(&tensor.Error{Op: "test"}) }) })
	if !g.Recording() {
		t.Error("NoGrad did not end when its function panicked")
	}
}

func refused(t *testing.T, want string, f func()) {
	t.Helper()
	var e *tensor.Error
	if err := tensor.Try(f); !errors.As(err, &e) || !strings.Contains(e.Error(), want) {
		t.Errorf("expected an error about %q, got %v", want, err)
	}
}

func TestGradMisuse(t *testing.T) {
	g, in := open(t, []input{normal(1, 3), normal(2, 2)})
	_, other := scalars(t, 1)
	refused(t, "one element", func() { ad.Grad(in[0], in) })
	refused(t, "shape", func() { ad.Grad(in[0], in, ad.WithCotangent(in[1])) })
	refused(t, "dtype", func() { ad.Grad(in[0], in, ad.WithCotangent(f32(g, 3))) })
	refused(t, "another graph", func() { ad.Grad(ad.Sum(in[0]), other) })
	refused(t, "another graph", func() { ad.Add(in[0], other[0]) })
	y := ad.Sum(ad.Exp(in[0]))
	ad.Grad(y, in)
	refused(t, "Retain", func() { ad.Grad(y, in) })
	h := ad.Exp(in[0])
	ad.Grad(ad.Sum(h), in)
	refused(t, "made by Exp was freed", func() { ad.Neg(h) })
	k := ad.Exp(in[0]).Keep()
	ad.Grad(ad.Sum(k), in)
	ad.Neg(k)
	z := ad.Sum(ad.Exp(in[0]))
	a := ad.Grad(z, in, ad.Retain())[0].Tensor().Floats()
	b := ad.Grad(z, in)[0].Tensor().Floats()
	for i := range a {
		near(t, "second pass after Retain", b[i], a[i])
	}
}

// TestForwardValueAsGradient: a VJP may return values that are not its own.
func TestForwardValueAsGradient(t *testing.T) {
	_, in := open(t, []input{gradcheck.Of([]int{2}, 1, 2), gradcheck.Of([]int{2}, 3, 4)})
	x, w := ad.Scale(in[0], 1).Keep(), ad.Scale(in[1], 1).Keep()
	y := ad.Add(ad.Inner(x, w), ad.Add(ad.Inner(x, w), ad.Inner(x, w)))
	d := ad.Grad(y, []value{x, w})
	for i, v := range d {
		v.Tensor()
		for j, e := range v.Tensor().Floats() {
			near(t, "gradient", e, 3*[2][2]float64{{3, 4}, {1, 2}}[i][j])
		}
	}
	v := ad.Scale(in[1], 2).Keep()
	sum := ad.Grad(ad.Add(ad.Inner(x, w), ad.Inner(x, v)), []value{x})[0] // v, then w, arrive
	near(t, "gradient", sum.Tensor().Floats()[0], 3+6)
	near(t, "v, to which nothing may be added", v.Tensor().Floats()[0], 6)
	side := ad.Scale(in[1], 5) // not on the way from y to x, so the pass leaves it alone
	ad.Grad(ad.Inner(ad.Scale(in[0], 1), side), in[:1])
	near(t, "a value beside the pass", side.Tensor().Floats()[0], 15)
	one := ad.Grad(ad.Inner(x, w), []value{x})[0] // nothing to add: w itself arrives
	one.Done()
	near(t, "x, after all passes", x.Tensor().Floats()[1], 2)
	near(t, "w, after its alias was freed", w.Tensor().Floats()[1], 4)
}

// TestTwin: one fresh value for two inputs, one of which already has a cotangent.
func TestTwin(t *testing.T) {
	_, in := scalars(t, 2, 3)
	a, b := ad.Scale(in[0], 5), ad.Scale(in[1], 7)
	y := ad.Add(ad.Twin(a, b), ad.Scale(a, 10))
	d := ad.Grad(y, in)
	near(t, "∂a", d[0].Item(), 55)
	near(t, "∂b", d[1].Item(), 7)
	_, in = scalars(t, 2)
	near(t, "both the same", ad.Grad(ad.Twin(in[0], in[0]), in)[0].Item(), 2)
}

// TestViews: a cotangent and its reshaped view share elements, and adding to one must not change
// the other.
func TestViews(t *testing.T) {
	_, in := open(t, []input{normal(1, 2, 3)})
	x := in[0]
	h := ad.Scale(x, 2)
	flat := ad.Reshape(h, 6)
	y := ad.Add(ad.Sum(ad.Scale(flat, 3)), ad.Sum(ad.Square(h)))
	d := ad.Grad(y, []value{flat, h, x})
	for i, v := range normal(1, 2, 3).Data {
		near(t, "∂flat", d[0].Tensor().Floats()[i], 3)
		near(t, "∂h", d[1].Tensor().Floats()[i], 3+2*2*v)
		near(t, "∂x", d[2].Tensor().Floats()[i], 6+8*v)
	}
}

// TestMaskInPlace: a ReLU masks the cotangent where it lies, unless somebody will look at it: the
// caller who gave it, who asks for it, another input that shares it, or a later pass.
func TestMaskInPlace(t *testing.T) {
	_, in := open(t, []input{gradcheck.Of([]int{3}, -1, 0, 2)})
	x := in[0]
	expect := func(what string, v value, want ...float64) {
		t.Helper()
		for i, w := range want {
			near(t, what, v.Tensor().Floats()[i], w)
		}
	}
	r := ad.ReLU(ad.Scale(x, 1))
	u := ad.Scale(x.Detach(), 5)
	expect("through one", ad.Grad(r, in, ad.WithCotangent(u), ad.Retain())[0], 0, 0, 10)
	expect("the caller's cotangent", u, -5, 0, 10)
	d := ad.Grad(ad.Sum(ad.Scale(r, 3)), []value{r, x}, ad.Retain())
	expect("one that is asked for", d[0], 3, 3, 3)
	expect("and what went through", d[1], 0, 0, 3)
	a, b := ad.Scale(x, 2), ad.Scale(x, 4)
	shared := ad.Grad(ad.Sum(ad.Scale(ad.Twin(ad.ReLU(a), b), 3)), []value{a, b})
	expect("one half of a shared one", shared[0], 0, 0, 3)
	expect("the other half", shared[1], 3, 3, 3)
	w := ad.Scale(x, 6).Keep()
	ad.Grad(ad.Inner(ad.ReLU(a), w), []value{a}) // w itself arrives
	expect("a forward value that serves as a cotangent", w, -6, 0, 12)
	flat := ad.ReLU(a)
	sum := ad.Add(ad.Reshape(flat, 1, 3), ad.Reshape(b, 1, 3))
	shared = ad.Grad(ad.Sum(ad.Scale(sum, 7)), []value{a, b})
	expect("one view of a shared one", shared[0], 0, 0, 7)
	expect("the other view", shared[1], 7, 7, 7)
}

// TestMaskInPlaceTakesNoMemory: of a chain of ReLUs the backward pass needs the outputs and one
// cotangent.
func TestMaskInPlaceTakesNoMemory(t *testing.T) {
	const depth = 10
	m, _, x, used := metered(t)
	h := x
	for range depth {
		h = ad.ReLU(h)
	}
	y := ad.Sum(h)
	expectUnits(t, "after the forward pass", used(), depth)
	m.peak = 0
	ad.Grad(y, []value{x})[0].Done()
	expectUnits(t, "at the peak of the backward pass", float64(m.peak)/unit-1, depth+1)
}

func TestCompositeVJP(t *testing.T) {
	f := func(in []value) value { return ad.Tanh(ad.Mul(in[0], ad.Exp(in[1]))) }
	through := func(_ graph, in vals) value { return ad.Composite(f, in[0], in[1]) }
	at := []input{normal(1, 3), normal(2, 3)}
	gradcheck.Check(t, through, at)
	gradcheck.Same(t, through, func(_ graph, in vals) value { return f(in) }, at)
	_, in := open(t, at)
	if d := ad.Grad(ad.Sum(ad.Composite(f, in...)), in); d[0].NeedsGrad() {
		t.Error("a plain gradient through a composite is recorded")
	}
}

// TestNaN: what derivatives do beside a NaN is what doc.go and the functions' comments say.
func TestNaN(t *testing.T) {
	nan := math.NaN()
	x, y := gradcheck.Of([]int{2, 2}, 1, nan, 2, 2), gradcheck.Of([]int{2, 2}, nan, 1, 2, 3)
	for _, c := range []struct {
		name string
		f    fn
		want [2][]float64
	}{
		{"Max", func(_ graph, in vals) value { return ad.Add(ad.Max(in[0], 1), ad.Max(in[1], 1)) },
			[2][]float64{{nan, nan, 0.5, 0.5}, {nan, nan, 0, 1}}},
		{"Maximum", two(ad.Maximum), [2][]float64{{1, 1, 1, 0}, {0, 0, 0, 1}}},
		{"Minimum", two(ad.Minimum), [2][]float64{{1, 1, 1, 1}, {0, 0, 0, 0}}},
		{"ReLU", two(func(x, y value) value { return ad.Add(ad.ReLU(x), ad.ReLU(y)) }),
			[2][]float64{{1, 0, 1, 1}, {0, 1, 1, 1}}},
	} {
		g, in := open(t, []input{x, y})
		for i, d := range ad.Grad(ad.Sum(c.f(g, in)), in) {
			if got := d.Tensor().Floats(); fmt.Sprint(got) != fmt.Sprint(c.want[i]) {
				t.Errorf("%s: gradient %d is %v, want %v", c.name, i, got, c.want[i])
			}
		}
	}
	_, in := scalars(t, math.Inf(-1))
	if up, down := ad.Pow(in[0], 0.5).Item(), ad.Pow(in[0], -0.5).Item(); up != -in[0].Item() ||
		down != 0 {
		t.Errorf("-Inf to the powers ½ and -½ is %v and %v", up, down)
	}
}
