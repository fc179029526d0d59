//go:build amd64 && !purego

package vec

// panelAVX2 is the number of channels in a column loop's panel.
const panelAVX2 = 32

// avx2Table is the AVX2 variant.
func avx2Table() table {
	t := goTable()
	t.name = "avx2"
	t.neg, t.abs, t.sqrt, t.rsqrt = unary(negAVX2), unary(absAVX2), unary(sqrtAVX2),
		unary(rsqrtAVX2)
	t.square, t.recip, t.exp, t.log = unary(squareAVX2), unary(recipAVX2), unary(expAVX2),
		unary(logAVX2)
	t.tanh, t.sigmoid, t.softplus = unary(tanhAVX2), unary(sigmoidAVX2), unary(softplusAVX2)
	t.erf, t.silu, t.gelu = unary(erfAVX2), unary(siluAVX2), unary(geluAVX2)
	t.relu, t.step, t.sign = unary(reluAVX2), unary(stepAVX2), unary(signAVX2)
	t.fill = fill(fillAVX2)
	t.leakyReLU, t.clamp, t.affine = scalar(leakyReLUAVX2), scalar2(clampAVX2),
		scalar2(affineAVX2)
	t.hardSwish = scalar2(hardSwishAVX2)
	t.addScalar, t.mulScalar, t.rsubScalar = scalar(addScalarAVX2), scalar(mulScalarAVX2),
		scalar(rsubScalarAVX2)
	t.divScalar, t.rdivScalar = scalar(divScalarAVX2), scalar(rdivScalarAVX2)
	t.maxScalar, t.minScalar = scalar(maxScalarAVX2), scalar(minScalarAVX2)
	t.add, t.sub, t.mul, t.div = binary(addAVX2), binary(subAVX2), binary(mulAVX2),
		binary(divAVX2)
	t.max, t.min, t.reluGrad = binary(maxAVX2), binary(minAVX2), binary(reluGradAVX2)
	t.inRange, t.greaterScalar = scalar2(inRangeAVX2), scalar(greaterScalarAVX2)
	t.equalScalar, t.greater, t.equal = scalar(equalScalarAVX2), binary(greaterAVX2),
		binary(equalAVX2)
	t.selectOf, t.maxWindows = ternary(selectOfAVX2), maxWindows(maxWindowsAVX2)
	t.maxima = maxima(maximaAVX2)
	t.scatterAdd = scatterAdd(scatterAddAVX2)
	t.avx2Conv()
	t.addTo = func(dst, x []float32) { t.add(dst, dst, x) }
	t.addReLUGrad = ternary(addReLUGradAVX2)
	t.axpy, t.axpby = axpy(axpyAVX2), axpby(axpbyAVX2)
	t.addRow, t.subRow, t.mulRow, t.divRow = row(addRowAVX2), row(subRowAVX2),
		row(mulRowAVX2), row(divRowAVX2)
	t.scaleShift, t.scaleShiftReLU = row2(scaleShiftAVX2), row2(scaleShiftReLUAVX2)
	t.scaleShiftAdd, t.scaleShiftAddReLU = row2Add(scaleShiftAddAVX2),
		row2Add(scaleShiftAddReLUAVX2)
	t.bnBackward, t.bnBackwardReLU = row4(bnBackwardAVX2), row5(bnBackwardReLUAVX2)
	t.sum, t.dot = sum(sumAVX2), dot(dotAVX2)
	t.addDoubles = addDoubles(4, addDoublesAVX2)
	t.colSum = colSum(panelAVX2, colSum16AVX2, colSum16AheadAVX2, colSum1AVX2)
	t.colSumWeighted = colSumWeighted(panelAVX2, colSumWeighted16AVX2, colSumWeighted16AheadAVX2,
		colSumWeighted1AVX2)
	t.colMoments = colMoments(panelAVX2, colMoments16AVX2, colMoments16AheadAVX2,
		colMoments1AVX2)
	t.colDot2 = colDot2(panelAVX2, colDot216AVX2, colDot216AheadAVX2, colDot21AVX2)
	t.colDot2ReLU = colDot2ReLU(panelAVX2, colDot2ReLU16AVX2, colDot2ReLU16AheadAVX2,
		colDot2ReLU1AVX2)
	t.softmax, t.logSoftmax = softmax(softmaxAVX2), softmax(logSoftmaxAVX2)
	t.layerNorm = layerNorm(layerNormAVX2)
	t.crossEntropyGrad = crossEntropyGrad(crossEntropyGradAVX2)
	t.sgd, t.adam, t.ema = sgd(sgdAVX2, sgdNesterovAVX2), adam(adamAVX2), ema(emaAVX2)
	t.pool2x2, t.upsample2x2 = pool2x2(pool2x2AVX2), upsample2x2(upsample2x2AVX2)
	return t
}

// avx2Conv sets what convolutions without a product of matrices, and their ends, are made of.
func (t *table) avx2Conv() {
	t.tapSums = tapSums([4]tapLoop{tapTile8AVX2, tapTile4AVX2, tapTile2AVX2, tapTile1AVX2},
		[8]tapLoop{})
	t.clampRows = clampRows(clampRowsAVX2, addClampRowsAVX2)
	t.hardSwishRows = hardSwishRows(hardSwishRowsAVX2)
	t.tapGrads = tapGrads([gradRows][gradCols]gradLoop{
		{tapGrad1x1AVX2, tapGrad1x2AVX2, tapGrad1x3AVX2, tapGrad1x4AVX2, tapGrad1x5AVX2,
			tapGrad1x6AVX2, tapGrad1x7AVX2},
		{tapGrad2x1AVX2, tapGrad2x2AVX2, tapGrad2x3AVX2, tapGrad2x4AVX2, tapGrad2x5AVX2,
			tapGrad2x6AVX2},
		{tapGrad3x1AVX2, tapGrad3x2AVX2, tapGrad3x3AVX2, tapGrad3x4AVX2},
	})
}
