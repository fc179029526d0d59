package tensor

import "unsafe"

// A Resampler is a Backend that knows when a convolution with the resampling beside it is faster as
// two kernels than joined into one (autodiff.UpsampledFilter, PooledFilter). One that is not is
// taken to gain from 8×8 pixels on.
type Resampler interface {
	Backend
	// JoinsResampling reports whether a convolution from in to out channels, on h×w pixels at the
	// lower resolution, is faster joined. It depends on these and on settings of the backend that
	// change how it rounds, on nothing else.
	JoinsResampling(h, w, in, out int) bool
}

// A HalfKeeper is a Backend that can have networks keep their activations in BF16, in half the
// memory, because its kernels compute with BF16 tensors as fast. One that is not has them keep F32.
type HalfKeeper interface {
	Backend
	// Activations returns BF16 or F32. It does not change.
	Activations() DType
}

// A Shadower is a Backend whose optimizers also write the rounded form that weights keep beside
// them (Tensor.KeepShadow), so that a network which computes in BF16 need not round them in each
// pass. One that is not has weights keep none.
type Shadower interface {
	Backend
	// SGDShadow is SGD which also writes, in the same pass, the new params[i] to shadows[i], BF16
	// and of its shape, where that is not nil.
	SGDShadow(p SGDParams, params, grads, buf, shadows []*Tensor, lr *Tensor)
	// AdamShadow is Adam which does so.
	AdamShadow(p AdamParams, params, grads, m, v, shadows []*Tensor, lr, step *Tensor)
}

// A ManyScaler is a Backend that multiplies any number of tensors by one factor in one kernel. One
// that is not multiplies one after the other, to the same bits.
type ManyScaler interface {
	Backend
	// ScaleAll writes dst[i] = src[i]·factor; factor has one element, of their dtype, F32 or F64.
	ScaleAll(dst, src []*Tensor, factor *Tensor)
}

// A Chainer is a Backend that can take numbers through several unary operations in one pass over
// memory. One that is not makes a kernel of each, to the same bits.
type Chainer interface {
	Backend
	// UnaryChain computes dst = s(x), or with gate dst = x·s(x), where s is one step after the other,
	// each rounded as Unary rounds: F32 or F64, at least one step; dst may be x.
	UnaryChain(dst, x *Tensor, gate bool, steps ...UnaryStep)
}

// A ConvChainer is a Chainer that can do so to a convolution's result before that leaves the cache.
// One that is not makes two kernels, to the same bits.
type ConvChainer interface {
	Chainer
	// Conv2DChain computes y = s(z) or, with gate, y = z·s(z), where z = Conv2D(x, w) + bias + res,
	// as Conv2DBiasAct and UnaryChain do: F32 or F64.
	Conv2DChain(y, x, w, bias, res *Tensor, p ConvParams, gate bool, steps ...UnaryStep)
}

// A ConvPlacer is a Backend that can write a convolution's result among the channels of a tensor
// that joins several. One that is not makes two kernels, to the same bits.
type ConvPlacer interface {
	Backend
	// Conv2DPlace computes Conv2DBiasAct(x, w, bias, nil, relu) into channels at, at+1, … of y
	// [N OH OW …], whose others stay.
	Conv2DPlace(y *Tensor, at int, x, w, bias *Tensor, relu bool, p ConvParams)
}

// A UnaryStep is a unary operation with its attributes.
type UnaryStep struct {
	Op   UnaryOp
	Attr Attr
}

// A LossFuser is a Backend with kernels for softmax's cross-entropy, which would else be a dozen
// passes. A backend need not be one: autodiff.CrossEntropy then stays what it is composed of.
type LossFuser interface {
	Backend
	// CrossEntropy writes logp = log softmax(logits) along rows and
	// loss[n] = −Σₖ target[n,k]·logp[n,k], to which a target of 0 for a class of logp −Inf adds
	// nothing; logits, target, logp [N K], loss [N].
	CrossEntropy(loss, logp, logits, target *Tensor)
	// CrossEntropyGrad writes the gradient for the logits,
	// dx[n,k] = dy[n]·(exp(logp[n,k])·Σⱼ target[n,j] − target[n,k]); dx, logp, target [N K], dy [N].
	CrossEntropyGrad(dx, dy, logp, target *Tensor)
}

