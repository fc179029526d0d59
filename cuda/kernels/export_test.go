package kernels

import "reflect"

// SetWide makes an encoder choose wide tiles whatever the shape.
func SetWide(e *Encoder, wide bool) { e.wide = wide }

// PTXSource and PTXVersion begin the embedded PTX of a stem.
var (
	PTXSource  = ptxSource
	PTXVersion = ptxVersion
)

// Mirrors are the argument structs by their C++ names.
var Mirrors = map[string]reflect.Type{
	"fill_args":               reflect.TypeFor[fillArgs](),
	"unary_args":              reflect.TypeFor[unaryArgs](),
	"binary_args":             reflect.TypeFor[binaryArgs](),
	"select_args":             reflect.TypeFor[selectArgs](),
	"add_relu_mask_args":      reflect.TypeFor[addReluMaskArgs](),
	"cast_args":               reflect.TypeFor[castArgs](),
	"copy_args":               reflect.TypeFor[copyArgs](),
	"strided_args":            reflect.TypeFor[stridedArgs](),
	"transpose_args":          reflect.TypeFor[transposeArgs](),
	"gather_args":             reflect.TypeFor[gatherArgs](),
	"scatter_add_args":        reflect.TypeFor[scatterAddArgs](),
	"one_hot_args":            reflect.TypeFor[oneHotArgs](),
	"reduce_rows_args":        reflect.TypeFor[reduceRowsArgs](),
	"reduce_columns_args":     reflect.TypeFor[reduceColumnsArgs](),
	"reduce_general_args":     reflect.TypeFor[reduceGeneralArgs](),
	"rows_args":               reflect.TypeFor[rowsArgs](),
	"matmul_args":             reflect.TypeFor[matmulArgs](),
	"conv_args":               reflect.TypeFor[convArgs](),
	"conv_join_args":          reflect.TypeFor[convJoinArgs](),
	"norm_stats_args":         reflect.TypeFor[normStatsArgs](),
	"norm_finish_args":        reflect.TypeFor[normFinishArgs](),
	"norm_apply_args":         reflect.TypeFor[normApplyArgs](),
	"norm_upsample_args":      reflect.TypeFor[normUpsampleArgs](),
	"norm_backward_args":      reflect.TypeFor[normBackwardArgs](),
	"norm_backward_join_args": reflect.TypeFor[normBackwardJoinArgs](),
	"layer_norm_args":         reflect.TypeFor[layerNormArgs](),
	"layer_norm_grad_args":    reflect.TypeFor[layerNormGradArgs](),
	"pool_args":               reflect.TypeFor[poolArgs](),
	"pool_scatter_args":       reflect.TypeFor[poolScatterArgs](),
	"upsample_args":           reflect.TypeFor[upsampleArgs](),
	"random_args":             reflect.TypeFor[randomArgs](),
	"sgd_args":                reflect.TypeFor[sgdArgs](),
	"adam_args":               reflect.TypeFor[adamArgs](),
	"pairs_args":              reflect.TypeFor[pairsArgs](),
	"blend_args":              reflect.TypeFor[blendArgs](),
	"squared_norm_args":       reflect.TypeFor[squaredNormArgs](),
	"sgd_mixed_args":          reflect.TypeFor[sgdMixedArgs](),
	"adam_mixed_args":         reflect.TypeFor[adamMixedArgs](),
	"cross_entropy_args":      reflect.TypeFor[crossEntropyArgs](),
	"cross_entropy_grad_args": reflect.TypeFor[crossEntropyGradArgs](),
	"augment_args":            reflect.TypeFor[augmentArgs](),
	"spectral_args":           reflect.TypeFor[spectralArgs](),
	"spectral_grad_args":      reflect.TypeFor[spectralGradArgs](),
	"spectral_divide_args":    reflect.TypeFor[spectralDivideArgs](),
	"attention_args":          reflect.TypeFor[attentionArgs](),
}
