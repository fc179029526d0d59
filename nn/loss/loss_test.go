package loss_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn/loss"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// tol bounds rounding of a few dozen operations of order 1 in double precision.
const tol = 1e-12

// tolF32 bounds the same in single precision.
const tolF32 = 1e-6

var rows = [][]float64{{2, -1, 0.5, 3}, {0, 4, 1, -2}, {1, 1, 1, 1}}

func setup(t *testing.T) (g *autodiff.Graph, logits *autodiff.Value, labels *tensor.Tensor) {
	b := ref.New()
	s := tensor.NewScope(b)
	g = autodiff.NewGraph(b)
	t.Cleanup(func() { g.Close(); s.Close() })
	var flat []float64
	for _, r := range rows {
		flat = append(flat, r...)
	}
	return g, g.Leaf(tensor.FromSlice(s, flat, 3, 4)), tensor.FromSlice(s, []int32{0, 1, 2}, 3)
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > tol {
		t.Errorf("%s: got %.15g, want %.15g", what, got, want)
	}
}

func TestCrossEntropy(t *testing.T) {
	for _, a := range []float64{0, 0.1} {
		_, logits, labels := setup(t)
		want := 0.0
		for i, r := range rows {
			z := 0.0
			for _, v := range r {
				z += math.Exp(v)
			}
			for k, v := range r {
				p := a / 4
				if k == i {
					p += 1 - a
				}
				want -= p * (v - math.Log(z)) / 3
			}
		}
		near(t, fmt.Sprintf("smoothing %g", a), loss.CrossEntropy(logits, labels, a).Item(), want)
	}
}

// A class that is masked out, its logit -Inf, counts nothing unless the target names it: losses,
// gradients and gradients of gradients are those of the rest.
func TestCrossEntropyMasked(t *testing.T) {
	fast := cpu.Open(1)
	defer fast.Close()
	for _, b := range []tensor.Backend{ref.New(), fast} {
		g := autodiff.NewGraph(b)
		defer g.Close()
		label := tensor.FromSlice(g.Scope(), []int32{1}, 1)
		row := func(v ...float32) *autodiff.Value {
			return g.Leaf(tensor.FromSlice(g.Scope(), v, 1, len(v)))
		}
		inf := float32(math.Inf(1))
		z, rest := row(-inf, 0, 1), row(0, 1)
		const want = 1.3132616875182228 // PyTorch's: log(1 + e)
		l := loss.CrossEntropy(z, label, 0)
		if got := l.Item(); math.Abs(got-want) > tolF32 {
			t.Errorf("%s: masked, %v, want %v", b.Name(), got, want)
		}
		if got := loss.CrossEntropy(z, label, 0.1).Item(); !math.IsInf(got, 1) {
			t.Errorf("%s: a smoothed target names the masked class: %v, want +Inf", b.Name(), got)
		}
		onto := func(l, z *autodiff.Value) (d, dd []float64) {
			first := autodiff.Grad(l, []*autodiff.Value{z}, autodiff.CreateGraph())[0]
			d = first.Tensor().Floats()
			second := autodiff.Grad(autodiff.Sum(autodiff.Square(first)), []*autodiff.Value{z})[0]
			return d, second.Tensor().Floats()
		}
		d, dd := onto(l, z)
		first := g.Const(tensor.FromSlice(g.Scope(), []float32{1, 0}, 1, 2))
		wantD, wantDD := onto(loss.SoftCrossEntropy(rest, first), rest)
		for i, got := range append(d, dd...) {
			want := append(append([]float64{0}, wantD...), append([]float64{0}, wantDD...)...)[i]
			if !(math.Abs(got-want) <= tolF32) {
				t.Errorf("%s: gradient %d is %v, want %v", b.Name(), i, got, want)
			}
		}
	}
}

// The gradient of soft cross-entropy keeps the factor Σtarget.
func TestSoftCrossEntropyGradient(t *testing.T) {
	g, logits, _ := setup(t)
	target := g.Scope().Full(tensor.F64, 0.5, 3, 4) // rows sum to 2
	l := loss.SoftCrossEntropy(logits, g.Const(target))
	grad := autodiff.Grad(l, []*autodiff.Value{logits})[0].Tensor().Floats()
	for i, r := range rows {
		z := 0.0
		for _, v := range r {
			z += math.Exp(v)
		}
		for k, v := range r {
			near(t, "gradient", grad[i*4+k], (2*math.Exp(v)/z-0.5)/3)
		}
	}
}

func TestMarginAndDLR(t *testing.T) {
	_, logits, labels := setup(t)
	margin := loss.EachMargin(logits, labels)
	for i, want := range []float64{3 - 2, 1 - 4, 0} {
		near(t, "margin", margin.Tensor().Floats()[i], want)
	}
	dlr := loss.EachDLR(logits, labels).Tensor().Floats()
	near(t, "DLR of a wrong row", dlr[0], -(2-3)/(3-0.5+1e-12))
	near(t, "DLR of a right row", dlr[1], -(4-1)/(4-0+1e-12))
	near(t, "DLR of equal logits", dlr[2], 0)
	grad := autodiff.Grad(autodiff.Sum(margin), []*autodiff.Value{logits})[0].Tensor().Floats()
	want := []float64{-1, 0, 0, 1, 0, -1, 1, 0, 1, 0, -1, 0} // among equals the first gets it all
	for i, v := range grad {
		near(t, "margin gradient", v, want[i])
	}
}

