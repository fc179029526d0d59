package backendtest

import (
	"fmt"
	"math"
	"slices"

	"afterimage/tensor"
)

// env is what a case sees: one backend, a dtype, and inputs that come out the same on every
// backend, because all of them draw from the same stream and round to the same grid.
type env struct {
	*guarded
	scope       *tensor.Scope
	dt          tensor.DType // of this backend's floating-point tensors
	grid        tensor.DType // the dtype under test: inputs are its values
	bf16        bool         // of F32, only bfloat16s: see Options
	bf16Results bool         // of a convolution, too: see Options
	oracle      bool
	tape        *tape
	drawn       int // inputs taken from tape so far
	outputs     []output
	frozen      []frozen
	faults      []string
}

// An output is one tensor that a case hands over for comparison.
type output struct {
	name string
	vals []float64
	dt   tensor.DType
	k    float64
	mag  []float64 // oracle only

	orNaN bool // see tolerance
}

type frozen struct {
	t    *tensor.Tensor
	vals []float64
}

// A tape holds a case's random inputs in the order of drawing: the first backend draws and
// records, the others replay. Drawing costs more than most kernels.
type tape struct {
	rng  *tensor.RNG
	vals [][]float64
}

func newTape() *tape {
	return &tape{rng: tensor.NewRNG(tensor.NewKey(1, "backendtest"), 0)}
}

func newEnv(b *guarded, dt, grid tensor.DType, t *tape) *env {
	return &env{guarded: b, scope: tensor.NewScope(b), dt: dt, grid: grid, tape: t}
}

// draw returns n values made by f, which sees the index: recorded or replayed.
func (e *env) draw(n int, f gen) []float64 {
	if e.drawn < len(e.tape.vals) {
		e.drawn++
		return e.tape.vals[e.drawn-1]
	}
	vals := make([]float64, n)
	for i := range vals {
		vals[i] = f(e.tape.rng, i)
	}
	e.tape.vals = append(e.tape.vals, vals)
	e.drawn++
	return vals
}

// gen gives the value of element i.
type gen func(r *tensor.RNG, i int) float64

func uniform(lo, hi float64) gen {
	return func(r *tensor.RNG, _ int) float64 { return r.Uniform(lo, hi) }
}

func normal(mean, std float64) gen {
	return func(r *tensor.RNG, _ int) float64 { return mean + std*r.Normal() }
}

// cycle repeats the values given.
func cycle(v ...float64) gen {
	return func(_ *tensor.RNG, i int) float64 { return v[i%len(v)] }
}

// stretch gives every value n times over, then starts again: against cycle it makes all pairs.
func stretch(n int, v ...float64) gen {
	return func(_ *tensor.RNG, i int) float64 { return v[i/n%len(v)] }
}

// signedLog covers many magnitudes: ±2ᵘ with u uniform in (lo, hi).
func signedLog(lo, hi float64) gen {
	return func(r *tensor.RNG, _ int) float64 {
		m := math.Exp2(r.Uniform(lo, hi))
		if r.Uint32()&1 == 1 {
			return -m
		}
		return m
	}
}

// spiked replaces one element of g by v.
func spiked(g gen, at int, v float64) gen {
	return func(r *tensor.RNG, i int) float64 {
		if x := g(r, i); i != at {
			return x
		}
		return v
	}
}

// rounded returns v as a number of dt.
func rounded(v float64, dt tensor.DType) float64 {
	switch dt {
	case tensor.F32:
		return float64(float32(v))
	case tensor.BF16:
		return float64(tensor.FromBF16(tensor.ToBF16(float32(v))))
	}
	return v
}

// state returns a tensor drawn from g that the case may change in place.
func (e *env) state(g gen, shape ...int) *tensor.Tensor {
	grid := e.grid
	if grid == tensor.F32 && e.bf16 {
		grid = tensor.BF16
	}
	return e.fresh(e.dt, grid, g, shape)
}

// fresh returns a tensor drawn from g, rounded to a grid.
func (e *env) fresh(dt, grid tensor.DType, g gen, shape []int) *tensor.Tensor {
	t := e.scope.New(dt, shape...)
	t.SetFloats(e.draw(t.Size(), func(r *tensor.RNG, i int) float64 { return rounded(g(r, i), grid) }))
	return t
}

