package autodiff_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	ad "afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// Properties of operations on drawn shapes and attributes, in double precision.

// adjointTol bounds the rounding of an inner product of a few hundred terms of magnitude 1,
// relative to the sum of the terms' magnitudes.
const adjointTol = 1e-12

// extents draws a shape.
func extents(t *rapid.T, label string, least, rankLo, rankHi int) tensor.Shape {
	return rapid.SliceOfN(rapid.IntRange(least, 4), rankLo, rankHi).Draw(t, label)
}

// drawn returns a leaf of normal numbers that rapid's seed decides.
func drawn(t *rapid.T, g graph, label string, shape ...int) value {
	x := g.Scope().New(tensor.F64, shape...)
	rng := tensor.NewRNG(tensor.NewKey(rapid.Uint64().Draw(t, label), "rapid"), 0)
	v := make([]float64, x.Shape().Size())
	for i := range v {
		v[i] = rng.Normal()
	}
	x.SetFloats(v)
	return g.Leaf(x)
}

// inner returns ⟨x, y⟩ and the sum of its terms' magnitudes.
func inner(x, y value) (dot, scale float64) {
	a, b := x.Tensor().Floats(), y.Tensor().Floats()
	for i := range a {
		dot += a[i] * b[i]
		scale += math.Abs(a[i] * b[i])
	}
	return dot, scale
}

// checkLinear checks that f is linear in x, that its VJP is its adjoint, ⟨f(x), y⟩ = ⟨x, fᵀ(y)⟩,
// and that the adjoint's own VJP leads back to f.
func checkLinear(t *rapid.T, g graph, x value, f func(value) value) {
	t.Helper()
	y := f(x).Keep()
	shape := y.Shape()
	z, c := drawn(t, g, "z", x.Shape()...), drawn(t, g, "y", shape...)
	close := func(what string, a, b, scale float64) {
		t.Helper()
		if !(math.Abs(a-b) <= adjointTol*max(scale, 1)) {
			t.Fatalf("%s: %.17g and %.17g", what, a, b)
		}
	}
	sum := ad.Add(ad.Scale(x, 2), ad.Scale(z, -3))
	left, s1 := inner(f(sum), c)
	a, s2 := inner(y, c)
	b, s3 := inner(f(z), c)
	close("linear", left, 2*a-3*b, s1+s2+s3)

	dx := ad.Grad(y, []value{x}, ad.WithCotangent(c), ad.CreateGraph())[0]
	if !dx.Shape().Equal(x.Shape()) {
		t.Fatalf("the gradient of %v is %v", x.Shape(), dx.Shape())
	}
	right, s4 := inner(x, dx)
	close("adjoint", a, right, s2+s4)
	back := ad.Grad(dx, []value{c}, ad.WithCotangent(z))[0]
	again, s5 := inner(back, c)
	close("adjoint of the adjoint", again, b, s3+s5)
}

// windows draws attributes of a convolution that gives at least one output for an image [h w].
func windows(t *rapid.T, h, w, kh, kw int) (tensor.ConvParams, bool) {
	at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
	p := tensor.ConvParams{StrideH: at("sh", 1, 3), StrideW: at("sw", 1, 3), PadTop: at("top", 0, 2),
		PadLeft: at("left", 0, 2), PadBottom: at("bottom", 0, 2), PadRight: at("right", 0, 2),
		DilH: at("dh", 1, 2), DilW: at("dw", 1, 2), Groups: at("groups", 1, 2)}
	oh, ow := p.Out(h, w, kh, kw)
	return p, oh > 0 && ow > 0
}

// TestConvTripleProperties: the three convolutions are adjoints of one another in every operand.
func TestConvTripleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		n, h, w, kh, kw := at("n", 1, 2), at("h", 1, 6), at("w", 1, 6), at("kh", 1, 3), at("kw", 1, 3)
		p, ok := windows(t, h, w, kh, kw)
		if !ok {
			t.Skip("no output")
		}
		c, o := p.Groups*at("c", 1, 2), p.Groups*at("o", 1, 2)
		x, k := drawn(t, g, "x", n, h, w, c), drawn(t, g, "k", o, kh, kw, c/p.Groups)
		oh, ow := p.Out(h, w, kh, kw)
		if y := ad.Conv2D(x, k, p); !y.Shape().Equal(tensor.Shape{n, oh, ow, o}) {
			t.Fatalf("%v: the result is %v", p, y.Shape())
		}
		checkLinear(t, g, x, func(x value) value { return ad.Conv2D(x, k, p) })
		checkLinear(t, g, k, func(k value) value { return ad.Conv2D(x, k, p) })
		y := drawn(t, g, "dy", n, oh, ow, o)
		checkLinear(t, g, y, func(y value) value { return ad.Conv2DInputGrad(y, k, h, w, p) })
		checkLinear(t, g, y, func(y value) value { return ad.Conv2DWeightGrad(x, y, kh, kw, p) })
		left, s1 := inner(ad.Conv2DInputGrad(y, k, h, w, p), x)
		right, s2 := inner(ad.Conv2DWeightGrad(x, y, kh, kw, p), k)
		if math.Abs(left-right) > adjointTol*max(s1+s2, 1) {
			t.Fatalf("%v: %g by the image, %g by the kernel", p, left, right)
		}
	})
}

