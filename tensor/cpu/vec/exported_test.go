package vec

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// Every entry of every variant's table must be filled in.
func TestTablesComplete(t *testing.T) {
	for _, v := range variants() {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			if f := s.Field(i); f.Kind() == reflect.Func && f.IsNil() {
				t.Errorf("%s: no %s", v.name, s.Type().Field(i).Name)
			}
		}
	}
	if Variant() != active.name {
		t.Errorf("Variant() = %q, want %q", Variant(), active.name)
	}
}

// A call runs an exported function and the Go variant's entry on the same operands.
type call struct {
	name     string
	exported func(d []float32)
	spec     func(d []float32)
}

// callOperands are [8, 12] matrices and rows for them.
type callOperands struct{ x, y, z, v, w, u, t []float32 }

func newCallOperands() callOperands {
	r := rand.New(rand.NewPCG(23, 24))
	return callOperands{randoms(r, 96), randoms(r, 96), randoms(r, 96),
		randoms(r, 12), randoms(r, 12), randoms(r, 12), randoms(r, 12)}
}

// The exported functions must call the entry they are named after.
func TestExported(t *testing.T) {
	o, g := newCallOperands(), goTable()
	for _, c := range slices.Concat(o.unary(g), o.scalar(g), o.binary(g), o.fused(g)) {
		checkExported(t, c.name, [2]func(d []float32){c.exported, c.spec})
	}
}

func (o callOperands) unary(g table) []call {
	c := func(name string, a, b func(dst, x []float32)) call {
		return call{name, func(d []float32) { a(d, o.x) }, func(d []float32) { b(d, o.x) }}
	}
	return []call{
		c("Neg", Neg, g.neg), c("Abs", Abs, g.abs), c("Sqrt", Sqrt, g.sqrt),
		c("Rsqrt", Rsqrt, g.rsqrt), c("Square", Square, g.square), c("Recip", Recip, g.recip),
		c("Exp", Exp, g.exp), c("Log", Log, g.log), c("Tanh", Tanh, g.tanh),
		c("Erf", Erf, g.erf), c("Sigmoid", Sigmoid, g.sigmoid), c("Softplus", Softplus, g.softplus),
		c("SiLU", SiLU, g.silu), c("GELU", GELU, g.gelu),
		c("ReLU", ReLU, g.relu), c("Step", Step, g.step), c("Sign", Sign, g.sign),
		c("AddTo", AddTo, g.addTo),
	}
}

func (o callOperands) scalar(g table) []call {
	const s = 0.75
	c := func(name string, a, b func(dst, x []float32, s float32)) call {
		return call{name, func(d []float32) { a(d, o.x, s) }, func(d []float32) { b(d, o.x, s) }}
	}
	c2 := func(name string, a, b func(dst, x []float32, lo, hi float32)) call {
		return call{name, func(d []float32) { a(d, o.x, -1, s) },
			func(d []float32) { b(d, o.x, -1, s) }}
	}
	subScalar := func(dst, x []float32, s float32) { g.addScalar(dst, x, -s) }
	return []call{
		c("AddScalar", AddScalar, g.addScalar), c("SubScalar", SubScalar, subScalar),
		c("MulScalar", MulScalar, g.mulScalar), c("RSubScalar", RSubScalar, g.rsubScalar),
		c("DivScalar", DivScalar, g.divScalar), c("RDivScalar", RDivScalar, g.rdivScalar),
		c("MaxScalar", MaxScalar, g.maxScalar), c("MinScalar", MinScalar, g.minScalar),
		c("GreaterScalar", GreaterScalar, g.greaterScalar),
		c("EqualScalar", EqualScalar, g.equalScalar),
		c("LeakyReLU", LeakyReLU, g.leakyReLU), c("EMA", EMA, g.ema),
		c2("Clamp", Clamp, g.clamp), c2("Affine", Affine, g.affine),
		c2("InRange", InRange, g.inRange), c2("HardSwish", HardSwish, g.hardSwish),
		{"Fill", func(d []float32) { Fill(d, s) }, func(d []float32) { g.fill(d, s) }},
		{"AXPBY", func(d []float32) { AXPBY(d, s, o.x, -2, o.y) },
			func(d []float32) { g.axpby(d, s, o.x, -2, o.y) }},
		{"AXPY", func(d []float32) { AXPY(d, s, o.x) }, func(d []float32) { g.axpy(d, s, o.x) }},
	}
}

