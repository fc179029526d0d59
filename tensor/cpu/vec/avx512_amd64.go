//go:build amd64 && !purego

package vec

// avx512Table is the AVX-512 variant.
func avx512Table() table {
	t := goTable()
	t.name = "avx512"
	t.neg, t.abs, t.sqrt, t.rsqrt = unary(negAVX512), unary(absAVX512), unary(sqrtAVX512),
		unary(rsqrtAVX512)
	t.square, t.recip, t.exp, t.log = unary(squareAVX512), unary(recipAVX512), unary(expAVX512),
		unary(logAVX512)
	t.tanh, t.sigmoid, t.softplus = unary(tanhAVX512), unary(sigmoidAVX512), unary(softplusAVX512)
	t.relu, t.step, t.sign = unary(reluAVX512), unary(stepAVX512), unary(signAVX512)
	t.fill = func(dst []float32, v float32) {
		chunks(dst, true, func(lo, hi int, nt bool) { fillAVX512(&dst[lo], v, 1, hi-lo, nt) })
	}
	t.leakyReLU, t.clamp, t.affine = scalar(leakyReLUAVX512), scalar2(clampAVX512),
		scalar2(affineAVX512)
	t.addScalar, t.mulScalar, t.rsubScalar = scalar(addScalarAVX512), scalar(mulScalarAVX512),
		scalar(rsubScalarAVX512)
	t.divScalar, t.rdivScalar = scalar(divScalarAVX512), scalar(rdivScalarAVX512)
	t.maxScalar, t.minScalar = scalar(maxScalarAVX512), scalar(minScalarAVX512)
	t.add, t.sub, t.mul, t.div = binary(addAVX512), binary(subAVX512), binary(mulAVX512),
		binary(divAVX512)
	t.max, t.min, t.reluGrad = binary(maxAVX512), binary(minAVX512), binary(reluGradAVX512)
	t.inRange, t.greaterScalar = scalar2(inRangeAVX512), scalar(greaterScalarAVX512)
	t.equalScalar, t.greater, t.equal = scalar(equalScalarAVX512), binary(greaterAVX512),
		binary(equalAVX512)
	t.selectOf, t.maxIndex = selectOf, maxIndex
	t.addTo = func(dst, x []float32) { t.add(dst, dst, x) }
	t.mulAddTo, t.reluGradAdd = accumulate(mulAddToAVX512), accumulate(reluGradAddAVX512)
	t.axpy = func(y []float32, a float32, x []float32) {
		chunks(y, false, func(lo, hi int, _ bool) { axpyAVX512(&y[lo], &x[lo], a, 1, hi-lo) })
	}
	t.addRow, t.subRow, t.mulRow, t.divRow = row(addRowAVX512), row(subRowAVX512),
		row(mulRowAVX512), row(divRowAVX512)
	t.scaleShift, t.scaleShiftReLU = row2(scaleShiftAVX512), row2(scaleShiftReLUAVX512)
	t.scaleShiftAdd, t.scaleShiftAddReLU = row2Add(scaleShiftAddAVX512),
		row2Add(scaleShiftAddReLUAVX512)
	t.bnBackward, t.bnBackwardReLU = bnBackward, bnBackwardReLU
	t.sum = sum
	t.colSum, t.colMoments, t.colDot2, t.colDot2ReLU = colSum, colMoments, colDot2, colDot2ReLU
	t.softmax, t.logSoftmax = softmax(softmaxAVX512), softmax(logSoftmaxAVX512)
	t.sgd, t.adam, t.ema = sgd, adam, ema
	t.pool2x2, t.upsample2x2 = pool2x2, upsample2x2
	return t
}

// The adapters below turn an assembly loop over pointers into a function of slices.

func unary(k func(dst, x *float32, rows, cols int, nt bool)) func(dst, x []float32) {
	return func(dst, x []float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], 1, hi-lo, nt)
		})
	}
}

func scalar(k func(dst, x *float32, s float32, rows, cols int, nt bool)) func(
	dst, x []float32, s float32) {
	return func(dst, x []float32, s float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], s, 1, hi-lo, nt)
		})
	}
}

func scalar2(k func(dst, x *float32, a, b float32, rows, cols int, nt bool)) func(
	dst, x []float32, a, b float32) {
	return func(dst, x []float32, a, b float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], a, b, 1, hi-lo, nt)
		})
	}
}

func binary(k func(dst, x, y *float32, rows, cols int, nt bool)) func(dst, x, y []float32) {
	return func(dst, x, y []float32) {
		if len(dst) == 0 {
			return
		}
		chunks(dst, !same(dst, x) && !same(dst, y), func(lo, hi int, nt bool) {
			k(&dst[lo], &x[lo], &y[lo], 1, hi-lo, nt)
		})
	}
}

func accumulate(k func(dst, x, y *float32, rows, cols int)) func(dst, x, y []float32) {
	return func(dst, x, y []float32) {
		chunks(dst, false, func(lo, hi int, _ bool) { k(&dst[lo], &x[lo], &y[lo], 1, hi-lo) })
	}
}

func row(k func(dst, x, v *float32, rows, cols int, nt bool)) func(dst, x, v []float32) {
	return func(dst, x, v []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		rowChunks(dst, c, !same(dst, x), func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &v[0], rows, c, nt)
		})
	}
}

func row2(k func(dst, x, v, w *float32, rows, cols int, nt bool)) func(dst, x, v, w []float32) {
	return func(dst, x, v, w []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		rowChunks(dst, c, !same(dst, x), func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &v[0], &w[0], rows, c, nt)
		})
	}
}

func row2Add(k func(dst, x, res, v, w *float32, rows, cols int, nt bool)) func(
	dst, x, res, v, w []float32) {
	return func(dst, x, res, v, w []float32) {
		if len(dst) == 0 {
			return
		}
		c := len(v)
		stream := !same(dst, x) && !same(dst, res)
		rowChunks(dst, c, stream, func(lo, rows int, nt bool) {
			k(&dst[lo], &x[lo], &res[lo], &v[0], &w[0], rows, c, nt)
		})
	}
}

func bnBackward(dx, dy, x, mean, a, b, d []float32) {
	if len(dx) == 0 {
		return
	}
	c := len(a)
	rowChunks(dx, c, !same(dx, dy) && !same(dx, x), func(lo, rows int, nt bool) {
		bnBackwardAVX512(&dx[lo], &dy[lo], &x[lo], &mean[0], &a[0], &b[0], &d[0], rows, c, nt)
	})
}

func bnBackwardReLU(dx, dy, x, y, mean, a, b, d []float32) {
	if len(dx) == 0 {
		return
	}
	c := len(a)
	stream := !same(dx, dy) && !same(dx, x) && !same(dx, y)
	rowChunks(dx, c, stream, func(lo, rows int, nt bool) {
		bnBackwardReLUAVX512(&dx[lo], &dy[lo], &x[lo], &y[lo], &mean[0], &a[0], &b[0], &d[0], rows,
			c, nt)
	})
}

func sum(x []float32) float64 {
	var s float64
	for lo := 0; lo < len(x); lo += span {
		s += sumAVX512(&x[lo], min(span, len(x)-lo))
	}
	return s
}