// TestPoolProperties: average pooling is linear with its adjoint; maximum pooling hands every
// cotangent to one pixel, whose value it is.
func TestPoolProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		kh, kw := at("kh", 1, 3), at("kw", 1, 3)
		p := tensor.PoolParams{KH: kh, KW: kw, StrideH: at("sh", 1, 3), StrideW: at("sw", 1, 3),
			PadTop: at("top", 0, kh-1), PadLeft: at("left", 0, kw-1), PadBottom: at("bottom", 0, kh-1),
			PadRight: at("right", 0, kw-1), CeilMode: rapid.Bool().Draw(t, "ceil"),
			CountPad: rapid.Bool().Draw(t, "count")}
		n, h, w, c := at("n", 1, 2), at("h", 1, 6), at("w", 1, 6), at("c", 1, 2)
		oh, ow := p.Out(h, w)
		if oh < 1 || ow < 1 {
			t.Skip("no output")
		}
		x := drawn(t, g, "x", n, h, w, c)
		checkLinear(t, g, x, func(x value) value { return ad.AvgPool(x, p) })
		y := ad.MaxPool(x, p).Keep()
		if !y.Shape().Equal(tensor.Shape{n, oh, ow, c}) {
			t.Fatalf("%+v: the result is %v", p, y.Shape())
		}
		dy := drawn(t, g, "dy", n, oh, ow, c)
		dx := ad.Grad(y, []value{x}, ad.WithCotangent(dy))[0]
		one := g.Const(g.Scope().Full(tensor.F64, 1, n, oh, ow, c))
		given, s1 := inner(dy, one)
		one = g.Const(g.Scope().Full(tensor.F64, 1, n, h, w, c))
		taken, s2 := inner(dx, one)
		if math.Abs(given-taken) > adjointTol*max(s1+s2, 1) {
			t.Fatalf("%+v: cotangents of %g arrive as %g", p, given, taken)
		}
		value, s1 := inner(y, dy) // homogeneous of degree 1: ⟨y, dy⟩ = ⟨x, dx⟩
		again, s2 := inner(x, dx)
		if math.Abs(value-again) > adjointTol*max(s1+s2, 1) {
			t.Fatalf("%+v: %g and %g", p, value, again)
		}
	})
}

// TestLinearProperties draws an operation that moves or adds elements and checks its adjoint.
func TestLinearProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		s := extents(t, "shape", 1, 1, 4)
		x, axis := drawn(t, g, "x", s...), at("axis", 0, len(s)-1)
		n := s[axis]
		ops := map[string]func(value) value{
			"reshape": func(x value) value { return ad.Reshape(x, s.Size()) },
			"permute": func() func(value) value {
				perm := rapid.Permutation(numbers(len(s))).Draw(t, "perm")
				return func(x value) value { return ad.Permute(x, perm...) }
			}(),
			"slice": func() func(value) value {
				lo := at("lo", 0, n-1)
				hi := at("hi", lo+1, n)
				return func(x value) value { return ad.SliceAxis(x, axis, lo, hi) }
			}(),
			"reverse": func(x value) value {
				start, stop, step := make([]int, len(s)), make([]int, len(s)), make([]int, len(s))
				for i := range s {
					start[i], stop[i], step[i] = s[i]-1, -1, -1-i%2
				}
				return ad.Slice(x, start, stop, step)
			},
			"pad": func() func(value) value {
				before, after := make([]int, len(s)), make([]int, len(s))
				before[axis], after[axis] = at("before", 0, 2), at("after", 0, 2)
				return func(x value) value { return ad.Pad(x, before, after) }
			}(),
			"broadcast": func(x value) value { return ad.BroadcastTo(x, append([]int{2}, s...)...) },
			"concat":    func(x value) value { return ad.Concat(axis, x, ad.Scale(x, 2), x) },
			"split": func() func(value) value {
				k, part := at("cut", 0, n), at("part", 0, 1)
				return func(x value) value { return ad.Split(x, axis, k, n-k)[part] }
			}(),
			"sum":  func(x value) value { return ad.Sum(x, axis) },
			"mean": func(x value) value { return ad.MeanKeep(x, axis) },
			"gather": func() func(value) value {
				idx := rapid.SliceOfN(rapid.Int32Range(0, int32(s[0]-1)), 1, 5).Draw(t, "rows")
				return func(x value) value {
					return ad.Gather(x, tensor.FromSlice(g.Scope(), idx, len(idx)))
				}
			}(),
			"scatter": func() func(value) value {
				idx := rapid.SliceOfN(rapid.Int32Range(0, 3), s[0], s[0]).Draw(t, "to")
				return func(x value) value {
					return ad.ScatterAdd(x, tensor.FromSlice(g.Scope(), idx, len(idx)), 4)
				}
			}(),
		}
		name := rapid.SampledFrom(sortedKeys(ops)).Draw(t, "op")
		checkLinear(t, g, x, ops[name])
	})
}

