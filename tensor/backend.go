package tensor

// A Buffer is a backend's handle of a block of memory.
type Buffer interface {
	Bytes() int // the size that was asked for
}

// A Backend computes on one device. It is a set of typed kernel families with opcodes inside, so
// that the compiler proves a backend complete and a new activation is one line in each.
//
// Rules for every kernel:
//   - Shapes, dtypes and attributes were checked by the caller; a backend need not check again.
//   - All tensors are contiguous. Floating-point operands of one call share one dtype, F32, F64 or
//     BF16, but for Cast's. Beside BF16, numbers of a channel (statistics, scale, shift, gamma,
//     bias and their gradients) are F32, and a BF16 result is what the F32 operands of the same
//     values give, rounded once, to nearest even. Conv2DBiasAct may round what it convolved as
//     well, before it adds to it. MatMul and Conv2DWeightGrad make F32 results of BF16 operands,
//     too, which Conv2DWeightGrad may have rounded. The optimizers know F32 and F64 alone.
//   - dst may be the same tensor as an operand of the same shape in Unary, Binary, Select, Cast,
//     Softmax, NormApply; nowhere else may outputs overlap inputs, unless a kernel says so.
//   - Zero-sized tensors are legal everywhere.
//   - Results depend on operands and the instruction set alone, never on the number of threads.
//   - NaN and Inf propagate by IEEE rules unless an opcode says otherwise. A convolution by another
//     form than the sum below (Winograd's, an FFT) may spread them: to any output of the images
//     that hold them, and as NaN where the sum has an infinity.
//
// tensor/ref is the specification in code; tensor/backendtest holds every backend to it.
type Backend interface {
	// Name returns "ref", "cpu", "cuda:0", ….
	Name() string
	// Alloc returns a buffer with undefined contents, or an error that says how much was asked
	// for and how much there is.
	Alloc(bytes int) (Buffer, error)
	// Free gives a buffer back; kernels already queued on it still run first.
	Free(Buffer)
	// Upload copies host bytes into a buffer of the same size.
	Upload(dst Buffer, src []byte)
	// Download copies a buffer to host bytes of the same size; it waits for the device.
	Download(dst []byte, src Buffer)
	// Sync waits for the device and returns its first failure.
	Sync() error

	// Fill sets every element to v.
	Fill(dst *Tensor, v float64)
	// Cast converts elementwise; float to integer truncates toward zero, U8 saturates.
	// Equal dtypes copy.
	Cast(dst, x *Tensor)
	// Unary computes dst = op(x) with the attributes p.
	Unary(op UnaryOp, p Attr, dst, x *Tensor)
	// Binary computes dst = op(x, y); x and y are broadcast to dst's shape (NumPy's rule).
	Binary(op BinaryOp, dst, x, y *Tensor)
	// Select computes dst = cond ≠ 0 ? x : y, all of dst's shape and dtype.
	Select(dst, cond, x, y *Tensor)
	// Reduce reduces over axes; dst has x's shape with 1 at every reduced axis, and x's dtype or,
	// beside BF16, F32. The sum over an empty set is 0, the maximum −Inf, the minimum +Inf.
	Reduce(op ReduceOp, dst, x *Tensor, axes []int)
	// ArgMax writes, as I32, the index of the largest element along the last axis of x
	// [… K] into dst […]; the first maximum wins and a NaN counts as largest.
	ArgMax(dst, x *Tensor)
	// Softmax computes along the last axis of x: exp(x−max)/Σ, or with log set x−max−log Σ.
	Softmax(log bool, dst, x *Tensor)

	// MatMul computes dst[b] = op(a[b])·op(b[b]) for rank-3 operands [B m k]·[B k n], or rank-2
	// without the batch axis. TransA and TransB take a as [k m], b as [n k].
	MatMul(dst, a, b *Tensor, p MatMulParams)
	// Conv2D computes the cross-correlation
	// y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c],
	// x [N H W C], w [O KH KW C/groups], y [N OH OW O]; outside x is zero.
	Conv2D(y, x, w *Tensor, p ConvParams)
	// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res), act = ReLU if relu else identity,
	// which a backend can do before y leaves its registers or cache. bias is [O], res of y's
	// shape; either may be nil.
	Conv2DBiasAct(y, x, w, bias, res *Tensor, relu bool, p ConvParams)
	// Conv2DInputGrad computes dx, the adjoint of Conv2D in x applied to dy.
	Conv2DInputGrad(dx, dy, w *Tensor, p ConvParams)
	// Conv2DWeightGrad computes dw, the adjoint of Conv2D in w applied to dy.
	Conv2DWeightGrad(dw, x, dy *Tensor, p ConvParams)

	// Permute computes dst = x with its axes reordered: dst axis i is x axis perm[i].
	Permute(dst, x *Tensor, perm []int)
	// CopyRegion copies the box r from x into dst; elements of dst outside the box stay.
	CopyRegion(dst, x *Tensor, r Region)
	// Gather copies rows: dst[i, …] = x[idx[i], …]; idx is I32 [n]. Indices were checked on
	// the host where they came from.
	Gather(dst, x, idx *Tensor)
	// ScatterAdd sets dst to zero and adds rows: dst[idx[i], …] += x[i, …], in order of i.
	ScatterAdd(dst, x, idx *Tensor)
	// OneHot writes dst[i, idx[i]] = 1 and 0 elsewhere; dst [n K], idx I32 [n]; an index outside
	// [0, K) gives a row of zeros.
	OneHot(dst, idx *Tensor)

	// MaxPool takes the maximum over each window of x [N H W C]; padding never wins, the first
	// maximum in row order wins, NaN wins. idx, I32 of y's shape, is the winner's h·W + w; nil
	// where nobody asks for it.
	MaxPool(y, idx, x *Tensor, p PoolParams)
	// PoolGather computes y[n,i,j,c] = x[n, idx[n,i,j,c], c] with positions flattened as h·W + w.
	PoolGather(y, x, idx *Tensor)
	// PoolScatter is the adjoint of PoolGather: dx is zeroed, then dx[n, idx, c] += dy.
	PoolScatter(dx, dy, idx *Tensor)
	// AvgPool averages over each window of x [N H W C].
	AvgPool(y, x *Tensor, p PoolParams)
	// AvgPoolGrad is the adjoint of AvgPool.
	AvgPoolGrad(dx, dy *Tensor, p PoolParams)
	// Upsample repeats every pixel of x [N H W C] k×k times (nearest neighbour): y [N kH kW C].
	Upsample(y, x *Tensor, k int)
	// UpsampleGrad is the adjoint of Upsample: it sums every k×k block.
	UpsampleGrad(dx, dy *Tensor, k int)

	// NormStats computes per channel (last axis, all other axes together, m elements each) the
	// mean and rstd = 1/√(var + eps), var biased (divided by m), into mean [C] and rstd [C], and
	// var itself into variance [C]. Unless gamma is nil it also writes what NormApply takes for
	// gamma and beta, scale = gamma·rstd and shift = beta − scale·mean, all four [C] or [N C].
	NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *Tensor, eps float64)
	// NormApply computes y = act(x·scale + shift + res), act = ReLU if relu else identity. scale
	// and shift are [C] or, one row for each sample, [N C] with N = x's first axis; res is nil or
	// of x's shape.
	NormApply(y, x, scale, shift, res *Tensor, relu bool)
	// NormBackward computes the gradients of y = act(gamma·(x−mean)·rstd + beta + res) in
	// training mode, where mean and rstd depend on x. gamma, dgamma, dbeta are [C] or [N C]. Of a
	// ReLU, dy is masked first: with y non-nil by y > 0; with shift non-nil, of gamma's shape, by
	// x·(gamma·rstd) + shift > 0, rounded as NormApply does, which says the same of a y without res
	// and spares reading it. dx, dgamma, dbeta, dres may be nil when not wanted, and dres is beside
	// shift; dres gets the masked dy. dx may be dy or, where y is nil, x.
	NormBackward(dx, dgamma, dbeta, dres, dy, x, y, shift, mean, rstd, gamma *Tensor)

	// Random fills dst with numbers of the stream key at step (an I32 tensor of one element):
	// element i is a pure function of (key, step, i); see Key.
	Random(d Dist, key Key, dst, step *Tensor)

	// SGD updates every parameter in place, PyTorch's convention: g += wd·p;
	// buf = momentum·buf + g; p −= lr·(nesterov ? g + momentum·buf : buf). lr is an F32 tensor of
	// one element. buf is nil when momentum is 0.
	SGD(p SGDParams, params, grads, buf []*Tensor, lr *Tensor)
	// Adam updates every parameter in place, PyTorch's convention (bias-corrected moments, eps
	// outside the root, decoupled weight decay as in AdamW). step, I32 of one element, is
	// t = 1, 2, ….
	Adam(p AdamParams, params, grads, m, v []*Tensor, lr, step *Tensor)
	// Lerp moves every dst toward src in place: dst += (1 − decay)·(src − dst); decay is an F32
	// tensor of one element.
	Lerp(dst, src []*Tensor, decay *Tensor)
	// Blend computes dst[i] = keep[i]·dst[i] + add[i]·src[i] for every i, of different dst; with
	// keep[i] = 0 it does not read dst[i].
	Blend(dst, src []*Tensor, keep, add []float64)
	// SquaredNorm writes the sum of the squares of all elements of all xs into dst, of one element
	// and xs' dtype: NaN or infinite if an element is, infinite if a square or the sum is too large.
	SquaredNorm(dst *Tensor, xs []*Tensor)
}

