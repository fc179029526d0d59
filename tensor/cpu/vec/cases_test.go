package vec

import (
	"math"
	"slices"
)

const (
	eps32 = 0x1p-24 // unit roundoff of binary32: half an ulp of 1
	// tiny absorbs results among the subnormal numbers, where the spacing is absolute. Two
	// spacings: one for the result, one for a subnormal intermediate.
	tiny = 2 * math.SmallestNonzeroFloat32

	tolExact = 0.0 // sign tricks, comparisons, selections
	// tolOne is one correctly rounded operation; the slack is the float64 reference's own.
	tolOne = 1.001
	tolTwo = 2.1 // two rounded operations (or one fused)
	tolFew = 4.5 // a short chain of rounded operations, relative to its largest terms
	tolExp = 2.0 // documented: 1 ulp, which is at most 2 roundoffs of the value
	tolLog = 6.0 // documented: at most 3 ulp (log, tanh, sigmoid, softplus)
	// tolChain covers Adam's dozen operations, with a root and a division.
	tolChain = 16.0
)

// An ew describes an element-wise function: how to run it in a variant and what it should give.
type ew struct {
	name string
	ins  int // streams; when accum is set the first is the output's old contents
	vecs int // per-channel vectors
	run  func(t table, out []float32, in, v [][]float32)
	// ref returns the value and the magnitude that the tolerance is relative to.
	ref      func(in, v []float64) (y, mag float64)
	tol      float64
	accum    bool
	positive bool // arguments in (0, 8) instead of (-8, 8)
}

func self(y float64) (float64, float64) { return y, math.Abs(y) }

func un(name string, tol float64, get func(t table) func(dst, x []float32),
	f func(x float64) float64) ew {
	return ew{name: name, ins: 1, tol: tol,
		run: func(t table, out []float32, in, _ [][]float32) { get(t)(out, in[0]) },
		ref: func(in, _ []float64) (float64, float64) { return self(f(in[0])) }}
}

func unS(name string, tol float64, get func(t table) func(dst, x []float32, s float32),
	f func(x, s float64) float64) ew {
	e := un(name, tol, nil, nil)
	e.run = func(t table, out []float32, in, _ [][]float32) { get(t)(out, in[0], testScalar) }
	e.ref = func(in, _ []float64) (float64, float64) { return self(f(in[0], testScalar)) }
	return e
}

// testScalar is exact in binary32, so that the reference sees the same number.
const testScalar = 0.3125

func bin(name string, tol float64, get func(t table) func(dst, x, y []float32),
	f func(x, y float64) (float64, float64)) ew {
	return ew{name: name, ins: 2, tol: tol,
		run: func(t table, out []float32, in, _ [][]float32) { get(t)(out, in[0], in[1]) },
		ref: func(in, _ []float64) (float64, float64) { return f(in[0], in[1]) }}
}

func rowOp(name string, tol float64, get func(t table) func(dst, x, v []float32),
	f func(x, y float64) float64) ew {
	return ew{name: name, ins: 1, vecs: 1, tol: tol,
		run: func(t table, out []float32, in, v [][]float32) { get(t)(out, in[0], v[0]) },
		ref: func(in, v []float64) (float64, float64) { return self(f(in[0], v[0])) }}
}

