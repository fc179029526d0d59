package tensor_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"afterimage/tensor"
)

// numbers lists which elements of a tensor a view shows, in order.
func numbers(l tensor.Layout) (list []int) {
	var walk func(axis, at int)
	walk = func(axis, at int) {
		if axis == len(l.Shape) {
			list = append(list, at)
			return
		}
		for i := range l.Shape[axis] {
			walk(axis+1, at+i*l.Strides[axis])
		}
	}
	walk(0, l.Offset)
	return list
}

// TestLayout moves and takes elements both ways: in the layout, and in a list of numbers.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := tensor.Shape(rapid.SliceOfN(rapid.IntRange(1, 4), 1, 4).Draw(t, "shape"))
		l := tensor.Dense(shape)
		want := tensor.Layout{Shape: shape} // its numbers are list's
		list := numbers(l)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				perm := rapid.Permutation(indices(len(want.Shape))).Draw(t, "perm")
				dense := tensor.Dense(want.Shape).Permute(perm...)
				list, want.Shape, l = picked(list, dense), dense.Shape, l.Permute(perm...)
			case 1:
				axis := rapid.IntRange(0, len(want.Shape)-1).Draw(t, "axis")
				start := rapid.IntRange(0, want.Shape[axis]-1).Draw(t, "start")
				n := rapid.IntRange(1, want.Shape[axis]-start).Draw(t, "n")
				dense := tensor.Dense(want.Shape).Slice(axis, start, 1, n)
				list, want.Shape, l = picked(list, dense), dense.Shape, l.Slice(axis, start, 1, n)
			default:
				to := otherShape(t, len(list))
				p, ok := l.Reshape(to)
				if !ok {
					if l.InOrder() {
						t.Fatalf("%+v does not become %v", l, to)
					}
					continue
				}
				want.Shape, l = to, p
			}
			if got := numbers(l); !l.Shape.Equal(want.Shape) || !slices.Equal(got, list) {
				t.Fatalf("%+v shows %v, want %v %v", l, got, want.Shape, list)
			}
			if l.IsDense(shape.Size()) != slices.Equal(list, indices(shape.Size())) {
				t.Fatalf("%+v: IsDense is wrong for %v", l, list)
			}
		}
	})
}

// TestLayoutReshape has cases of axes that can be cut and joined, and of some that cannot.
func TestLayoutReshape(t *testing.T) {
	heads := tensor.Dense(tensor.Shape{5, 3, 4, 2}).Slice(1, 1, 1, 1).Permute(1, 2, 0, 3)
	for _, c := range []struct {
		to      tensor.Shape
		strides []int
	}{{tensor.Shape{4, 5, 2}, []int{2, 24, 1}}, {tensor.Shape{4, 5, 1, 2, 1}, []int{2, 24, 2, 1, 1}},
		{tensor.Shape{2, 2, 5, 2}, []int{4, 2, 24, 1}}, {tensor.Shape{20, 2}, nil},
		{tensor.Shape{4, 10}, nil}, {tensor.Shape{8, 5}, nil}, {tensor.Shape{4, 5}, nil}} {
		p, ok := heads.Reshape(c.to)
		if ok != (c.strides != nil) || ok && !slices.Equal(p.Strides, c.strides) {
			t.Errorf("%v: got %v %v, want %v", c.to, p.Strides, ok, c.strides)
		}
	}
	if p, ok := tensor.Dense(nil).Reshape(tensor.Shape{1, 1}); !ok || len(p.Strides) != 2 {
		t.Errorf("a scalar: got %+v %v", p, ok)
	}
	if _, ok := tensor.Dense(tensor.Shape{2, 0}).Reshape(tensor.Shape{0, 7}); !ok {
		t.Error("nothing does not become nothing of another shape")
	}
}

func indices(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func picked(list []int, l tensor.Layout) (out []int) {
	for _, k := range numbers(l) {
		out = append(out, list[k])
	}
	return out
}

// otherShape draws a shape of n elements, with some axes of one.
func otherShape(t *rapid.T, n int) (s tensor.Shape) {
	for n > 1 {
		var divisors []int
		for d := 2; d <= n; d++ {
			if n%d == 0 {
				divisors = append(divisors, d)
			}
		}
		d := rapid.SampledFrom(append(divisors, 1)).Draw(t, "extent")
		s, n = append(s, d), n/d
	}
	return append(s, 1)
}