// in returns an input drawn from g; a case fails if a kernel changes it.
func (e *env) in(g gen, shape ...int) *tensor.Tensor { return e.freeze(e.state(g, shape...)) }

// ofChannels is the dtype of the numbers of a channel beside tensors of dt.
func ofChannels(dt tensor.DType) tensor.DType {
	if dt == tensor.BF16 {
		return tensor.F32
	}
	return dt
}

// inChannels is in for the numbers of a channel.
func (e *env) inChannels(g gen, shape ...int) *tensor.Tensor {
	if e.bf16 && e.grid == tensor.F32 {
		return e.in(g, shape...)
	}
	return e.freeze(e.fresh(ofChannels(e.dt), ofChannels(e.grid), g, shape))
}

// outChannels is out for the numbers of a channel.
func (e *env) outChannels(shape ...int) *tensor.Tensor {
	return e.scope.New(ofChannels(e.dt), shape...)
}

// ints returns an I32 input.
func (e *env) ints(v []int32, shape ...int) *tensor.Tensor {
	return e.freeze(tensor.FromSlice(e.scope, v, shape...))
}

// intsBelow returns an I32 input of random numbers in [0, n).
func (e *env) intsBelow(n int, shape ...int) *tensor.Tensor {
	t := e.scope.New(tensor.I32, shape...)
	t.SetFloats(e.draw(t.Size(), func(r *tensor.RNG, _ int) float64 { return float64(r.IntN(n)) }))
	return e.freeze(t)
}

// scalar returns an F32 input of one element, which is what kernels take rates as.
func (e *env) scalar(v float64) *tensor.Tensor {
	return e.freeze(tensor.FromSlice(e.scope, []float32{float32(v)}, 1))
}

func (e *env) freeze(t *tensor.Tensor) *tensor.Tensor {
	e.frozen = append(e.frozen, frozen{t, t.Floats()})
	return t
}

// out returns a tensor for a kernel to write.
func (e *env) out(shape ...int) *tensor.Tensor { return e.scope.New(e.dt, shape...) }

// outInts is out for I32.
func (e *env) outInts(shape ...int) *tensor.Tensor { return e.scope.New(tensor.I32, shape...) }

// abs returns |x| as a new tensor, for magnitudes.
func (e *env) abs(x *tensor.Tensor) *tensor.Tensor {
	y := e.out(x.Shape()...)
	e.Unary(tensor.Abs, tensor.Attr{}, y, x)
	return y
}

func (e *env) fault(format string, args ...any) {
	e.faults = append(e.faults, fmt.Sprintf(format, args...))
}

func (e *env) checkInputs() {
	for i, f := range e.frozen {
		if f.t.Freed() {
			continue
		}
		if at := firstDifference(f.t.Floats(), f.vals); at >= 0 {
			e.fault("a kernel changed its input %d (%v) at element %d", i, f.t, at)
		}
	}
}

// firstDifference returns the first index at which the bits differ, any NaN being equal to any
// other, or −1.
func firstDifference(a, b []float64) int {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i
		}
	}
	return -1
}

// want hands over t for comparison: |got − want| ≤ k·ε·magnitude, ε being that of the dtype
// under test.
func (e *env) want(name string, t *tensor.Tensor, tol tolerance) {
	o := output{name: name, vals: t.Floats(), dt: t.DType(), k: tol.k, orNaN: tol.orNaN}
	if e.oracle && tol.mag != nil {
		o.mag = slices.Clone(tol.mag())
	}
	e.outputs = append(e.outputs, o)
}

// adjoint checks ⟨a1, b1⟩ = ⟨a2, b2⟩ within the error that k roundings of the larger sum of
// absolute products make.
func (e *env) adjoint(name string, k float64, a1, b1, a2, b2 *tensor.Tensor) {
	left, lm := dot(a1, b1)
	right, rm := dot(a2, b2)
	k *= epsilon(e.grid)
	if e.grid == tensor.BF16 {
		k += 2 * roundBF16 // of both results
	}
	if bound := k * max(lm, rm); !(math.Abs(left-right) <= bound) {
		e.fault("%s: not adjoint: %.17g and %.17g differ by more than %.3g", name, left, right,
			bound)
	}
}

func dot(a, b *tensor.Tensor) (sum, magnitude float64) {
	bv := b.Floats()
	for i, v := range a.Floats() {
		sum += v * bv[i]
		magnitude += math.Abs(v * bv[i])
	}
	return sum, magnitude
}