func relu64(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

func step64(x float64) float64 {
	if x > 0 {
		return 1
	}
	return 0
}

func max64(x, y float64) float64 {
	if x > y || x != x {
		return x
	}
	return y
}

func equal64(x, y float64) float64 {
	if x == y {
		return 1
	}
	return 0
}

func min64(x, y float64) float64 { return -max64(-x, -y) }

func positive(e ew) ew { e.positive = true; return e }

func unaryCases() []ew {
	return []ew{
		un("Neg", tolExact, func(t table) func(a, b []float32) { return t.neg },
			func(x float64) float64 { return -x }),
		un("Abs", tolExact, func(t table) func(a, b []float32) { return t.abs }, math.Abs),
		un("Sqrt", tolOne, func(t table) func(a, b []float32) { return t.sqrt }, math.Sqrt),
		positive(un("Rsqrt", tolTwo, func(t table) func(a, b []float32) { return t.rsqrt },
			func(x float64) float64 { return 1 / math.Sqrt(x) })),
		un("Square", tolOne, func(t table) func(a, b []float32) { return t.square },
			func(x float64) float64 { return x * x }),
		un("Recip", tolOne, func(t table) func(a, b []float32) { return t.recip },
			func(x float64) float64 { return 1 / x }),
		un("Exp", tolExp, func(t table) func(a, b []float32) { return t.exp }, math.Exp),
		positive(un("Log", tolLog, func(t table) func(a, b []float32) { return t.log }, math.Log)),
		un("LogSigned", tolLog, func(t table) func(a, b []float32) { return t.log }, math.Log),
		un("Tanh", tolLog, func(t table) func(a, b []float32) { return t.tanh }, math.Tanh),
		un("Erf", tolLog, func(t table) func(a, b []float32) { return t.erf }, math.Erf),
		un("Sigmoid", tolLog, func(t table) func(a, b []float32) { return t.sigmoid },
			func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }),
		un("Softplus", tolLog, func(t table) func(a, b []float32) { return t.softplus },
			func(x float64) float64 {
				return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
			}),
		un("SiLU", tolLog, func(t table) func(a, b []float32) { return t.silu },
			func(x float64) float64 { return x / (1 + math.Exp(-x)) }),
		un("ReLU", tolExact, func(t table) func(a, b []float32) { return t.relu }, relu64),
		un("Step", tolExact, func(t table) func(a, b []float32) { return t.step }, step64),
		un("Sign", tolExact, func(t table) func(a, b []float32) { return t.sign },
			func(x float64) float64 { return step64(x) - step64(-x) }),
		{name: "Fill", ins: 1, tol: tolExact,
			run: func(t table, out []float32, _, _ [][]float32) { t.fill(out, testScalar) },
			ref: func(_, _ []float64) (float64, float64) { return self(testScalar) }},
		{name: "Clamp", ins: 1, tol: tolExact,
			run: func(t table, out []float32, in, _ [][]float32) { t.clamp(out, in[0], -0.5, 2) },
			ref: func(in, _ []float64) (float64, float64) {
				return self(min64(max64(in[0], -0.5), 2))
			}},
		{name: "InRange", ins: 1, tol: tolExact,
			run: func(t table, out []float32, in, _ [][]float32) { t.inRange(out, in[0], -1, 2) },
			ref: func(in, _ []float64) (float64, float64) {
				return self(step64(in[0]+1) * step64(2-in[0]))
			}},
		{name: "Affine", ins: 1, tol: tolTwo,
			run: func(t table, out []float32, in, _ [][]float32) { t.affine(out, in[0], -1.5, 2) },
			ref: func(in, _ []float64) (float64, float64) {
				return -1.5*in[0] + 2, math.Abs(1.5*in[0]) + 2
			}},
		{name: "HardSwish", ins: 1, tol: tolTwo,
			run: func(t table, out []float32, in, _ [][]float32) { t.hardSwish(out, in[0], 0.25, 0.5) },
			ref: func(in, _ []float64) (float64, float64) {
				return in[0] * min64(max64(in[0]/4+0.5, 0), 1), math.Abs(in[0]) * (math.Abs(in[0])/4 + 0.5)
			}},
	}
}

func scalarCases() []ew {
	type f3 = func(a, b []float32, s float32)
	return []ew{
		unS("LeakyReLU", tolOne, func(t table) f3 { return t.leakyReLU },
			func(x, s float64) float64 {
				if x < 0 {
					return x * s
				}
				return x
			}),
		unS("AddScalar", tolOne, func(t table) f3 { return t.addScalar },
			func(x, s float64) float64 { return x + s }),
		unS("RSubScalar", tolOne, func(t table) f3 { return t.rsubScalar },
			func(x, s float64) float64 { return s - x }),
		unS("MulScalar", tolOne, func(t table) f3 { return t.mulScalar },
			func(x, s float64) float64 { return x * s }),
		unS("DivScalar", tolOne, func(t table) f3 { return t.divScalar },
			func(x, s float64) float64 { return x / s }),
		unS("RDivScalar", tolOne, func(t table) f3 { return t.rdivScalar },
			func(x, s float64) float64 { return s / x }),
		unS("GreaterScalar", tolExact, func(t table) f3 { return t.greaterScalar },
			func(x, s float64) float64 { return step64(x - s) }),
		{name: "EqualScalar", ins: 1, tol: tolExact,
			run: func(t table, out []float32, in, _ [][]float32) { t.equalScalar(out, in[0], -1) },
			ref: func(in, _ []float64) (float64, float64) { return self(equal64(in[0], -1)) }},
		unS("MaxScalar", tolExact, func(t table) f3 { return t.maxScalar }, max64),
		unS("MinScalar", tolExact, func(t table) f3 { return t.minScalar }, min64),
	}
}