// A class that is masked out, its logit -Inf, leaves margin, DLR and KL what they are of the rest,
// and so their gradients and the gradients of these.
func TestMasked(t *testing.T) {
	inf := math.Inf(1)
	fast := cpu.Open(1)
	defer fast.Close()
	for _, b := range []tensor.Backend{ref.New(), fast} {
		g := autodiff.NewGraph(b)
		defer g.Close()
		row := func(v ...float64) *autodiff.Value {
			return g.Leaf(tensor.FromSlice(g.Scope(), v, 1, len(v)))
		}
		label := func(k int32) *tensor.Tensor { return tensor.FromSlice(g.Scope(), []int32{k}, 1) }
		q := []*autodiff.Value{row(0.5, -1, 0, 2), row(-inf, 0.5, -1, 0, 2)}
		for name, f := range map[string]func(z *autodiff.Value, masked int32) *autodiff.Value{
			"margin": func(z *autodiff.Value, masked int32) *autodiff.Value {
				return loss.EachMargin(z, label(2+masked))
			},
			"DLR": func(z *autodiff.Value, masked int32) *autodiff.Value {
				return loss.EachDLR(z, label(2+masked))
			},
			"KL": func(z *autodiff.Value, masked int32) *autodiff.Value {
				return loss.EachKL(z, q[masked])
			},
		} {
			derivatives := func(z *autodiff.Value, masked int32) []float64 {
				l := f(z, masked).Keep()
				d := autodiff.Grad(l, []*autodiff.Value{z}, autodiff.CreateGraph())[0].Keep()
				dd := autodiff.Grad(autodiff.Sum(autodiff.Square(d)), []*autodiff.Value{z})[0]
				return slices.Concat(l.Tensor().Floats(), d.Tensor().Floats(), dd.Tensor().Floats())
			}
			got := derivatives(row(-inf, 1, 3, -0.5, 0.25), 1)
			rest, none := derivatives(row(1, 3, -0.5, 0.25), 0), []float64{0}
			want := slices.Concat(rest[:1], none, rest[1:5], none, rest[5:])
			for i := range want {
				if !(math.Abs(got[i]-want[i]) <= tol) {
					t.Errorf("%s: %s: %d of value, gradient, second: %v, want %v", b.Name(), name, i,
						got[i], want[i])
				}
			}
		}
		z := row(-inf, 0, 1)
		for name, got := range map[string]float64{
			"margin of a masked class": loss.EachMargin(z, label(0)).Item(),
			"KL to q without a class":  loss.EachKL(row(0, 0, 1), z).Item(),
		} {
			if !math.IsInf(got, 1) {
				t.Errorf("%s: %s is %v, want +Inf", b.Name(), name, got)
			}
		}
		if got := loss.EachDLR(z, label(1)).Item(); got != 0 {
			t.Errorf("%s: DLR of two classes is %v, want 0", b.Name(), got)
		}
	}
}

func TestHinge(t *testing.T) {
	g, _, _ := setup(t)
	value := func(v ...float64) *autodiff.Value {
		return g.Leaf(tensor.FromSlice(g.Scope(), v, len(v)))
	}
	real, fake := value(2, 0.25, -1), value(-3, 0.5, 1)
	near(t, "discriminator", loss.HingeDiscriminator(real, fake).Item(), (0+0.75+2)/3+(0+1.5+2)/3)
	near(t, "generator", loss.HingeGenerator(fake).Item(), 1.5/3)
}

func TestKL(t *testing.T) {
	g, logits, _ := setup(t)
	for i, v := range loss.EachKL(logits, logits).Tensor().Floats() {
		near(t, fmt.Sprintf("KL of row %d with itself", i), v, 0)
	}
	p := g.Const(tensor.FromSlice(g.Scope(), []float64{0, math.Log(3)}, 1, 2))
	q := g.Const(tensor.FromSlice(g.Scope(), []float64{0, 0}, 1, 2))
	near(t, "KL of (1/4, 3/4) with (1/2, 1/2)", loss.EachKL(p, q).Tensor().Floats()[0],
		0.25*math.Log(0.5)+0.75*math.Log(1.5))
}

func TestDistances(t *testing.T) {
	g, _, _ := setup(t)
	x := g.Const(tensor.FromSlice(g.Scope(), []float64{1, 2, 3}, 3))
	y := g.Const(tensor.FromSlice(g.Scope(), []float64{1, 4, 0}, 3))
	near(t, "MSE", loss.MSE(x, y).Item(), 13.0/3)
	near(t, "L1", loss.L1(x, y).Item(), 5.0/3)
}

func TestMisuse(t *testing.T) {
	g, logits, _ := setup(t)
	two := g.Scope().Zeros(tensor.I32, 2)
	err := tensor.Try(func() { loss.CrossEntropy(logits, two, 0) })
	want := "Targets: expected logits [N K] and labels [N] i32, got [3 4] and [2]: " +
		"logits [3 4] f64, labels [2] i32"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	for _, smoothing := range []float64{-0.1, 1, 1.5, math.NaN()} {
		err := tensor.Try(func() { loss.Targets(logits, g.Scope().Zeros(tensor.I32, 3), smoothing) })
		if err == nil || !strings.Contains(err.Error(), "smoothing must be in [0, 1)") {
			t.Errorf("smoothing %g: got %v", smoothing, err)
		}
	}
}

func ExampleCrossEntropy() {
	b := ref.New()
	g := autodiff.NewGraph(b)
	defer g.Close()
	logits := g.Leaf(g.Scope().Zeros(tensor.F32, 1, 10))
	labels := tensor.FromSlice(g.Scope(), []int32{3}, 1)
	fmt.Printf("%.4f = log 10\n", loss.CrossEntropy(logits, labels, 0).Item())
	// Output: 2.3026 = log 10
}
