package vec

import "fmt"

// A table is one variant of every function: operands are already checked when they get here.
// The Go table is complete; an architecture's table starts from it and replaces entries.
type table struct {
	name string

	neg, abs, sqrt, rsqrt, square, recip   func(dst, x []float32)
	exp, log, tanh, sigmoid, softplus, erf func(dst, x []float32)
	relu, step, sign, silu, gelu           func(dst, x []float32)
	fill                                   func(dst []float32, v float32)
	inRange                                func(dst, x []float32, a, b float32)
	greaterScalar, equalScalar             func(dst, x []float32, s float32)
	greater, equal                         func(dst, x, y []float32)
	selectOf                               func(dst, cond, x, y []float32)
	maxWindows                             func(y []float32, idx []int32, x []float32, w Windows)
	maxima                                 func(y, x []float32, w Windows)
	scatterAdd                             func(dx, dy []float32, idx []int32, c int) int
	tapSums                                func(y, x, w, init []float32, t Taps)
	hardSwishRows                          func(y []float32, n, count, step int, a, b float32)
	clampRows                              func(y, res []float32, n, count, step int, lo, hi float32)
	tapGrads                               func(sum, x, dy []float32, t TapPixels)
	leakyReLU                              func(dst, x []float32, alpha float32)
	clamp, affine, hardSwish               func(dst, x []float32, a, b float32)
	addScalar, mulScalar, rsubScalar       func(dst, x []float32, s float32)
	divScalar, rdivScalar                  func(dst, x []float32, s float32)
	maxScalar, minScalar                   func(dst, x []float32, s float32)
	add, sub, mul, div, max, min           func(dst, x, y []float32)
	addTo                                  func(dst, x []float32)
	axpy                                   func(y []float32, a float32, x []float32)
	axpby                                  axpbyFunc
	reluGrad                               func(dx, dy, y []float32)
	addReLUGrad                            func(dx, a, b, y []float32)
	addRow, subRow, mulRow, divRow         func(dst, x, v []float32)
	scaleShift, scaleShiftReLU             func(dst, x, scale, shift []float32)
	scaleShiftAdd, scaleShiftAddReLU       func(dst, x, res, scale, shift []float32)
	bnBackward                             func(dx, dy, x, mean, a, b, d []float32)
	bnBackwardReLU                         func(dx, dy, x, mean, a, b, d, shift []float32)
	sum                                    func(x []float32) float64
	dot                                    func(x, y []float32) float64
	addDoubles                             func(acc, x []float64)
	argMax                                 func(x []float32) int
	colSum                                 func(acc []float64, x []float32)
	colSumWeighted                         func(acc []float64, x, weight []float32)
	colMoments                             func(sum, sumSq []float64, x, shift []float32)
	colDot2                                func(s, t []float64, dy, x, mean, rstd []float32)
	colDot2ReLU                            colDot2ReLUFunc
	softmax, logSoftmax                    func(dst, x []float32, c int)
	layerNorm                              layerNormFunc
	crossEntropyGrad                       func(dst, logp, t []float32, total, dy float32)
	sgd                                    func(p, buf, g []float32, o SGDParams)
	adam                                   func(p, m, v, g []float32, o AdamParams)
	ema                                    func(avg, p []float32, decay float32)
	pool2x2                                func(dst, top, bottom []float32, c int, scale float32)
	upsample2x2                            func(top, bottom, x []float32, c int, scale float32)
}

// axpbyFunc is AXPBY.
type axpbyFunc = func(dst []float32, a float32, x []float32, b float32, y []float32)

// colDot2ReLUFunc is ColDot2ReLU.
type colDot2ReLUFunc = func(s, t []float64, dy, x, mean, scale, shift, rstd []float32)

// goTable is the plain-Go variant.
func goTable() table {
	return table{
		name: "go",
		neg:  negGo, abs: absGo, sqrt: sqrtGo, rsqrt: rsqrtGo, square: squareGo, recip: recipGo,
		exp: expGo, log: logGo, tanh: tanhGo, sigmoid: sigmoidGo, softplus: softplusGo, erf: erfGo,
		relu: reluGo, step: stepGo, sign: signGo, silu: siluGo, gelu: geluGo, fill: fillGo,
		leakyReLU: leakyReLUGo, clamp: clampGo, affine: affineGo, hardSwish: hardSwishGo,
		addScalar: addScalarGo, mulScalar: mulScalarGo, rsubScalar: rsubScalarGo,
		divScalar: divScalarGo, rdivScalar: rdivScalarGo,
		maxScalar: maxScalarGo, minScalar: minScalarGo,
		inRange: inRangeGo, greaterScalar: greaterScalarGo, equalScalar: equalScalarGo,
		greater: greaterGo, equal: equalGo, selectOf: selectGo, maxWindows: maxWindowsGo,
		maxima:     maximaGo,
		scatterAdd: scatterAddGo, tapSums: tapSumsGo, tapGrads: tapGradsGo,
		clampRows: clampRowsGo, hardSwishRows: hardSwishRowsGo,
		add: addGo, sub: subGo, mul: mulGo, div: divGo, max: maxGo, min: minGo,
		addTo: addToGo, axpy: axpyGo, axpby: axpbyGo,
		reluGrad: reluGradGo, addReLUGrad: addReLUGradGo,
		addRow: addRowGo, subRow: subRowGo, mulRow: mulRowGo, divRow: divRowGo,
		scaleShift: scaleShiftGo, scaleShiftReLU: scaleShiftReLUGo,
		scaleShiftAdd: scaleShiftAddGo, scaleShiftAddReLU: scaleShiftAddReLUGo,
		bnBackward: bnBackwardGo, bnBackwardReLU: bnBackwardReLUGo,
		sum: sumGo, dot: dotGo, addDoubles: addDoublesGo, argMax: argMaxGo,
		colSum: colSumGo, colSumWeighted: colSumWeightedGo, colMoments: colMomentsGo,
		colDot2: colDot2Go, colDot2ReLU: colDot2ReLUGo,
		softmax: softmaxGo, logSoftmax: logSoftmaxGo, crossEntropyGrad: crossEntropyGradGo,
		layerNorm: layerNormGo,
		sgd:       sgdGo, adam: adamGo, ema: emaGo,
		pool2x2: pool2x2Go, upsample2x2: upsample2x2Go,
	}
}

// active is the variant that the exported functions use, fixed before main runs.
var active = best()

// Variant names the variant in use: "avx512", "avx2" or "go". It belongs in the record of a run,
// since another variant gives other last bits.
func Variant() string { return active.name }

// sameLen panics unless every length equals n.
func sameLen(op string, n int, lens ...int) {
	for _, l := range lens {
		if l != n {
			panic(fmt.Sprintf("vec: %s: lengths differ: destination %d, operand %d", op, n, l))
		}
	}
}

// wholeRows panics unless n elements form whole rows of c channels.
func wholeRows(op string, n, c int) {
	if n != 0 && (c <= 0 || n%c != 0) {
		panic(fmt.Sprintf("vec: %s: %d elements are not whole rows of %d channels", op, n, c))
	}
}

// StreamLen is the size, in elements, from which an array counts as large: 8 MB, more than a
// core's share of the last-level cache on most servers. Outputs that are not also inputs are
// written around the cache (non-temporal stores) in a large array. The array is taken to reach to
// the capacity of the slice, so that a piece dst[lo:hi] of a large one is still recognised;
// dst[lo:hi:hi] hides what follows. Where there is one input, vectors of channels not counted, it
// is twice as much: 17 MB and 17 MB are at home in a cache of 32 MB. The bits are the same either
// way.
const StreamLen = 1 << 21