// UnaryOp is an opcode of Backend.Unary.
type UnaryOp uint8

// The unary operations; a and b are the fields of Attr.
const (
	Neg       UnaryOp = iota // −x
	Abs                      // |x|
	Sign                     // −1, 0 or 1; Sign(0) = Sign(NaN) = 0
	Step                     // x > 0 ? 1 : 0
	Exp                      // eˣ
	Log                      // natural logarithm
	Sqrt                     // √x
	Rsqrt                    // 1/√x
	Recip                    // 1/x
	Square                   // x²
	Tanh                     // hyperbolic tangent
	Sigmoid                  // 1/(1+e⁻ˣ)
	Softplus                 // log(1+eˣ) = max(x,0) + log1p(e^−|x|)
	ReLU                     // max(x, 0); ReLU(NaN) = NaN
	LeakyReLU                // x > 0 ? x : a·x
	Clamp                    // min(max(x, a), b)
	Affine                   // a·x + b
	Pow                      // xᵃ
	Erf                      // error function
	InRange                  // a < x < b ? 1 : 0, the derivative of Clamp; 0 at the ends
)

// Attr holds the attributes of a unary operation.
type Attr struct{ A, B float64 }

// BinaryOp is an opcode of Backend.Binary.
type BinaryOp uint8

// The binary operations.
const (
	Add      BinaryOp = iota // x + y
	Sub                      // x − y
	Mul                      // x·y
	Div                      // x/y
	Max                      // larger; NaN if either is
	Min                      // smaller; NaN if either is
	Greater                  // x > y ? 1 : 0
	Equal                    // x = y ? 1 : 0
	ReLUMask                 // y > 0 ? x : 0: the gradient x through a ReLU with output y
)