func (o callOperands) binary(g table) []call {
	with := func(y []float32) func(name string, a, b func(dst, x, y []float32)) call {
		return func(name string, a, b func(dst, x, y []float32)) call {
			return call{name, func(d []float32) { a(d, o.x, y) },
				func(d []float32) { b(d, o.x, y) }}
		}
	}
	c, r := with(o.y), with(o.v)
	return []call{
		c("Add", Add, g.add), c("Sub", Sub, g.sub), c("Mul", Mul, g.mul), c("Div", Div, g.div),
		c("Max", Max, g.max), c("Min", Min, g.min), c("Greater", Greater, g.greater),
		c("Equal", Equal, g.equal), c("ReLUGrad", ReLUGrad, g.reluGrad),
		r("AddRow", AddRow, g.addRow), r("SubRow", SubRow, g.subRow),
		r("MulRow", MulRow, g.mulRow), r("DivRow", DivRow, g.divRow),
	}
}

func (o callOperands) fused(g table) []call {
	type f4 = func(dst, x, v, w []float32)
	type f5 = func(dst, x, res, v, w []float32)
	ss := func(name string, a, b f4) call {
		return call{name, func(d []float32) { a(d, o.x, o.v, o.w) },
			func(d []float32) { b(d, o.x, o.v, o.w) }}
	}
	ssa := func(name string, a, b f5) call {
		return call{name, func(d []float32) { a(d, o.x, o.y, o.v, o.w) },
			func(d []float32) { b(d, o.x, o.y, o.v, o.w) }}
	}
	soft := func(name string, a, b func(dst, x []float32, k int)) call {
		return call{name, func(d []float32) { a(d, o.x, 12) }, func(d []float32) { b(d, o.x, 12) }}
	}
	return []call{
		ss("ScaleShift", ScaleShift, g.scaleShift),
		ss("ScaleShiftReLU", ScaleShiftReLU, g.scaleShiftReLU),
		ssa("ScaleShiftAdd", ScaleShiftAdd, g.scaleShiftAdd),
		ssa("ScaleShiftAddReLU", ScaleShiftAddReLU, g.scaleShiftAddReLU),
		soft("Softmax", Softmax, g.softmax), soft("LogSoftmax", LogSoftmax, g.logSoftmax),
		{"LayerNorm", func(d []float32) {
			LayerNorm(d[:12], d[12:13], d[13:14], o.x[:12], o.v[:12], o.w[:12], 0.5)
		}, func(d []float32) {
			g.layerNorm(d[:12], d[12:13], d[13:14], o.x[:12], o.v[:12], o.w[:12], 0.5)
		}},
		{"CrossEntropyGrad", func(d []float32) { CrossEntropyGrad(d, o.x, o.y, 0.75, -2) },
			func(d []float32) { g.crossEntropyGrad(d, o.x, o.y, 0.75, -2) }},
		{"AddReLUGrad", func(d []float32) { AddReLUGrad(d, o.x, o.y, o.z) },
			func(d []float32) { g.addReLUGrad(d, o.x, o.y, o.z) }},
		{"Select", func(d []float32) { Select(d, o.x, o.y, o.z) },
			func(d []float32) { g.selectOf(d, o.x, o.y, o.z) }},
		{"BNBackward", func(d []float32) { BNBackward(d, o.x, o.y, o.t, o.v, o.w, o.u) },
			func(d []float32) { g.bnBackward(d, o.x, o.y, o.t, o.v, o.w, o.u) }},
		{"BNBackwardReLU", func(d []float32) {
			BNBackwardReLU(d, o.x, o.y, o.t, o.v, o.w, o.u, o.t)
		},
			func(d []float32) { g.bnBackwardReLU(d, o.x, o.y, o.t, o.v, o.w, o.u, o.t) }},
	}
}

// tolVariants bounds the distance of two variants on numbers of size one.
const tolVariants = 1e-5

func checkExported(t *testing.T, name string, f [2]func(d []float32)) {
	t.Helper()
	var out [2][]float32
	for i := range f {
		out[i] = make([]float32, 96)
		fillGo(out[i], 0.25)
		f[i](out[i])
	}
	for i, a := range out[0] {
		b := out[1][i]
		if a != b && !(a != a && b != b) &&
			!(math.Abs(float64(a-b)) <= tolVariants*(1+math.Abs(float64(b)))) {
			t.Errorf("%s: element %d is %v, the Go variant gives %v", name, i, a, b)
			return
		}
	}
}
