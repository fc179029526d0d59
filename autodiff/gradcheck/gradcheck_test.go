package gradcheck_test

import (
	"fmt"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/autodiff/gradcheck"
)

// A witness takes the failures of a check instead of the test.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper() {}

func (w *witness) Errorf(format string, a ...any) {
	w.said = append(w.said, fmt.Sprintf(format, a...))
}

func (w *witness) Fatalf(format string, a ...any) {
	w.Errorf(format, a...)
	panic(w)
}

// failures returns what check reports.
func failures(check func(t testing.TB)) string {
	w := &witness{}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(w) {
				panic(r)
			}
		}()
		check(w)
	}()
	return strings.Join(w.said, "\n")
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("reported %q, expected %q", got, want)
	}
}

var at = []gradcheck.Input{gradcheck.Normal(1, 4)}

func cube(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
	return autodiff.Mul(in[0], autodiff.Square(in[0]))
}

// wrongFirst is x² with one factor hidden from the tape.
func wrongFirst(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
	return autodiff.Mul(in[0], in[0].Detach())
}

// wrongSecond is x³ with the right gradient, 3x², which however is hidden from the tape: what a
// first-order shortcut in a VJP amounts to.
func wrongSecond(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
	x, frozen := in[0], in[0].Detach()
	slope := autodiff.Scale(autodiff.Square(frozen), 3)
	value := cube(g, []*autodiff.Value{frozen})
	return autodiff.Add(value, autodiff.Mul(autodiff.Sub(x, frozen), slope))
}

func leaky(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
	y := autodiff.Exp(in[0])
	g.Scope().Keep(y.Tensor())
	return y
}

func TestCheckNotices(t *testing.T) {
	check := func(f gradcheck.Func, opts ...gradcheck.Option) string {
		return failures(func(t testing.TB) { gradcheck.Check(t, f, at, opts...) })
	}
	expect(t, check(cube, gradcheck.Order(3)), "")
	expect(t, check(wrongFirst), "order 1")
	expect(t, check(wrongSecond, gradcheck.Order(1)), "")
	expect(t, check(wrongSecond), "order 2")
	expect(t, check(leaky), "still allocated")
}

func TestSameNotices(t *testing.T) {
	same := func(f, g gradcheck.Func) string {
		return failures(func(t testing.TB) { gradcheck.Same(t, f, g, at) })
	}
	expect(t, same(cube, cube), "")
	expect(t, same(cube, wrongSecond), "order 1: VJPs")
	expect(t, same(cube, wrongFirst), "order 0: values")
	expect(t, same(cube, func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return autodiff.Sum(in[0])
	}), "shapes")
}

func TestAdjointNotices(t *testing.T) {
	up := func(x *autodiff.Value) *autodiff.Value { return autodiff.Upsample(x, 2) }
	down := func(x *autodiff.Value) *autodiff.Value { return autodiff.UpsampleGrad(x, 2) }
	mean := func(x *autodiff.Value) *autodiff.Value { return autodiff.Scale(down(x), 0.25) }
	zero := func(x *autodiff.Value) *autodiff.Value { return autodiff.Scale(x, 0) }
	small, large := []int{1, 2, 2, 1}, []int{1, 4, 4, 1}
	adjoint := func(a, at func(*autodiff.Value) *autodiff.Value, x, y []int) string {
		return failures(func(t testing.TB) { gradcheck.Adjoint(t, a, at, x, y) })
	}
	expect(t, adjoint(up, down, small, large), "")
	expect(t, adjoint(up, mean, small, large), "⟨Ax, y⟩")
	expect(t, adjoint(up, up, small, large), "shapes")
	expect(t, adjoint(zero, zero, small, small), "says nothing")
}

// A composite function is checked in one line.
func ExampleCheck() {
	t := &testing.T{} // the test's own t
	gradcheck.Check(t, func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return autodiff.Mul(autodiff.Softmax(in[0]), autodiff.Tanh(in[1]))
	}, []gradcheck.Input{gradcheck.Normal(1, 2, 3), gradcheck.Range(2, -1, 1, 3)})
	fmt.Println(t.Failed())
	// Output: false
}
