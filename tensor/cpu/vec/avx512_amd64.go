//go:build amd64 && !purego

package vec

// panelAVX512 is the number of channels in a column loop's panel.
const panelAVX512 = 64

// avx512Table is the AVX-512 variant.
func avx512Table() table {
	t := goTable()
	t.name = "avx512"
	t.neg, t.abs, t.sqrt, t.rsqrt = unary(negAVX512), unary(absAVX512), unary(sqrtAVX512),
		unary(rsqrtAVX512)
	t.square, t.recip, t.exp, t.log = unary(squareAVX512), unary(recipAVX512), unary(expAVX512),
		unary(logAVX512)
	t.tanh, t.sigmoid, t.softplus = unary(tanhAVX512), unary(sigmoidAVX512), unary(softplusAVX512)
	t.erf, t.silu, t.gelu = unary(erfAVX512), unary(siluAVX512), unary(geluAVX512)
	t.relu, t.step, t.sign = unary(reluAVX512), unary(stepAVX512), unary(signAVX512)
	t.fill = fill(fillAVX512)
	t.leakyReLU, t.clamp, t.affine = scalar(leakyReLUAVX512), scalar2(clampAVX512),
		scalar2(affineAVX512)
	t.hardSwish = scalar2(hardSwishAVX512)
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
	t.selectOf, t.maxWindows = ternary(selectOfAVX512), maxWindows(maxWindowsAVX512)
	t.maxima = maxima(maximaAVX512)
	t.scatterAdd = scatterAdd(scatterAddAVX512)
	t.avx512Conv()
	t.addTo = func(dst, x []float32) { t.add(dst, dst, x) }
	t.addReLUGrad = ternary(addReLUGradAVX512)
	t.axpy, t.axpby = axpy(axpyAVX512), axpby(axpbyAVX512)
	t.addRow, t.subRow, t.mulRow, t.divRow = row(addRowAVX512), row(subRowAVX512),
		row(mulRowAVX512), row(divRowAVX512)
	t.scaleShift, t.scaleShiftReLU = row2(scaleShiftAVX512), row2(scaleShiftReLUAVX512)
	t.scaleShiftAdd, t.scaleShiftAddReLU = row2Add(scaleShiftAddAVX512),
		row2Add(scaleShiftAddReLUAVX512)
	t.bnBackward, t.bnBackwardReLU = row4(bnBackwardAVX512), row5(bnBackwardReLUAVX512)
	t.sum, t.dot = sum(sumAVX512), dot(dotAVX512)
	t.addDoubles = addDoubles(8, addDoublesAVX512)
	t.colSum = colSum(panelAVX512, colSum16AVX512, colSum16AheadAVX512, colSum1AVX512)
	t.colSumWeighted = colSumWeighted(panelAVX512, colSumWeighted16AVX512, colSumWeighted16AheadAVX512,
		colSumWeighted1AVX512)
	t.colMoments = colMoments(panelAVX512, colMoments16AVX512, colMoments16AheadAVX512,
		colMoments1AVX512)
	t.colDot2 = colDot2(panelAVX512, colDot216AVX512, colDot216AheadAVX512, colDot21AVX512)
	t.colDot2ReLU = colDot2ReLU(panelAVX512, colDot2ReLU16AVX512, colDot2ReLU16AheadAVX512,
		colDot2ReLU1AVX512)
	t.softmax, t.logSoftmax = softmax(softmaxAVX512), softmax(logSoftmaxAVX512)
	t.layerNorm = layerNorm(layerNormAVX512)
	t.crossEntropyGrad = crossEntropyGrad(crossEntropyGradAVX512)
	t.sgd, t.adam, t.ema = sgd(sgdAVX512, sgdNesterovAVX512), adam(adamAVX512), ema(emaAVX512)
	t.pool2x2, t.upsample2x2 = pool2x2(pool2x2AVX512), upsample2x2(upsample2x2AVX512)
	return t
}

// avx512Conv sets what convolutions without a product of matrices, and their ends, are made of.
func (t *table) avx512Conv() {
	t.tapSums = tapSums([4]tapLoop{tapTile8AVX512, tapTile4AVX512, tapTile2AVX512, tapTile1AVX512},
		[8]tapLoop{3: tapTile8By3AVX512, 5: tapTile8By5AVX512, 7: tapTile8By7AVX512})
	t.clampRows = clampRows(clampRowsAVX512, addClampRowsAVX512)
	t.hardSwishRows = hardSwishRows(hardSwishRowsAVX512)
	t.tapGrads = tapGrads([gradRows][gradCols]gradLoop{
		{tapGrad1x1AVX512, tapGrad1x2AVX512, tapGrad1x3AVX512, tapGrad1x4AVX512,
			tapGrad1x5AVX512, tapGrad1x6AVX512, tapGrad1x7AVX512},
		{tapGrad2x1AVX512, tapGrad2x2AVX512, tapGrad2x3AVX512, tapGrad2x4AVX512,
			tapGrad2x5AVX512, tapGrad2x6AVX512, tapGrad2x7AVX512},
		{tapGrad3x1AVX512, tapGrad3x2AVX512, tapGrad3x3AVX512, tapGrad3x4AVX512,
			tapGrad3x5AVX512, tapGrad3x6AVX512, tapGrad3x7AVX512},
	})
}