// ReduceOp is an opcode of Backend.Reduce.
type ReduceOp uint8

// The reductions.
const (
	Sum ReduceOp = iota
	Mean
	MaxOf // NaN if any element is
	MinOf // NaN if any element is
)

// Dist is a distribution of Backend.Random.
type Dist uint8

// The distributions: Uniform on (0, 1) by Uniform01, of which rounding to F32 makes (0, 1]; Normal
// by StdNormal.
const (
	Uniform Dist = iota
	Normal
)

// MatMulParams are the attributes of Backend.MatMul.
type MatMulParams struct{ TransA, TransB bool }

// ConvParams are the attributes of the convolution triple.
type ConvParams struct {
	StrideH, StrideW int // ≥ 1
	PadTop, PadLeft  int // zero rows and columns before the image
	PadBottom        int // zero rows after it
	PadRight         int // zero columns after it
	DilH, DilW       int // ≥ 1: distance between taps
	Groups           int // ≥ 1: divides C and O
}

// Out returns the output extents for an h×w image and a kh×kw kernel:
// ⌊(h+pad−dil·(kh−1)−1)/stride⌋+1.
func (p ConvParams) Out(h, w, kh, kw int) (oh, ow int) {
	one := func(n, k, stride, pad, dil int) int {
		room := n + pad - dil*(k-1) - 1
		if room < 0 { // the kernel exceeds the padded image; Go would round −1/2 up to 0
			return 0
		}
		return room/stride + 1
	}
	return one(h, kh, p.StrideH, p.PadTop+p.PadBottom, p.DilH),
		one(w, kw, p.StrideW, p.PadLeft+p.PadRight, p.DilW)
}

// PoolParams are the attributes of pooling. Images have pixels and every padding is smaller than
// the window, so that each window holds a pixel.
type PoolParams struct {
	KH, KW           int // window
	StrideH, StrideW int // ≥ 1
	PadTop, PadLeft  int
	PadBottom        int
	PadRight         int
	// CeilMode rounds output extents up; a window must still start inside image or left padding.
	CeilMode bool
	// CountPad makes AvgPool divide by the positions inside the padded image: KH·KW, but for
	// CeilMode's overhang (PyTorch's default). Without it the divisor is the pixels inside.
	CountPad bool
}

// Out returns the output extents for an h×w image.
func (p PoolParams) Out(h, w int) (oh, ow int) {
	one := func(n, k, s, before, after int) int {
		span := n + before + after - k
		if p.CeilMode {
			span += s - 1 // so much of the last window, also of the only one, may hang over
		}
		if span < 0 {
			return 0
		}
		o := span/s + 1
		if p.CeilMode && (o-1)*s >= n+before {
			o--
		}
		return o
	}
	return one(h, p.KH, p.StrideH, p.PadTop, p.PadBottom),
		one(w, p.KW, p.StrideW, p.PadLeft, p.PadRight)
}

// Region is a strided box for CopyRegion: for each index i with 0 ≤ i < Size (per axis),
// dst[DstStart + i·DstStep] = x[SrcStart + i·SrcStep]. Steps may be negative.
type Region struct{ DstStart, DstStep, SrcStart, SrcStep, Size []int }

// SGDParams are the constants of SGD.
type SGDParams struct {
	Momentum, WeightDecay float64
	Nesterov              bool
}

// AdamParams are the constants of Adam.
type AdamParams struct{ Beta1, Beta2, Eps, WeightDecay float64 }
