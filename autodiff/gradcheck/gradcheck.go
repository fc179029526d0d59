package gradcheck

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A Func is a function under test. It may be called many times, on new graphs, and must compute
// the same thing every time.
type Func func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value

// An Input is a point at which a function is tested: F64 elements on the host.
type Input struct {
	Shape tensor.Shape
	Data  []float64
}

// Normal returns standard normal elements; n tells draws of one shape apart.
func Normal(n uint32, shape ...int) Input {
	key := tensor.NewKey(1, "gradcheck")
	in := Input{Shape: shape, Data: make([]float64, tensor.Shape(shape).Size())}
	for i := range in.Data {
		in.Data[i] = tensor.StdNormal(key.Word(n, uint64(i)))
	}
	return in
}

// Range returns elements uniform in (lo, hi).
func Range(n uint32, lo, hi float64, shape ...int) Input {
	key := tensor.NewKey(1, "gradcheck/uniform")
	in := Input{Shape: shape, Data: make([]float64, tensor.Shape(shape).Size())}
	for i := range in.Data {
		in.Data[i] = lo + (hi-lo)*tensor.Uniform01(key.Word(n, uint64(i)))
	}
	return in
}

// Of returns an input with the given elements.
func Of(shape []int, data ...float64) Input { return Input{shape, data} }

// An Option changes what Check does.
type Option func(*config)

type config struct{ order int }

// Order sets up to which order derivatives are compared; 2 unless given.
func Order(n int) Option { return func(c *config) { c.order = n } }

const (
	// step is the h of the central difference (s(x+hv) − s(x−hv))/2h. Its truncation error grows
	// as h², its rounding error as ε/h; their sum is least near ε^⅓ ≈ 6e-6. A power of two, so
	// that x+hv loses no more than the addition must.
	step = 1.0 / (1 << 17)

	// relTol bounds the difference of the two directional derivatives relative to Σ|gᵢvᵢ|.
	// Truncation is h²·|s‴|/6|s′| ≈ 1e-11·|s‴|/|s′|; the rest leaves room for third derivatives
	// five orders above the first.
	relTol = 1e-6

	// roundTol bounds the rounding of s, in units of ε·Σ|uᵢyᵢ|/h: one unit for the last sum, the
	// rest for the rounding inside y, which grows with the number of operations.
	roundTol = 256

	// sameTol bounds the difference between two computations of one gradient, relative to its
	// largest element: a few hundred roundings of 1.1e-16.
	sameTol = 1e-12
)

// Check tests the derivatives of f at the given point. It draws a cotangent u and, for each input
// i, a direction v, and compares ⟨VJPᵢ(u), v⟩ with the central difference of ⟨u, f⟩ along v; and
// it compares the VJP with the one CreateGraph gives. Then it repeats this for the function (x, u)
// ↦ Σ⟨rᵢ, VJPᵢ(u)⟩ with random rᵢ, and so on up to the order asked for.
//
// The point must keep away from kinks by more than 1e-4, and have elements and derivatives of the
// order of 1.
func Check(t testing.TB, f Func, point []Input, opts ...Option) {
	t.Helper()
	c := config{order: 2}
	for _, o := range opts {
		o(&c)
	}
	for order := 1; order <= c.order; order++ {
		u := Normal(uint32(100*order), evaluate(t, f, point).Shape...)
		if err := checkOnce(t, f, point, u); err != nil {
			t.Errorf("derivative of order %d: %v", order, err)
			return
		}
		f = vjpOf(f, len(point), uint32(100*order+50))
		point = append(point[:len(point):len(point)], u)
	}
}

// vjpOf returns the scalar function (x, u) ↦ Σ⟨rᵢ, VJPᵢ(u)⟩ of k inputs x and a cotangent u.
func vjpOf(f Func, k int, draw uint32) Func {
	return func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		y := f(g, in[:k])
		y.Done()
		dxs := autodiff.Grad(y, in[:k], autodiff.WithCotangent(in[k]), autodiff.CreateGraph())
		var sum *autodiff.Value
		for i, dx := range dxs {
			r := constant(g, Normal(draw+uint32(i), dx.Shape()...))
			if s := autodiff.Sum(autodiff.Mul(dx, r)); sum == nil {
				sum = s
			} else {
				sum = autodiff.Add(sum, s)
			}
		}
		return sum
	}
}

