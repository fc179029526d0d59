package kernels_test

import (
	"encoding/binary"
	"math"
	"testing"

	"afterimage/cuda/internal/ksim"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A lab runs encoder calls under the emulator on arrays of any dtype, for what the conformance
// suite does not reach: bfloat16, wide tiles, kernels beyond the contract. Beside it the reference
// computes in F64 from the same, already rounded, inputs.
type lab struct {
	t    *testing.T
	sim  *ksim.Sim
	enc  kernels.Encoder
	seed uint64
	rng  *tensor.RNG
	mem  map[uint64][]byte

	ref   *ref.Backend
	scope *tensor.Scope
}

func newLab(t *testing.T) *lab {
	b := ref.New()
	l := &lab{t: t, sim: sim(t), rng: tensor.NewRNG(tensor.NewKey(1, t.Name()), 0),
		mem: map[uint64][]byte{}, ref: b, scope: tensor.NewScope(b)}
	l.enc = kernels.Encoder{Emit: l.emit, Scratch: func(n int) uint64 { return l.alloc(n) }}
	t.Cleanup(func() {
		for _, m := range l.mem {
			l.sim.Free(m)
		}
		l.scope.Close()
	})
	return l
}

func (l *lab) emit(k kernels.Launch) {
	l.t.Helper()
	l.seed++
	if err := l.sim.Launch(k, l.seed); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) alloc(bytes int) uint64 {
	addr, mem, err := l.sim.Alloc(bytes)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mem[addr] = mem
	return addr
}

// out returns an array with undefined contents.
func (l *lab) out(dt tensor.DType, shape ...int) kernels.Array {
	n := tensor.Shape(shape).Size()
	return kernels.Array{Ptr: l.alloc(n * dt.Size()), DType: dt, Shape: shape}
}

// in returns an array of values that f draws, rounded to dt, and the same as an F64 tensor of ref.
func (l *lab) in(dt tensor.DType, f func(i int) float64, shape ...int) (
	kernels.Array, *tensor.Tensor,
) {
	a := l.out(dt, shape...)
	mem, vals := l.mem[a.Ptr], make([]float64, a.Shape.Size())
	for i := range vals {
		v := f(i)
		switch dt {
		case tensor.F32:
			v = float64(float32(v))
			binary.LittleEndian.PutUint32(mem[4*i:], math.Float32bits(float32(v)))
		case tensor.F64:
			binary.LittleEndian.PutUint64(mem[8*i:], math.Float64bits(v))
		case tensor.BF16:
			b := toBF16(float32(v))
			v = fromBF16(b)
			binary.LittleEndian.PutUint16(mem[2*i:], b)
		case tensor.I32:
			binary.LittleEndian.PutUint32(mem[4*i:], uint32(int32(v)))
		case tensor.U8:
			mem[i] = uint8(v)
		}
		vals[i] = v
	}
	if dt == tensor.I32 {
		ints := l.scope.New(tensor.I32, shape...)
		ints.SetFloats(vals)
		return a, ints
	}
	return a, tensor.FromSlice(l.scope, vals, shape...)
}

// normal draws in with standard normals.
func (l *lab) normal(dt tensor.DType, shape ...int) (kernels.Array, *tensor.Tensor) {
	return l.in(dt, func(int) float64 { return l.rng.Normal() }, shape...)
}

// zeros returns an F64 tensor for the reference to write.
func (l *lab) zeros(shape ...int) *tensor.Tensor { return l.scope.New(tensor.F64, shape...) }

func (l *lab) floats(a kernels.Array) []float64 {
	mem, out := l.mem[a.Ptr], make([]float64, a.Shape.Size())
	for i := range out {
		switch a.DType {
		case tensor.F32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(mem[4*i:])))
		case tensor.F64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(mem[8*i:]))
		case tensor.BF16:
			out[i] = fromBF16(binary.LittleEndian.Uint16(mem[2*i:]))
		case tensor.I32:
			out[i] = float64(int32(binary.LittleEndian.Uint32(mem[4*i:])))
		case tensor.U8:
			out[i] = float64(mem[i])
		}
	}
	return out
}

func toBF16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7FFF + b>>16&1) >> 16)
}

func fromBF16(b uint16) float64 { return float64(math.Float32frombits(uint32(b) << 16)) }

// The bounds of comparisons, relative to the larger of the value and scale: the stored type's
// rounding, and room for sums in F32 behind it.
const (
	boundBF16 = 0x1p-8 + 1e-4
	boundF32  = 2e-5
	boundF64  = 1e-12
)

// near compares an array with a reference element by element: |got − want| ≤ bound·(|want| +
// scale), where scale is the size of the terms that a sum may cancel to nothing.
func (l *lab) near(name string, got kernels.Array, want []float64, scale float64) {
	l.t.Helper()
	bound := map[tensor.DType]float64{tensor.BF16: boundBF16, tensor.F32: boundF32,
		tensor.F64: boundF64}[got.DType]
	g := l.floats(got)
	if len(g) != len(want) {
		l.t.Fatalf("%s: %d elements, want %d", name, len(g), len(want))
	}
	bad := 0
	for i, w := range want {
		ok := math.Abs(g[i]-w) <= bound*(math.Abs(w)+scale) || g[i] == w || g[i] != g[i] && w != w
		if !ok {
			if bad++; bad <= 3 {
				l.t.Errorf("%s: element %d: got %g, want %g", name, i, g[i], w)
			}
		}
	}
	if bad > 3 {
		l.t.Errorf("%s: %d of %d elements wrong", name, bad, len(want))
	}
}
