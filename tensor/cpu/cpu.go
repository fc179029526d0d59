package cpu

import (
	"runtime"

	"afterimage/tensor"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/par"
	"afterimage/tensor/ref"
)

// A Backend computes on the host's cores. Open creates one, Close ends its threads.
//
// Every method is the fast path of one kernel family for F32, and hands other types, and patterns
// that it calls rare, to the reference by name. What the reference can do besides the contract this
// backend therefore has only where a method says so. It keeps weights in F32 and so is no
// tensor.Shadower, and no tensor.AttentionFuser: products that read and write the scores are faster
// than the reference's loops over them.
//
// A Backend runs one kernel at a time: use it from one goroutine.
type Backend struct {
	ref      *ref.Backend
	pool     *par.Pool
	winograd bool
	bf16     bool
}

var (
	_ tensor.Backend        = (*Backend)(nil)
	_ tensor.ConstantKeeper = (*Backend)(nil)
	_ tensor.Resampler      = (*Backend)(nil)
	_ tensor.LossFuser      = (*Backend)(nil)
	_ tensor.LayerNormer    = (*Backend)(nil)
	_ tensor.SpectralFuser  = (*Backend)(nil)
	_ tensor.SumMasker      = (*Backend)(nil)
	_ tensor.ConvChainer    = (*Backend)(nil)
	_ tensor.Viewer         = (*Backend)(nil)
	_ tensor.ConvPlacer     = (*Backend)(nil)
)

// Open returns a backend with the given number of threads; 0 takes as many as the process may run
// at once. Results do not depend on the number.
func Open(threads int) *Backend {
	pool := par.New(threads)
	pool.Arena().SetLimit(defaultLimit())
	return &Backend{ref: ref.New(), pool: pool, winograd: true}
}

// OpenLike returns a backend of its own with the given number of threads and what SetWinograd,
// SetPrecision and SetMemoryLimit chose for b, which may be closed.
func OpenLike(b *Backend, threads int) *Backend {
	own := Open(threads)
	own.winograd, own.bf16 = b.winograd, b.bf16
	own.SetMemoryLimit(b.Memory().Limit)
	return own
}

// Close ends the backend's threads. Tensors that are still referred to stay readable, as long as
// they are: a slice from tensor.Host holds no memory by itself.
func (b *Backend) Close() { b.pool.Close() }

// Name returns "cpu".
func (b *Backend) Name() string { return "cpu" }

// Threads returns how many threads the kernels use.
func (b *Backend) Threads() int { return b.pool.Threads() }

// SetWinograd chooses whether 3×3 convolutions of stride 1 may be computed by Winograd's
// F(4×4,3×3), which takes a quarter of the multiplications and rounds differently: its error stays
// within 56 units of 2⁻²⁴ of the largest sum of magnitudes (tensor/cpu/conv), where the direct
// form's bound is element by element. It is on after Open; shapes decide where it pays. Runs that
// are to be compared bit by bit must agree on it.
func (b *Backend) SetWinograd(on bool) { b.winograd = on }

// Winograd reports what SetWinograd chose.
func (b *Backend) Winograd() bool { return b.winograd }

// SetPrecision chooses how convolutions and matrix products multiply: tensor.F32, as after Open, or
// tensor.BF16, which rounds both operands to bfloat16, nearest even, and sums the products in
// float32, at twice the rate. A sum of n products is then off by at most
//
//	(2⁻⁷ + 2⁻¹⁶ + n·2⁻²⁴) · sum of |a||b|.
//
// Tensors stay F32, and with them weights, statistics, optimizers and every other kernel; F64 is
// not affected. Layers with few or an odd number of channels, and products with few columns or a
// short sum, stay in float32 (conv.Shape.BF16, gemm.BF16Pays); where Winograd's form is on and
// faster, 3×3 convolutions take that, which is more precise: with few images, for which it is not,
// a layer may round more. Runs that are to be compared bit by bit must agree on it. Errors: another
// type; BF16 on a machine or in a build without AVX512_BF16.
func (b *Backend) SetPrecision(d tensor.DType) error {
	switch {
	case d == tensor.BF16 && !gemm.HasBF16():
		return tensor.Refuse("cpu: SetPrecision: bf16 needs a processor with AVX512_BF16, and a build " +
			"with assembly (without -tags purego): use f32")
	case d != tensor.F32 && d != tensor.BF16:
		return tensor.Refuse("cpu: SetPrecision: %v: expected f32 or bf16", d)
	}
	b.bf16 = d == tensor.BF16
	return nil
}

// Precision returns what SetPrecision chose.
func (b *Backend) Precision() tensor.DType {
	if b.bf16 {
		return tensor.BF16
	}
	return tensor.F32
}

// Pool returns the worker pool, for benchmarks of single kernels.
func (b *Backend) Pool() *par.Pool { return b.pool }

// Upload copies host bytes into a buffer.
func (b *Backend) Upload(dst tensor.Buffer, src []byte) { copy(dst.(*buffer).HostBytes(), src) }

// Download copies a buffer to host bytes.
func (b *Backend) Download(dst []byte, src tensor.Buffer) {
	copy(dst, src.(*buffer).HostBytes())
	runtime.KeepAlive(src) // of a closed backend, nothing else may hold the memory
}

// Sync returns nil: kernels have run when their call returns.
func (b *Backend) Sync() error { return nil }

// chunk is the number of elements one tile of an element-wise loop covers: 64 KiB of F32, small
// beside L2, large beside the 0.3 µs it takes to hand out a tile.
const chunk = 16 << 10

// split calls f on consecutive ranges of grain items that together cover [0, n). The ranges depend
// on n and grain alone.
func (b *Backend) split(n, grain int, f func(lo, hi int)) {
	if n <= grain {
		if n > 0 {
			f(0, n)
		}
		return
	}
	b.pool.Run((n+grain-1)/grain, func(i int) { f(i*grain, min((i+1)*grain, n)) })
}

// f32 reports whether all tensors are F32; nil stands for an operand that was not given.
func f32(ts ...*tensor.Tensor) bool {
	for _, t := range ts {
		if t != nil && t.DType() != tensor.F32 {
			return false
		}
	}
	return true
}

// host is tensor.Host for F32 with nil for a missing operand.
func host(t *tensor.Tensor) []float32 {
	if t == nil {
		return nil
	}
	return tensor.Host[float32](t)
}