// TestMatMulProperties: products of drawn extents, transposed or not, stacked or not.
func TestMatMulProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		at := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
		m, n, k := at("m", 1, 5), at("n", 1, 5), at("k", 1, 5)
		ta, tb := rapid.Bool().Draw(t, "ta"), rapid.Bool().Draw(t, "tb")
		shape := func(rows, cols int, turned bool) []int {
			if turned {
				rows, cols = cols, rows
			}
			return []int{rows, cols}
		}
		sa, sb := shape(m, k, ta), shape(k, n, tb)
		if rapid.Bool().Draw(t, "stack") {
			sa, sb = append([]int{2}, sa...), append([]int{2}, sb...)
		}
		a, b := drawn(t, g, "a", sa...), drawn(t, g, "b", sb...)
		checkLinear(t, g, a, func(a value) value { return ad.MatMul(a, b, ta, tb) })
		checkLinear(t, g, b, func(b value) value { return ad.MatMul(a, b, ta, tb) })
	})
}

// TestUpsampleProperties: repeating pixels is linear, and its adjoint sums them.
func TestUpsampleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		s, k := extents(t, "shape", 1, 4, 4), rapid.IntRange(1, 3).Draw(t, "k")
		checkLinear(t, g, drawn(t, g, "x", s...), func(x value) value { return ad.Upsample(x, k) })
		checkLinear(t, g, drawn(t, g, "y", s[0], k*s[1], k*s[2], s[3]),
			func(y value) value { return ad.UpsampleGrad(y, k) })
	})
}

// TestBroadcastProperties: a binary operation of two shapes is that of both made equal first, to
// the last bit, and its gradients have the operands' shapes and are the sums over what was
// repeated. Shapes that do not fit are refused.
func TestBroadcastProperties(t *testing.T) {
	ops := map[string]func(x, y value) value{"add": ad.Add, "sub": ad.Sub, "mul": ad.Mul,
		"maximum": ad.Maximum, "minimum": ad.Minimum,
		"div": func(x, y value) value { return ad.Div(x, ad.AddScalar(ad.Square(y), 1)) }}
	rapid.Check(t, func(t *rapid.T) {
		g := ad.NewGraph(ref.New())
		defer g.Close()
		full := extents(t, "full", 1, 0, 3)
		shrink := func(label string) []int {
			s := full.Clone()
			for i := range s {
				if rapid.Bool().Draw(t, label+" shrinks") {
					s[i] = 1
				}
			}
			return s[rapid.IntRange(0, len(s)).Draw(t, label+" drops"):]
		}
		x, y := drawn(t, g, "x", shrink("a")...), drawn(t, g, "y", shrink("b")...)
		f := ops[rapid.SampledFrom(sortedKeys(ops)).Draw(t, "op")]
		out, ok := tensor.Broadcast(x.Shape(), y.Shape())
		if !ok {
			t.Fatalf("%v and %v do not fit", x.Shape(), y.Shape())
		}
		wide := func(x, y value) value {
			return f(ad.BroadcastTo(x, out...), ad.BroadcastTo(y, out...))
		}
		dy := drawn(t, g, "dy", out...)
		got, want := f(x, y).Keep(), wide(x, y).Keep()
		same(t, "value", got, want)
		gx := ad.Grad(got, []value{x, y}, ad.WithCotangent(dy))
		wx := ad.Grad(want, []value{x, y}, ad.WithCotangent(dy))
		for i, v := range []value{x, y} {
			if !gx[i].Shape().Equal(v.Shape()) {
				t.Fatalf("the gradient of %v is %v", v.Shape(), gx[i].Shape())
			}
			for j, d := range gx[i].Tensor().Floats() {
				if w := wx[i].Tensor().Floats()[j]; math.Abs(d-w) > adjointTol*max(math.Abs(w), 1) {
					t.Fatalf("operand %d, element %d: %g, of equal shapes %g", i, j, d, w)
				}
			}
		}
		if len(full) > 0 {
			other := full.Clone()
			other[len(other)-1] += 5 // neither equal nor 1
			if other[len(other)-1] == 1 || full[len(full)-1] == 1 {
				return
			}
			a, b := g.Zeros(tensor.F64, full...), g.Zeros(tensor.F64, other...)
			if err := tensor.Try(func() { f(a, b) }); err == nil {
				t.Fatalf("%v and %v are taken", full, other)
			}
		}
	})
}

func same(t *rapid.T, what string, a, b value) {
	t.Helper()
	x, y := a.Tensor().Floats(), b.Tensor().Floats()
	if fmt.Sprint(a.Shape(), x) != fmt.Sprint(b.Shape(), y) {
		t.Fatalf("%s: %v %v and %v %v", what, a.Shape(), x, b.Shape(), y)
	}
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
