package onnx

import (
	"slices"

	"afterimage/autodiff"
)

// internal is the domain of operators that only the importer makes: this engine's kernels, with
// channels last.
const internal = "afterimage"

// training is the domain of ONNX's optimizer steps.
const training = "ai.onnx.preview.training"

// operators lists every operator by domain. It is a function because packages here have no mutable
// state.
func operators() map[string]map[string]opFunc {
	own := map[string]opFunc{}
	for name, o := range unaries() {
		own[name] = o.run
	}
	for name, o := range binaries() {
		own[name] = o.run
	}
	for name, o := range comparisons() {
		own[name] = o.run
	}
	for name, o := range reductions() {
		own[name] = o.run
	}
	for name, f := range activations() {
		own[name] = func(c *call) []*Value { return c.out(f(c, c.float(0))) }
	}
	for _, list := range []map[string]opFunc{arithmetic(), shapes(), layers()} {
		for name, f := range list {
			own[name] = f
		}
	}
	return map[string]map[string]opFunc{
		"":       own,
		training: {"Adam": adam, "Adagrad": adagrad, "Momentum": momentum},
		internal: {"Conv": convNHWC, "ConvTranspose": convTransposeNHWC, "Linear": linear,
			"ChannelShuffle": channelShuffleNHWC, "MaxPool": maxPoolNHWC,
			"AveragePool": averagePoolNHWC, "BatchNormalization": batchNormNHWC,
			"GlobalAveragePool": globalAveragePoolNHWC, "Transpose": transpose},
	}
}

func arithmetic() map[string]opFunc {
	return map[string]opFunc{
		"Max": variadic("Max"), "Min": variadic("Min"), "Sum": variadic("Add"), "Mean": meanOf,
		"Pow": power, "Mod": modulo, "Clip": clip, "PRelu": prelu, "SwiGLU": swiGLU,
		"Softmax": softmax(false), "LogSoftmax": softmax(true), "Hardmax": hardmax,
		"ArgMax": argOp(true), "ArgMin": argOp(false), "TopK": topK, "CumSum": cumSum,
		"IsNaN": floatTest(func(_ *call, x float64) bool { return x != x }),
		"IsInf": floatTest(isInf), "NonZero": nonZero,
		"MatMul": matMul, "Gemm": gemm, "Einsum": einsum, "Det": det,
	}
}

func shapes() map[string]opFunc {
	return map[string]opFunc{
		"Shape": shapeOf, "Size": sizeOf, "Reshape": reshape, "Flatten": flatten,
		"Squeeze": squeeze, "Unsqueeze": unsqueeze, "Transpose": transpose, "Concat": concat,
		"Split": split, "Expand": expand, "Tile": tile, "ConstantOfShape": constantOfShape,
		"Range": rangeOf, "EyeLike": eyeLike, "Constant": constant, "Cast": cast, "CastLike": cast,
		"Identity": identity, "Dropout": dropout, "Where": where, "Slice": sliceOp,
		"Gather":         gather,
		"GatherElements": gatherElements, "GatherND": gatherND, "Scatter": scatterElements,
		"ScatterElements": scatterElements, "ScatterND": scatterND, "OneHot": oneHot,
		"Trilu": trilu, "Pad": pad, "DepthToSpace": depthToSpace, "SpaceToDepth": spaceToDepth,
		"Resize": resize, "Upsample": resize,
	}
}

func layers() map[string]opFunc {
	return map[string]opFunc{
		"Conv": conv, "ConvTranspose": convTranspose, "DeformConv": deformConv,
		"MaxPool": maxPool, "AveragePool": averagePool,
		"GlobalAveragePool": globalPool(autodiff.MeanKeep),
		"LpPool":            lpPool, "GlobalLpPool": globalLpPool,
		"GlobalMaxPool":      globalPool(autodiff.MaxKeep),
		"BatchNormalization": batchNorm, "InstanceNormalization": instanceNorm,
		"GroupNormalization": groupNorm, "LayerNormalization": layerNorm,
		"RMSNormalization": rmsNorm, "MeanVarianceNormalization": meanVarianceNorm,
		"LpNormalization": lpNorm, "LRN": lrn,
		"NegativeLogLikelihoodLoss": nllLoss, "SoftmaxCrossEntropyLoss": crossEntropyLoss,
		"Attention": attention, "RotaryEmbedding": rotaryEmbedding,
	}
}

// adviceFor returns why an operator that is not in the table is left out and what to do instead.
func adviceFor(op string) (reason, next string) {
	for _, f := range []struct {
		ops          []string
		reason, next string
	}{
		{[]string{"If", "Loop", "Scan", "SequenceMap", "SequenceConstruct", "SplitToSequence",
			"SequenceAt", "ConcatFromSequence", "Optional", "OptionalHasElement",
			"OptionalGetElement"},
			"control flow and sequences are outside this package",
			"export a traced model with fixed shapes, or fold the branches with onnxsim"},
		{[]string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv",
			"QLinearMatMul", "ConvInteger", "MatMulInteger"},
			"quantised arithmetic has no useful derivative",
			"export the floating-point model it was made from"},
		{[]string{"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
			"Bernoulli", "Multinomial"},
			"a frozen network draws no random numbers, and ONNX does not define its generator",
			"make the noise an input of the model"},
		{[]string{"RNN", "LSTM", "GRU"}, "recurrent layers are outside this package",
			"unroll the recurrence before exporting"},
	} {
		if slices.Contains(f.ops, op) {
			return f.reason, f.next
		}
	}
	return "the operator is not known here", "simplify the model (constant folding, onnxsim), " +
		"export it up to this node, or replace the operator by supported ones"
}
