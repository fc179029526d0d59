package golden

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// A Func is the function of a case: it gets the case's inputs and returns its value.
type Func func(g *autodiff.Graph, in []*autodiff.Value) *autodiff.Value

// Tolerances bounds the errors of one file on the two backends.
type Tolerances struct{ F64, F32 float64 }

// Default fits cases of order 1 with at most a few hundred terms in a sum.
//
// Both sides round a chain of some ten operations, each by 2⁻⁵³ or 2⁻²⁴ of sums whose terms may be
// ten times the result: 1e-14 and 6e-6. Measured errors stay below 3e-15 and 1e-6.
var Default = Tolerances{F64: 1e-14, F32: 6e-6}

// A Run is one pass over a golden file on one backend.
type Run struct {
	T       testing.TB
	Backend tensor.Backend
	Scope   *tensor.Scope // closed at the end of the run
	DType   tensor.DType
	Tol     float64

	path  string
	file  *checkpoint.File
	used  map[string]bool
	rows  map[string]*Row
	worst float64
	where string
}

// Each reads the golden file at path and calls f twice, in subtests: with the reference backend in
// F64 and with the CPU backend in F32, Winograd's form off: its error is bounded by the largest sum
// of magnitudes, a bound of its own kind. Then every array of the file must have been used.
func Each(t *testing.T, path string, tol Tolerances, f func(r *Run)) {
	t.Helper()
	file := open(t, path)
	t.Run(Double, func(t *testing.T) { double(t, path, file, tol.F64, f) })
	t.Run(Single, func(t *testing.T) { single(t, path, file, tol.F32, f) })
}

// The two backends that a file is held on, as rows name them.
const (
	Double = "ref f64"
	Single = "cpu f32"
)

// OnlySingle is the half of Each on the CPU backend in F32.
func OnlySingle(t *testing.T, path string, tol float64, f func(r *Run)) {
	t.Helper()
	single(t, path, open(t, path), tol, f)
}

// OnlyDouble is the half of Each on the reference backend in F64: for what is computed on the host
// in double precision, whatever the backend.
func OnlyDouble(t *testing.T, path string, tol float64, f func(r *Run)) {
	t.Helper()
	double(t, path, open(t, path), tol, f)
}

func single(t *testing.T, path string, file *checkpoint.File, tol float64, f func(r *Run)) {
	b := cpu.Open(1)
	defer b.Close()
	b.SetWinograd(false)
	run(&Run{T: t, Backend: b, DType: tensor.F32, Tol: tol, path: path, file: file}, f)
}

func double(t *testing.T, path string, file *checkpoint.File, tol float64, f func(r *Run)) {
	run(&Run{T: t, Backend: ref.New(), DType: tensor.F64, Tol: tol, path: path, file: file}, f)
}

// open reads a golden file, which must say where it comes from.
func open(t testing.TB, path string) *checkpoint.File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.ReadSafetensors(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, key := range []string{"torch", "seed", "script"} {
		if file.Metadata[key] == "" {
			t.Errorf("%s does not say its %s: expected it in the metadata", path, key)
		}
	}
	return file
}

func run(r *Run, f func(r *Run)) {
	r.T.Helper()
	r.Scope, r.used, r.rows = tensor.NewScope(r.Backend), map[string]bool{}, map[string]*Row{}
	defer r.Scope.Close()
	f(r)
	r.report()
	for _, name := range r.file.Names() {
		if !r.used[name] {
			r.T.Errorf("%s was not used: a golden without a test", name)
		}
	}
	r.T.Logf("largest error %.1e of %.0e allowed, in %s (torch %s)", r.worst, r.Tol, r.where,
		r.file.Metadata["torch"])
}

// Array returns an array of the file. The test ends if there is none.
func (r *Run) Array(name string) checkpoint.Array {
	r.T.Helper()
	a, err := r.file.Lookup(name)
	if err != nil {
		r.T.Fatal(err)
	}
	r.used[name] = true
	return a
}

// Floats returns the elements of an array.
func (r *Run) Floats(name string) []float64 {
	r.T.Helper()
	return r.Array(name).Float64s()
}

// Tensor returns an array as a tensor of the run's dtype, integers as I32.
func (r *Run) Tensor(name string) *tensor.Tensor {
	r.T.Helper()
	a := r.Array(name)
	dt := r.DType
	if !a.DType.IsFloat() {
		dt = tensor.I32
	}
	x := r.Scope.New(dt, a.Shape...)
	x.SetFloats(a.Float64s())
	return x
}