// A LayerNormer is a Backend with kernels for layer normalisation, which would else be a dozen
// passes. One that is not has autodiff.LayerNorm stay what it is composed of.
type LayerNormer interface {
	Backend
	// LayerNorm computes y = (x − mean)·rstd·gamma + beta for each row of x [… C], with the row's mean
	// and rstd = 1/√(var + eps), var biased, which it writes as well: mean, rstd […], gamma, beta [C].
	// beta may be nil. Beside BF16 x and y all others are F32.
	LayerNorm(y, mean, rstd, x, gamma, beta *Tensor, eps float64)
	// LayerNormGrad writes y's gradient for x: with g = gamma·dy, x̂ = (x − mean)·rstd and averages
	// over a row, dx = rstd·(g − avg(g) − x̂·avg(g·x̂)).
	LayerNormGrad(dx, dy, x, mean, rstd, gamma *Tensor)
}

// An AttentionFuser is a Backend with kernels for attention that never store the scores, of which
// there are as many as pairs of a query and a key. A backend need not be one: autodiff.Attention
// then stays composed of matrix products and Softmax.
type AttentionFuser interface {
	Backend
	// FusesAttention reports whether it takes such operands, and is better at that than MatMul and
	// Softmax are. It depends on their dtype and shapes and on settings of the backend that change
	// how it rounds, on nothing else.
	FusesAttention(q, k, v *Tensor) bool
	// Attention writes y = softmax(scale·q·kᵀ)·v, the softmax over keys, and
	// lse = log Σ exp(scale·q·kᵀ), which AttentionGrad takes: q [B L D], k [B M D], v [B M E],
	// y [B L E], lse [B L], F32 beside BF16. Probabilities and gradients of scores may be rounded to
	// the operands' dtype before they are multiplied.
	Attention(y, lse, q, k, v *Tensor, scale float64)
	// AttentionGrad writes y's gradients for q, k and v, with p = exp(scale·q·kᵀ − lse):
	// dv = pᵀ·dy, ds = scale·p·(dy·vᵀ − Σₑ dy·y), dq = ds·k, dk = dsᵀ·q. dq, dk and dv may be nil
	// when not wanted.
	AttentionGrad(dq, dk, dv, dy, y, lse, q, k, v *Tensor, scale float64)
}

// A Viewer is a Backend with kernels that take views for operands, so that what only moves elements
// need not run. One that is not has views made into tensors by the gradients' own kernels, Gather
// and ScatterAdd.
type Viewer interface {
	Backend
	// CopyView copies src's elements to the places of dst, of the same shape and dtype. No two
	// elements of dst share a place; what lies between stays.
	CopyView(dst, src View)
	// MatMulViews computes dst = alpha·a·b for stacks of matrices, a [… m k], b [… k n] and dst
	// [… m n] of equal leading axes: F32 or F64. The elements of a row of dst lie together.
	MatMulViews(dst, a, b View, alpha float64)
}

// A SpectralFuser is a Backend with kernels for spectral normalisation. A weight w [R …] stands for
// the matrix M [R, K] of its R rows; u has R elements and v K. A backend need not be one: what uses
// it then stays composed of matrix products.
type SpectralFuser interface {
	Backend
	// PowerIterate makes one step for each of a list of weights, from u[i]:
	// v[i] = Mᵀu/max(‖Mᵀu‖, eps[i]), next[i] = Mv/max(‖Mv‖, eps[i]), and sigma[i] = next·Mv, of one
	// element.
	PowerIterate(next, v, sigma, w, u []*Tensor, eps []float64)
	// SpectralQuotient writes y = w/sigma. Beside an F32 w y may be BF16: it is then rounded once.
	SpectralQuotient(y, w, sigma *Tensor)
	// SpectralQuotientGrad writes y's gradient for w, dw = dy/σ − ⟨dy, w⟩/σ²·uvᵀ. Beside F32 operands
	// dy may be BF16.
	SpectralQuotientGrad(dw, dy, w, u, v, sigma *Tensor)
}

