package nn_test

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"afterimage/nn"
	"afterimage/tensor"
)

func draw(init nn.Initializer, shape ...int) []float64 {
	return init.Values(tensor.NewRNG(tensor.NewKey(7, "init"), 0), shape)
}

// Standard deviations of 100k draws are within 1 % with room to spare (σ of the estimate: 0.3 %).
const momentTol = 0.01

func TestInitialisersHaveTheirVariance(t *testing.T) {
	shape := []int{64, 3, 3, 180} // OHWI: fanIn 1620, fanOut 576
	for name, tc := range map[string]struct {
		init nn.Initializer
		std  float64
	}{
		"normal":          {nn.NormalInit{Std: 0.02}, 0.02},
		"kaiming fan-in":  {nn.KaimingNormal{}, math.Sqrt(2.0 / 1620)},
		"kaiming fan-out": {nn.KaimingNormal{FanOut: true}, math.Sqrt(2.0 / 576)},
		"pytorch default": {nn.KaimingUniform{A: math.Sqrt(5)}, 1 / math.Sqrt(3*1620.0)},
		"xavier uniform":  {nn.XavierUniform{}, math.Sqrt(2.0 / (1620 + 576))},
		"xavier normal":   {nn.XavierNormal{Gain: 2}, 2 * math.Sqrt(2.0/(1620+576))},
	} {
		v := draw(tc.init, shape...)
		sum, sq := 0.0, 0.0
		for _, x := range v {
			sum += x
			sq += x * x
		}
		n := float64(len(v))
		if std := math.Sqrt(sq / n); math.Abs(std/tc.std-1) > momentTol {
			t.Errorf("%s: standard deviation %g, want %g", name, std, tc.std)
		}
		if mean := sum / n; math.Abs(mean) > 5*tc.std/math.Sqrt(n) {
			t.Errorf("%s: mean %g", name, mean)
		}
	}
}

func TestOrthogonal(t *testing.T) {
	for _, shape := range [][]int{{6, 4}, {4, 6}, {5, 5}, {8, 3, 3, 2}, {3}, {1, 7}} {
		const gain = 1.5
		v := draw(nn.Orthogonal{Gain: gain}, shape...)
		rows := shape[0]
		cols := len(v) / rows
		at := func(i, j int) float64 { return v[i*cols+j] }
		n, m := rows, cols
		if rows > cols {
			n, m = cols, rows
			inner := at
			at = func(i, j int) float64 { return inner(j, i) }
		}
		for a := range n {
			for b := range n {
				dot := 0.0
				for k := range m {
					dot += at(a, k) * at(b, k)
				}
				want := 0.0
				if a == b {
					want = gain * gain
				}
				if math.Abs(dot-want) > f64Tol {
					t.Fatalf("%v: product %d·%d is %g, want %g", shape, a, b, dot, want)
				}
			}
		}
	}
}

// The sign fix makes the distribution uniform: without it the first entry's sign would be fixed by
// LAPACK.
func TestOrthogonalSigns(t *testing.T) {
	positive := 0
	const draws = 200
	for i := range draws {
		v := nn.Orthogonal{}.Values(tensor.NewRNG(tensor.NewKey(uint64(i), "init"), 0),
			tensor.Shape{2, 2})
		if v[0] > 0 {
			positive++
		}
	}
	if positive < draws/4 || positive > 3*draws/4 {
		t.Errorf("%d of %d first entries are positive", positive, draws)
	}
}

func TestInitDependsOnNameOnly(t *testing.T) {
	e := newEnv(t)
	a := nn.NewLinear(nn.LinearConfig{In: 3, Out: 2})
	b := nn.NewLinear(nn.LinearConfig{In: 3, Out: 2})
	nn.Init(e.s, nn.Sequential{a}, 5)
	nn.Init(e.s, nn.Sequential{b, nn.NewLinear(nn.LinearConfig{In: 2, Out: 9})}, 5)
	if maxDiff(a.Weight.T.Floats(), b.Weight.T.Floats()) != 0 {
		t.Error("a later layer changed an earlier one's values")
	}
}

// A broken initialiser panics with a message of its own.
type broken string

func (b broken) Values(*tensor.RNG, tensor.Shape) []float64 {
	panic(&tensor.Error{Op: "broken", Reason: string(b)})
}

// A late initialiser takes its time and says when it is done.
type late chan bool

func (l late) Values(_ *tensor.RNG, shape tensor.Shape) []float64 {
	time.Sleep(20 * time.Millisecond)
	l <- true
	return make([]float64, shape.Size())
}

// TestInitWaits: when Init panics nobody draws any more, so that memory may be freed.
func TestInitWaits(t *testing.T) {
	e := newEnv(t)
	done := make(late, 1)
	var ps nn.Params
	for _, init := range []nn.Initializer{broken("first"), done} {
		ps = append(ps, nn.Named{Name: "p", Param: &nn.Param{Shape: tensor.Shape{2}, Init: init}})
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // as many are drawn at a time
	if err := tensor.Try(func() { nn.Init(e.s, ps, 1) }); err == nil {
		t.Error("no error")
	}
	select {
	case <-done:
	default:
		t.Error("Init panicked while values were being drawn")
	}
}

// TestInitPanicsAtTheCaller: values are drawn on other goroutines, where a panic would end the
// program; of several the first parameter's is the one that comes back.
func TestInitPanicsAtTheCaller(t *testing.T) {
	e := newEnv(t)
	var ps nn.Params
	for _, init := range []nn.Initializer{nn.Constant(3), broken("first"), broken("second")} {
		ps = append(ps, nn.Named{Name: "p", Param: &nn.Param{Shape: tensor.Shape{2}, Init: init}})
	}
	err := tensor.Try(func() { nn.Init(e.s, ps, 1) })
	if err == nil || !strings.Contains(err.Error(), "first") {
		t.Errorf("error %v, expected the first initialiser's", err)
	}
	if v := ps[0].Param.T.Floats(); v[0] != 3 {
		t.Errorf("the parameter before it holds %v", v)
	}
}
