package kernels

import "afterimage/tensor"

// SGD_TENSORS, … of optim.cu
const sgdTensors, adamTensors, pairTensors, blendTensors, normTensors = 100, 80, 140, 80, 200

const optimChunk = 4096 // OPTIM_CHUNK of optim.cu

type sgdArgs struct {
	Lr                    uint64
	Momentum, WeightDecay float64
	Nesterov, Count       int32
	P, G, Buf             [sgdTensors]uint64
	N                     [sgdTensors]int64
	First                 [sgdTensors]int32
}

type adamArgs struct {
	Lr, Step                       uint64
	Beta1, Beta2, Eps, WeightDecay float64
	P, G, M, V                     [adamTensors]uint64
	N                              [adamTensors]int64
	First                          [adamTensors]int32
	Count, Pad                     int32
}

type pairsArgs struct {
	Scalar     uint64
	Dst, Src   [pairTensors]uint64
	N          [pairTensors]int64
	First      [pairTensors]int32
	Count, Pad int32
}

type blendArgs struct {
	Dst, Src   [blendTensors]uint64
	Keep, Add  [blendTensors]float64
	N          [blendTensors]int64
	First      [blendTensors]int32
	Count, Pad int32
}

type squaredNormArgs struct {
	Parts      uint64
	X          [normTensors]uint64
	N          [normTensors]int64
	First      [normTensors]int32
	Count, Pad int32
}

// tables cuts the tensors into tables of at most limit entries of one dtype and calls f for each
// table with the indices of its tensors and the number of the first chunk of each; chunks is their
// number in all. Empty tensors are left out.
func tables(op string, ts []Array, limit int,
	f func(dt string, which []int, first []int32, chunks int),
) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64} {
		var which []int
		var first []int32
		chunks := 0
		flush := func() {
			if len(which) > 0 {
				f("_"+dt.String(), which, first, chunks)
			}
			which, first, chunks = nil, nil, 0
		}
		for i, t := range ts {
			switch {
			case t.DType != tensor.F32 && t.DType != tensor.F64:
				panic(badDType(op, t))
			case t.DType != dt || t.size() == 0:
				continue
			}
			if len(which) == limit {
				flush()
			}
			which, first = append(which, i), append(first, i32(chunks))
			chunks += ceilDiv(t.size(), optimChunk)
		}
		flush()
	}
}

// optim launches a kernel of optim.cu over chunks.
func optim[A any](e *Encoder, entry string, a A, chunks int) {
	emit(e, entry, a, [3]int{chunks, 1, 1}, [3]uint32{block, 1, 1}, 0)
}

// SGD updates every parameter in place, PyTorch's convention.
func (e *Encoder) SGD(p tensor.SGDParams, params, grads, buf []Array, lr Array) {
	tables("SGD", params, sgdTensors, func(dt string, which []int, first []int32, chunks int) {
		a := sgdArgs{Lr: lr.Ptr, Momentum: p.Momentum, WeightDecay: p.WeightDecay,
			Nesterov: b32(p.Nesterov), Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.P[k], a.G[k], a.N[k] = params[i].Ptr, grads[i].Ptr, int64(params[i].size())
			if buf != nil {
				a.Buf[k] = buf[i].Ptr
			}
		}
		optim(e, "sgd"+dt, a, chunks)
	})
}

// Adam updates every parameter in place, PyTorch's AdamW convention.
func (e *Encoder) Adam(p tensor.AdamParams, params, grads, m, v []Array, lr, step Array) {
	tables("Adam", params, adamTensors, func(dt string, which []int, first []int32, chunks int) {
		a := adamArgs{Lr: lr.Ptr, Step: step.Ptr, Beta1: p.Beta1, Beta2: p.Beta2, Eps: p.Eps,
			WeightDecay: p.WeightDecay, Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.P[k], a.G[k], a.N[k] = params[i].Ptr, grads[i].Ptr, int64(params[i].size())
			a.M[k], a.V[k] = m[i].Ptr, v[i].Ptr
		}
		optim(e, "adam"+dt, a, chunks)
	})
}

// Lerp moves every dst toward src in place: dst += (1 − decay)·(src − dst).
func (e *Encoder) Lerp(dst, src []Array, decay Array) { e.pairs("Lerp", "lerp", dst, src, decay) }

// ScaleAll writes every src times factor, of one element and their dtype, to its dst.
func (e *Encoder) ScaleAll(dst, src []Array, factor Array) {
	e.pairs("ScaleAll", "scale", dst, src, factor)
}

// pairs launches a kernel that makes every dst of its src and one number.
func (e *Encoder) pairs(op, entry string, dst, src []Array, scalar Array) {
	tables(op, dst, pairTensors, func(dt string, which []int, first []int32, chunks int) {
		a := pairsArgs{Scalar: scalar.Ptr, Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.Dst[k], a.Src[k], a.N[k] = dst[i].Ptr, src[i].Ptr, int64(dst[i].size())
		}
		optim(e, entry+dt, a, chunks)
	})
}

// Blend computes dst[i] = keep[i]·dst[i] + add[i]·src[i]; with keep[i] = 0 it does not read dst[i].
func (e *Encoder) Blend(dst, src []Array, keep, add []float64) {
	tables("Blend", dst, blendTensors, func(dt string, which []int, first []int32, chunks int) {
		a := blendArgs{Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.Dst[k], a.Src[k], a.N[k] = dst[i].Ptr, src[i].Ptr, int64(dst[i].size())
			a.Keep[k], a.Add[k] = keep[i], add[i]
		}
		optim(e, "blend"+dt, a, chunks)
	})
}

// SquaredNorm adds up the squares of all elements of all xs: a launch for every 200 tensors leaves
// the sum of each chunk, in the tensors' order, and a reduction adds those.
func (e *Encoder) SquaredNorm(dst Array, xs []Array) {
	chunks := 0
	for _, x := range xs {
		chunks += ceilDiv(x.size(), optimChunk)
	}
	one := tensor.Shape{1}
	dst.Shape = one
	if chunks == 0 {
		e.Fill(dst, 0)
		return
	}
	parts := e.fresh(dst, tensor.Shape{chunks})
	at := parts.Ptr
	f := func(dt string, which []int, first []int32, chunks int) {
		a := squaredNormArgs{Parts: at, Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.X[k], a.N[k] = xs[i].Ptr, int64(xs[i].size())
		}
		optim(e, "squared_norm"+dt, a, chunks)
		at += uint64(chunks * dst.DType.Size())
	}
	tables("SquaredNorm", xs, normTensors, f)
	e.Reduce(tensor.Sum, dst, parts, []int{0})
}
