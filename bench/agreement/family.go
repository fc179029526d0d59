package main

import "strings"

// A kind is a family of operator cases with how their names begin, after "node/test_".
type kind struct {
	family   string
	prefixes []string
}

// kinds lists the families in the order of the page; a case belongs to the first that fits.
func kinds() []kind {
	return []kind{
		{"transposed convolution", []string{"convtranspose"}},
		{"convolution", []string{"conv_", "basic_conv", "basic_deform"}},
		{"batch norm, inference and training", []string{"batchnorm", "training_dropout_batchnorm"}},
		{"layer, group, instance, RMS and other norms", []string{"layer_norm", "group_norm",
			"instancenorm", "rms_norm", "mvn", "lrn", "lpnorm", "l1norm", "l2norm"}},
		{"attention", []string{"attention"}},
		{"rotary embedding", []string{"rotary"}},
		{"pooling", []string{"averagepool", "maxpool", "global", "lppool"}},
		{"gemm, matmul, einsum, det", []string{"gemm", "matmul", "einsum", "det_"}},
		{"softmax and log-softmax", []string{"softmax", "logsoftmax", "hardmax"}},
		{"NLL and softmax cross-entropy", []string{"nllloss", "sce_"}},
		{"optimizer steps", []string{"adam", "adagrad", "momentum", "nesterov"}},
		{"reductions", []string{"reduce", "argmax", "argmin", "cumsum", "mean", "sum_", "max_", "min_",
			"top_k"}},
		{"resize and rearranging", []string{"resize", "upsample", "depthtospace", "spacetodepth",
			"edge_pad", "constant_pad", "reflect_pad", "wrap_pad"}},
		{"dropout", []string{"dropout", "training_dropout"}},
		{"activations", []string{"relu", "leakyrelu", "prelu", "elu", "selu", "celu", "gelu", "sigmoid",
			"hardsigmoid", "hardswish", "swish", "swiglu", "mish", "softplus", "softsign",
			"thresholdedrelu", "tanh_", "tanh"}},
		{"indexing and shape", []string{"gather", "scatter", "slice", "split", "concat", "reshape",
			"flatten", "transpose", "squeeze", "unsqueeze", "expand", "tile", "onehot", "where", "eyelike",
			"constant", "tril", "triu", "shape", "identity", "range", "nonzero", "size"}},
	}
}

// other is the family of the cases that fit none.
const other = "elementwise arithmetic and comparison"

// family returns the family of a case from its path below the cases' folder.
func family(name string) string {
	top, base, _ := strings.Cut(name, "/")
	if top != "node" {
		return "networks exported from PyTorch (" + top + ")"
	}
	base = strings.TrimPrefix(base, "test_")
	for _, k := range kinds() {
		for _, p := range k.prefixes {
			if strings.HasPrefix(base, p) {
				return k.family
			}
		}
	}
	return other
}