// Case holds f against the case called name: its value, its gradient in every input that has one
// in the file, and the gradient of the gradient's product with the file's directions.
func (r *Run) Case(name string, f Func) {
	r.T.Helper()
	g := autodiff.NewGraph(r.Backend)
	defer g.Close()
	in, leaves, at := r.inputs(g, name)
	y := f(g, in).Keep()
	r.Compare(name+"/y", y)
	if len(leaves) == 0 {
		return
	}
	dy := g.Leaf(r.Tensor(name + "/dy"))
	if !r.has(fmt.Sprintf("%s/v%d", name, at[0])) {
		r.gradients(name+"/dx", at,
			autodiff.Grad(y, leaves, autodiff.WithCotangent(dy), autodiff.Retain()))
		return
	}
	dxs := autodiff.Grad(y, leaves, autodiff.WithCotangent(dy), autodiff.CreateGraph())
	r.gradients(name+"/dx", at, dxs)
	product := g.Scalar(r.DType, 0)
	for i, dx := range dxs {
		v := g.Const(r.Tensor(fmt.Sprintf("%s/v%d", name, at[i])))
		product = autodiff.Add(product, autodiff.Sum(autodiff.Mul(v, dx)))
	}
	second := autodiff.Grad(product, append(leaves, dy))
	r.gradients(name+"/ddx", at, second[:len(leaves)])
	r.Compare(name+"/ddy", second[len(leaves)])

	// The gradient that is not recorded may come from other kernels: it is held to the same values.
	g2 := autodiff.NewGraph(r.Backend)
	defer g2.Close()
	in, leaves, at = r.inputs(g2, name)
	r.gradients(name+"/dx", at, autodiff.Grad(f(g2, in), leaves,
		autodiff.WithCotangent(g2.Const(r.Tensor(name+"/dy")))))
}

// inputs returns a case's inputs, those of them that get a gradient, and their positions.
func (r *Run) inputs(g *autodiff.Graph, name string) (in, leaves []*autodiff.Value, at []int) {
	r.T.Helper()
	for i := 0; r.has(fmt.Sprintf("%s/in%d", name, i)); i++ {
		x := r.Tensor(fmt.Sprintf("%s/in%d", name, i))
		if !r.has(fmt.Sprintf("%s/dx%d", name, i)) {
			in = append(in, g.Const(x))
			continue
		}
		in = append(in, g.Leaf(x))
		leaves, at = append(leaves, in[i]), append(at, i)
	}
	if len(in) == 0 {
		r.T.Fatalf("no case is called %s", name)
	}
	return in, leaves, at
}

func (r *Run) has(name string) bool {
	_, ok := r.file.Get(name)
	return ok
}

func (r *Run) gradients(prefix string, at []int, dxs []*autodiff.Value) {
	r.T.Helper()
	for i, dx := range dxs {
		r.Compare(fmt.Sprintf("%s%d", prefix, at[i]), dx)
	}
}

// Compare holds a value against the array called name: shape and elements.
func (r *Run) Compare(name string, got *autodiff.Value) {
	r.T.Helper()
	r.CompareTensor(name, got.Tensor())
}

// CompareTensor is Compare for a tensor.
func (r *Run) CompareTensor(name string, got *tensor.Tensor) {
	r.T.Helper()
	if want := r.Array(name).Shape; !slices.Equal(want, []int(got.Shape())) {
		r.T.Errorf("%s: shape %v, torch has %v", name, got.Shape(), want)
		return
	}
	r.CompareFloats(name, got.Floats())
}

// CompareFloats is Compare for elements in row-major order.
func (r *Run) CompareFloats(name string, got []float64) {
	r.T.Helper()
	want := r.Floats(name)
	if len(got) != len(want) {
		r.T.Errorf("%s: %d elements, torch has %d", name, len(got), len(want))
		return
	}
	e, i := Error(got, want)
	r.note(e, name)
	if !(e <= r.Tol) {
		r.T.Errorf("%s: element %d is %.17g, torch has %.17g: error %.2e of %.0e allowed", name, i,
			got[i], want[i], e, r.Tol)
	}
}

// note remembers the largest error and where it was, of the file and of the array's row.
func (r *Run) note(e float64, name string) {
	if e > r.worst || math.IsNaN(e) || r.where == "" {
		r.worst, r.where = e, name
	}
	r.row(name).note(e, kindOf(name))
}

// Gradients holds gradients against those of the file: either whole, grad/name, or, of large ones,
// sum/name, the norm and the product with cos 0, cos 1, …, which sees the order.
func (r *Run) Gradients(names []string, grads []*autodiff.Value) {
	r.T.Helper()
	for i, name := range names {
		if r.has("grad/" + name) {
			r.Compare("grad/"+name, grads[i])
			continue
		}
		norm, product := 0.0, 0.0
		for j, v := range grads[i].Tensor().Floats() {
			norm += v * v
			product += v * math.Cos(float64(j))
		}
		r.CompareFloats("sum/"+name, []float64{math.Sqrt(norm), product})
	}
}

// Error returns max|got − want|/max(1, max|want|) and where the difference is largest; NaN where
// one side alone is NaN or they are different infinities. got and want are equally long.
func Error(got, want []float64) (e float64, at int) {
	scale := 1.0
	for _, w := range want {
		if !math.IsInf(w, 0) && !math.IsNaN(w) {
			scale = max(scale, math.Abs(w))
		}
	}
	for i, w := range want {
		d := math.Abs(got[i]-w) / scale
		if got[i] == w || math.IsNaN(got[i]) && math.IsNaN(w) {
			d = 0
		}
		if d > e || math.IsNaN(d) {
			e, at = d, i
		}
		if math.IsNaN(d) {
			break
		}
	}
	return e, at
}