func binaryCases() []ew {
	type f3 = func(a, b, c []float32)
	exact := func(f func(x, y float64) float64) func(x, y float64) (float64, float64) {
		return func(x, y float64) (float64, float64) { return self(f(x, y)) }
	}
	return []ew{
		bin("Add", tolOne, func(t table) f3 { return t.add },
			exact(func(x, y float64) float64 { return x + y })),
		bin("Sub", tolOne, func(t table) f3 { return t.sub },
			exact(func(x, y float64) float64 { return x - y })),
		bin("Mul", tolOne, func(t table) f3 { return t.mul },
			exact(func(x, y float64) float64 { return x * y })),
		bin("Div", tolOne, func(t table) f3 { return t.div },
			exact(func(x, y float64) float64 { return x / y })),
		bin("Max", tolExact, func(t table) f3 { return t.max }, exact(max64)),
		bin("Min", tolExact, func(t table) f3 { return t.min }, exact(min64)),
		bin("Greater", tolExact, func(t table) f3 { return t.greater },
			exact(func(x, y float64) float64 { return step64(x - y) })),
		bin("Equal", tolExact, func(t table) f3 { return t.equal }, exact(equal64)),
		{name: "Select", ins: 3, tol: tolExact,
			run: func(t table, out []float32, in, _ [][]float32) {
				t.selectOf(out, in[0], in[1], in[2])
			},
			ref: func(in, _ []float64) (float64, float64) {
				if in[0] == 0 {
					return self(in[2])
				}
				return self(in[1])
			}},
		{name: "AddReLUGrad", ins: 3, tol: tolOne,
			run: func(t table, out []float32, in, _ [][]float32) {
				t.addReLUGrad(out, in[0], in[1], in[2])
			},
			ref: func(in, _ []float64) (float64, float64) {
				if in[2] > 0 {
					return self(in[0] + in[1])
				}
				return self(0)
			}},
		bin("ReLUGrad", tolExact, func(t table) f3 { return t.reluGrad },
			exact(func(x, y float64) float64 {
				if y > 0 {
					return x
				}
				return 0
			})),
	}
}

// accumulateCases are the functions that update their output.
func accumulateCases() []ew {
	return []ew{
		{name: "AddTo", ins: 2, tol: tolOne, accum: true,
			run: func(t table, out []float32, in, _ [][]float32) { t.addTo(out, in[1]) },
			ref: func(in, _ []float64) (float64, float64) { return self(in[0] + in[1]) }},
		{name: "AXPY", ins: 2, tol: tolTwo, accum: true,
			run: func(t table, out []float32, in, _ [][]float32) {
				t.axpy(out, testScalar, in[1])
			},
			ref: func(in, _ []float64) (float64, float64) {
				return in[0] + testScalar*in[1], math.Abs(in[0]) + math.Abs(testScalar*in[1])
			}},
		{name: "AXPBY", ins: 2, tol: tolTwo,
			run: func(t table, out []float32, in, _ [][]float32) {
				t.axpby(out, testScalar, in[0], -1.5, in[1])
			},
			ref: func(in, _ []float64) (float64, float64) {
				p, q := testScalar*in[0], -1.5*in[1]
				return p + q, math.Abs(p) + math.Abs(q)
			}},
		{name: "CrossEntropyGrad", ins: 2, tol: tolExp + tolFew,
			run: func(t table, out []float32, in, _ [][]float32) {
				t.crossEntropyGrad(out, in[0], in[1], testScalar, 2)
			},
			ref: func(in, _ []float64) (float64, float64) {
				e := math.Exp(in[0]) * testScalar
				return 2 * (e - in[1]), 2 * (e + math.Abs(in[1]))
			}},
		{name: "EMA", ins: 2, tol: tolFew, accum: true,
			run: func(t table, out []float32, in, _ [][]float32) { t.ema(out, in[1], 0.875) },
			ref: func(in, _ []float64) (float64, float64) {
				return in[0] + 0.125*(in[1]-in[0]), math.Abs(in[0]) + math.Abs(in[1])
			}},
	}
}

