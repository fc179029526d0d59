package golden

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A recorder is a test that remembers its complaints instead of failing.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Attr(string, string) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// cube returns the golden of x³ at 2 with every number right.
func cube() *checkpoint.File {
	f := checkpoint.NewFile()
	for name, v := range map[string]float64{"c/in0": 2, "c/y": 8, "c/dy": 0.5, "c/dx0": 6, "c/v0": 3,
		"c/ddx0": 18, "c/ddy": 36} { // v·dy·6x and v·3x²
		f.Set(name, checkpoint.FromFloat64s([]int{1}, []float64{v}))
	}
	return f
}

func check(t *testing.T, file *checkpoint.File, f func(r *Run)) []string {
	said := &recorder{TB: t}
	run(&Run{T: said, Backend: ref.New(), DType: tensor.F64, Tol: 1e-14, file: file}, f)
	return said.said
}

func runCube(r *Run) {
	r.Case("c", func(_ *autodiff.Graph, in []*autodiff.Value) *autodiff.Value {
		return autodiff.Mul(in[0], autodiff.Square(in[0]))
	})
}

// TestCaseNotices changes each number of a case, and adds one that nobody reads.
func TestCaseNotices(t *testing.T) {
	if said := check(t, cube(), runCube); len(said) > 0 {
		t.Fatalf("a right case fails: %v", said)
	}
	for _, name := range cube().Names() {
		f := cube()
		a, _ := f.Get(name)
		f.Set(name, checkpoint.FromFloat64s([]int{1}, []float64{a.Float64s()[0] + 1e-9}))
		if said := check(t, f, runCube); len(said) == 0 {
			t.Errorf("nobody notices a wrong %s", name)
		}
	}
	f := cube()
	f.Set("c/extra", checkpoint.FromFloat64s([]int{1}, []float64{1}))
	said := strings.Join(check(t, f, runCube), "\n")
	if !strings.Contains(said, "c/extra was not used") {
		t.Errorf("an unread array: %q", said)
	}
}

// TestCurveNotices puts a curve just inside and just outside the envelope.
func TestCurveNotices(t *testing.T) {
	file := checkpoint.NewFile()
	file.Set("l/double", checkpoint.FromFloat64s([]int{2}, []float64{1, 2}))
	file.Set("l/single", checkpoint.FromFloat64s([]int{2}, []float64{1, 2}))
	file.Set("l/perturbed", checkpoint.FromFloat64s([]int{2, 2}, []float64{1, 2.5, 1, 2.25}))
	for _, c := range []struct {
		losses []float64
		fine   bool
	}{
		{[]float64{1, 2.1}, true}, {[]float64{1, 1.5001}, true}, {[]float64{1, 2.9999}, true},
		{[]float64{1, 1.4}, false}, {[]float64{1, 3.1}, false}, {[]float64{1.0002, 2}, false},
		{[]float64{1, math.NaN()}, false},
	} {
		said := check(t, file, func(r *Run) { r.Curve("l", c.losses) })
		if fine := len(said) == 0; fine != c.fine {
			t.Errorf("%v: %q", c.losses, said)
		}
	}
}

// TestFilesAreWhole reads every golden file of the repository.
func TestFilesAreWhole(t *testing.T) {
	var files []string
	for _, dir := range []string{"autodiff", "nn", "nn/*", "gan"} {
		found, err := filepath.Glob(filepath.Join("../../..", dir, "testdata", "*.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no golden files: expected them below autodiff, nn and gan")
	}
	for _, path := range files {
		open(t, path)
	}
}

func TestErrorOfSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct{ got, want, e float64 }{
		{1, 1, 0}, {nan, nan, 0}, {inf, inf, 0}, {0.5, 0.25, 0.25}, {5, 4, 0.25},
	} {
		if e, _ := Error([]float64{c.got}, []float64{c.want}); e != c.e {
			t.Errorf("Error(%g, %g) = %g, want %g", c.got, c.want, e, c.e)
		}
	}
	for _, c := range [][2]float64{{nan, 1}, {1, nan}, {inf, 1}, {1, inf}, {inf, -inf}} {
		if e, _ := Error(c[:1], c[1:]); e <= 1 {
			t.Errorf("Error(%g, %g) = %g: expected more than any tolerance or NaN", c[0], c[1], e)
		}
	}
}

// The error of a comparison is relative to the largest magnitude, but never to less than 1.
func ExampleError() {
	e, at := Error([]float64{1, 200.5}, []float64{1, 200})
	fmt.Println(e, at)
	// Output: 0.0025 1
}