// checkOnce compares first derivatives.
func checkOnce(t testing.TB, f Func, point []Input, u Input) error {
	t.Helper()
	plain := gradient(t, f, point, u)
	graph := gradient(t, f, point, u, autodiff.CreateGraph())
	for i := range point {
		if err := same(plain[i].Data, graph[i].Data); err != nil {
			return fmt.Errorf("input %d: plain gradient and CreateGraph disagree: %w", i, err)
		}
		v := Normal(uint32(7+i), point[i].Shape...)
		g, contributions := 0.0, 0.0
		for j, d := range v.Data {
			g += plain[i].Data[j] * d
			contributions += math.Abs(plain[i].Data[j] * d)
		}
		up, size := pair(u, evaluate(t, f, moved(point, i, v, +step)))
		down, _ := pair(u, evaluate(t, f, moved(point, i, v, -step)))
		quotient := (up - down) / (2 * step)
		bound := relTol*contributions + roundTol*eps/step*size
		if !(math.Abs(g-quotient) <= bound) {
			return fmt.Errorf("input %d %v: ⟨VJP, v⟩ = %.12g, difference quotient %.12g, "+
				"apart by %.3g > %.3g", i, point[i].Shape, g, quotient, math.Abs(g-quotient), bound)
		}
	}
	return nil
}

const eps = 0x1p-52 // of float64

// moved returns point with input i moved by h·v.
func moved(point []Input, i int, v Input, h float64) []Input {
	point = slices.Clone(point)
	data := slices.Clone(point[i].Data)
	for j := range data {
		data[j] += h * v.Data[j]
	}
	point[i] = Input{point[i].Shape, data}
	return point
}

// pair returns ⟨u, y⟩ and the size of what is added up in it, Σ|uⱼyⱼ|.
func pair(u, y Input) (s, size float64) {
	for j := range u.Data {
		s += u.Data[j] * y.Data[j]
		size += math.Abs(u.Data[j] * y.Data[j])
	}
	return s, size
}

// run calls f on a new graph whose memory is poisoned when freed, hands the result to read, and
// fails if the graph leaks. f sees copies of the leaves, and they are freed as soon as the ops'
// Needs allow: an op that declares too little is caught.
func run(
	t testing.TB, f Func, point []Input, read func(leaves []*autodiff.Value, y *autodiff.Value),
) {
	t.Helper()
	b := ref.New(ref.WithPoison())
	host := tensor.NewScope(b)
	g := autodiff.NewGraph(b)
	leaves, in := make([]*autodiff.Value, len(point)), make([]*autodiff.Value, len(point))
	for i, p := range point {
		leaves[i] = g.Leaf(tensor.FromSlice(host, p.Data, p.Shape...))
		in[i] = autodiff.Scale(leaves[i], 1)
	}
	err := tensor.Try(func() {
		y := f(g, in)
		for _, v := range in {
			if v != y {
				v.Done()
			}
		}
		read(leaves, y)
	})
	g.Close()
	if err != nil {
		t.Fatalf("%v", err)
	}
	host.Close()
	if n := b.Outstanding(); n != 0 {
		t.Errorf("%d bytes are still allocated after the graph was closed", n)
	}
}

// evaluate returns f at a point.
func evaluate(t testing.TB, f Func, point []Input) (y Input) {
	t.Helper()
	run(t, f, point, func(_ []*autodiff.Value, v *autodiff.Value) { y = fetch(v) })
	return y
}