// A ManySpectralFuser is a SpectralFuser that makes any number of quotients, or of their gradients,
// in one go, where each for itself would cost it more. One that is not makes one after the other,
// to the same bits.
type ManySpectralFuser interface {
	SpectralFuser
	// SpectralQuotients is SpectralQuotient for each of a list of weights.
	SpectralQuotients(y, w, sigma []*Tensor)
	// SpectralQuotientGrads is SpectralQuotientGrad for each of a list of weights.
	SpectralQuotientGrads(dw, dy, w, u, v, sigma []*Tensor)
}

// A NormUpsampler is a Backend that can enlarge an image while it normalises it, so that the small
// result is neither written nor read. One that is not makes two kernels, NormApply and Upsample, to
// the same bits.
type NormUpsampler interface {
	Backend
	// NormUpsample computes y = Upsample(act(x·scale + shift), k), act = ReLU if relu else identity:
	// x [N H W C], y [N kH kW C], scale and shift [C] or [N C].
	NormUpsample(y, x, scale, shift *Tensor, relu bool, k int)
}

// A SumMasker is a Backend that can add two gradients and put the sum through a ReLU in one pass.
// One that is not makes two kernels, to the same bits.
type SumMasker interface {
	Backend
	// AddReLUMask computes dx = y > 0 ? a + b : 0, all of one shape; dx may be a or b.
	AddReLUMask(dx, a, b, y *Tensor)
}

// A Recorder is a Backend that can run a list of kernels at one command. A backend need not be one:
// ask with a type assertion.
type Recorder interface {
	Backend
	// Record calls f once and records what it launches instead of running it. Run the same work
	// call by call before, so that its kernels are compiled and its choices are made. Everything
	// that is to change from one replay to the next must lie in tensors made before Record. Inside
	// f nothing may be uploaded, read back or waited for.
	//
	// Recordings share the memory in which they work. Replay them in the order in which they were
	// recorded; a tensor that one leaves behind serves the next ones and the host until the first
	// is replayed again, as long as it is not freed.
	//
	// The error says why f's work cannot be recorded; nothing of it has run.
	Record(f func()) (Recording, error)
}

// A Recording is recorded work.
type Recording interface {
	// Replay runs the work, after everything before it.
	Replay()
	// Nodes returns how many launches and copies the recording holds.
	Nodes() int
	// Close waits for the device and gives the recording back, and, with the last one, the memory
	// that recordings share. Tensors that the work left behind are gone with it.
	Close() error
}

// A Stager is a Backend whose device fetches data from the host's memory by itself, out of memory
// that the backend hands out. A backend need not be one: ask with a type assertion.
type Stager interface {
	Backend
	// Stage returns bytes of such memory, or an error if there is not enough. Close it before the
	// backend.
	Stage(bytes int) (Staged, error)
}

// Staged is host memory that a device fetches from.
type Staged interface {
	// Bytes returns the memory. It is not Go's: keep no slice of it beyond Close.
	Bytes() []byte
	// Start begins to fetch the memory's bytes, beside whatever the device computes, so that the Send
	// of the same bytes need not wait for it. Any goroutine may call it, also while work is recorded,
	// once the memory is filled. Every fill needs its Start, or none does: a Send after a Start sends
	// what the memory held at the last Start. After Close, or that of the backend, it does nothing.
	Start()
	// Send copies all of it into a buffer of the same size, after everything before. It returns at
	// once: change the memory again only when something later has been read back or waited for, or
	// after a Start that no Send followed, and then Start again.
	Send(dst Buffer)
	// Close waits for the device and gives the memory back.
	Close() error
}

// StagedFloats returns staged memory as the F32 numbers that it can hold.
func StagedFloats(s Staged) []float32 {
	b := s.Bytes()
	if len(b) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}

// A ConstantKeeper is a Backend that can keep what it derives from the contents of a tensor, packed
// weights for example, from one kernel to the next, and do without the contents themselves.
type ConstantKeeper interface {
	Backend
	// KeepConstant says that nothing writes to t until it is freed. It changes no result. again, if
	// not nil, writes the same bits to t once more: then the backend may give t's own memory up when
	// it has derived from it what kernels ask for, and call again when anybody reads t after all, or
	// wants another form of it. again may run kernels and read other tensors.
	KeepConstant(t *Tensor, again func())
	// Park gives t's own memory up until somebody reads t; then again writes its contents, as
	// KeepConstant's does. A backend may leave t as it is.
	Park(t *Tensor, again func())
}