func rowCases() []ew {
	type f3 = func(a, b, c []float32)
	type f4 = func(a, b, c, d []float32)
	ss := func(name string, get func(t table) f4, post func(float64) float64) ew {
		return ew{name: name, ins: 1, vecs: 2, tol: tolTwo,
			run: func(t table, out []float32, in, v [][]float32) { get(t)(out, in[0], v[0], v[1]) },
			ref: func(in, v []float64) (float64, float64) {
				p := in[0] * v[0]
				return post(p + v[1]), math.Abs(p) + math.Abs(v[1])
			}}
	}
	ssa := func(name string, get func(t table) func(a, b, c, d, e []float32),
		post func(float64) float64) ew {
		return ew{name: name, ins: 2, vecs: 2, tol: tolFew,
			run: func(t table, out []float32, in, v [][]float32) {
				get(t)(out, in[0], in[1], v[0], v[1])
			},
			ref: func(in, v []float64) (float64, float64) {
				p := in[0] * v[0]
				return post(p + v[1] + in[1]), math.Abs(p) + math.Abs(v[1]) + math.Abs(in[1])
			}}
	}
	same := func(x float64) float64 { return x }
	return []ew{
		rowOp("AddRow", tolOne, func(t table) f3 { return t.addRow },
			func(x, y float64) float64 { return x + y }),
		rowOp("SubRow", tolOne, func(t table) f3 { return t.subRow },
			func(x, y float64) float64 { return x - y }),
		rowOp("MulRow", tolOne, func(t table) f3 { return t.mulRow },
			func(x, y float64) float64 { return x * y }),
		rowOp("DivRow", tolOne, func(t table) f3 { return t.divRow },
			func(x, y float64) float64 { return x / y }),
		ss("ScaleShift", func(t table) f4 { return t.scaleShift }, same),
		ss("ScaleShiftReLU", func(t table) f4 { return t.scaleShiftReLU }, relu64),
		ssa("ScaleShiftAdd",
			func(t table) func(a, b, c, d, e []float32) { return t.scaleShiftAdd }, same),
		ssa("ScaleShiftAddReLU",
			func(t table) func(a, b, c, d, e []float32) { return t.scaleShiftAddReLU }, relu64),
	}
}

// bnCases are the input gradients of batch norm.
func bnCases() []ew {
	// rest is b·(x - mean) + d for v = mean, a, b, d; x - mean is rounded relative to the larger.
	rest := func(x float64, v []float64) (value, magnitude float64) {
		return v[2]*(x-v[0]) + v[3], math.Abs(v[2])*(math.Abs(x)+math.Abs(v[0])) + math.Abs(v[3])
	}
	bn := func(in, v []float64) (float64, float64) {
		p := v[1] * in[0]
		q, mag := rest(in[1], v)
		return p + q, math.Abs(p) + mag
	}
	return []ew{
		{name: "BNBackward", ins: 2, vecs: 4, tol: tolFew,
			run: func(t table, out []float32, in, v [][]float32) {
				t.bnBackward(out, in[0], in[1], v[0], v[1], v[2], v[3])
			}, ref: bn},
		{name: "BNBackwardReLU", ins: 2, vecs: 5, tol: tolFew,
			run: func(t table, out []float32, in, v [][]float32) {
				t.bnBackwardReLU(out, in[0], in[1], v[0], v[1], v[2], v[3], v[4])
			},
			ref: func(in, v []float64) (float64, float64) {
				if in[1]*v[1]+v[4] > 0 {
					return bn(in, v)
				}
				return rest(in[1], v)
			}},
	}
}

func elementwiseCases() []ew {
	return slices.Concat(unaryCases(), scalarCases(), binaryCases(), accumulateCases(), rowCases(),
		bnCases())
}