// gradient returns the VJPs of f with cotangent u.
func gradient(
	t testing.TB, f Func, point []Input, u Input, opts ...autodiff.GradOption,
) (dxs []Input) {
	t.Helper()
	run(t, f, point, func(in []*autodiff.Value, y *autodiff.Value) {
		dy := constant(y.Graph(), u)
		y.Done() // its gradient does not read it
		for _, dx := range autodiff.Grad(y, in, append(opts, autodiff.WithCotangent(dy))...) {
			dxs = append(dxs, fetch(dx))
		}
	})
	return dxs
}

func constant(g *autodiff.Graph, in Input) *autodiff.Value {
	return g.Const(tensor.FromSlice(g.Scope(), in.Data, in.Shape...))
}

func fetch(v *autodiff.Value) Input { return Input{v.Shape().Clone(), v.Tensor().Floats()} }

// same reports where a and b differ by more than rounding.
func same(a, b []float64) error {
	largest := 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]), math.Abs(b[i]))
	}
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= sameTol*largest) {
			return fmt.Errorf("element %d: %.17g and %.17g", i, a[i], b[i])
		}
	}
	return nil
}

// Same fails the test unless f and g agree at the point: in value, in their VJPs, and in the VJPs
// of their VJPs, to rounding. It holds a fused op to its composite.
func Same(t testing.TB, f, g Func, point []Input) {
	t.Helper()
	for order := 0; order <= 2; order++ {
		a, b := evaluate(t, f, point), evaluate(t, g, point)
		if !a.Shape.Equal(b.Shape) {
			t.Fatalf("order %d: shapes %v and %v", order, a.Shape, b.Shape)
		}
		if err := same(a.Data, b.Data); err != nil {
			t.Errorf("order %d: values differ: %v", order, err)
		}
		u := Normal(uint32(100*order), a.Shape...)
		da, db := gradient(t, f, point, u), gradient(t, g, point, u)
		for i := range da {
			if err := same(da[i].Data, db[i].Data); err != nil {
				t.Errorf("order %d: VJPs to input %d differ: %v", order, i, err)
			}
		}
		draw := uint32(100*order + 50)
		f, g = vjpOf(f, len(point), draw), vjpOf(g, len(point), draw)
		point = append(point[:len(point):len(point)], u)
	}
}

// Adjoint tests that at is the adjoint of the linear map a: ⟨a(x), y⟩ = ⟨x, at(y)⟩ for random x and
// y of the given shapes, to rounding; and that each is the VJP of the other.
func Adjoint(t testing.TB, a, at func(*autodiff.Value) *autodiff.Value, xShape, yShape []int) {
	t.Helper()
	x, y := Normal(1, xShape...), Normal(2, yShape...)
	forward := func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value { return a(in[0]) }
	backward := func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value { return at(in[0]) }
	ax, aty := evaluate(t, forward, []Input{x}), evaluate(t, backward, []Input{y})
	if !ax.Shape.Equal(y.Shape) || !aty.Shape.Equal(x.Shape) {
		t.Fatalf("shapes: x %v → %v, y %v → %v", x.Shape, ax.Shape, y.Shape, aty.Shape)
	}
	left, leftSize := dot(ax.Data, y.Data)
	right, rightSize := dot(x.Data, aty.Data)
	if !(math.Abs(left-right) <= sameTol*max(leftSize, rightSize)) {
		t.Errorf("⟨Ax, y⟩ = %.17g, ⟨x, Aᵀy⟩ = %.17g", left, right)
	}
	if leftSize == 0 {
		t.Errorf("A is zero on a random x: the test says nothing")
	}
	if err := same(gradient(t, forward, []Input{x}, y)[0].Data, aty.Data); err != nil {
		t.Errorf("the VJP of A is not Aᵀ: %v", err)
	}
	if err := same(gradient(t, backward, []Input{y}, x)[0].Data, ax.Data); err != nil {
		t.Errorf("the VJP of Aᵀ is not A: %v", err)
	}
}

func dot(a, b []float64) (s, size float64) {
	for i := range a {
		s += a[i] * b[i]
		size += math.Abs(a[i] * b[i])
	}
	return s, size
}
