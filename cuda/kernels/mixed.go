package kernels

import "afterimage/tensor"

const sgdMixedTensors, adamMixedTensors = 90, 76 // SGD_MIXED_TENSORS, … of optim.cu

type sgdMixedArgs struct {
	Lr                    uint64
	Momentum, WeightDecay float64
	P, G, Buf, Shadow     [sgdMixedTensors]uint64
	N                     [sgdMixedTensors]int64
	First                 [sgdMixedTensors]int32
	Nesterov, Count       int32
}

type adamMixedArgs struct {
	Lr, Step                       uint64
	Beta1, Beta2, Eps, WeightDecay float64
	P, G, M, V                     [adamMixedTensors]uint64
	Shadow                         [adamMixedTensors]uint64
	N                              [adamMixedTensors]int64
	First                          [adamMixedTensors]int32
	Count, Pad                     int32
}

// byGradient calls f, as tables does, for the parameters with gradients (or quotients) of their own
// dtype, and for those of F32 with such of BF16.
func byGradient(op string, params, grads []Array, limit int,
	f func(dt string, which []int, first []int32, chunks int),
) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.F64, tensor.BF16} {
		var sub []Array
		var index []int
		for i, g := range grads {
			if p := params[i].DType; g.DType != p && (g.DType != tensor.BF16 || p != tensor.F32) {
				panic(badDType(op, params[i], g))
			}
			if g.DType == dt {
				sub, index = append(sub, params[i]), append(index, i)
			}
		}
		tables(op, sub, limit, func(_ string, which []int, first []int32, chunks int) {
			for k, i := range which {
				which[k] = index[i]
			}
			f("_"+dt.String(), which, first, chunks)
		})
	}
}

// SGDMixed is SGD on F32 masters with F32 or BF16 gradients which also rewrites the parameters'
// BF16 copies, shadows, in one pass.
func (e *Encoder) SGDMixed(
	p tensor.SGDParams, params, grads, buf, shadows []Array, lr Array,
) {
	f := func(dt string, which []int, first []int32, chunks int) {
		a := sgdMixedArgs{Lr: lr.Ptr, Momentum: p.Momentum, WeightDecay: p.WeightDecay,
			Nesterov: b32(p.Nesterov), Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.P[k], a.G[k], a.N[k] = params[i].Ptr, grads[i].Ptr, int64(params[i].size())
			if buf != nil {
				a.Buf[k] = buf[i].Ptr
			}
			a.Shadow[k] = shadows[i].Ptr
		}
		optim(e, "sgd_mixed"+dt, a, chunks)
	}
	byGradient("SGDMixed", params, grads, sgdMixedTensors, f)
}

// AdamMixed is Adam on F32 masters with F32 or BF16 gradients which also rewrites the parameters'
// BF16 copies, shadows, in one pass.
func (e *Encoder) AdamMixed(
	p tensor.AdamParams, params, grads, m, v, shadows []Array, lr, step Array,
) {
	f := func(dt string, which []int, first []int32, chunks int) {
		a := adamMixedArgs{Lr: lr.Ptr, Step: step.Ptr, Beta1: p.Beta1, Beta2: p.Beta2, Eps: p.Eps,
			WeightDecay: p.WeightDecay, Count: int32(len(which))}
		copy(a.First[:], first)
		for k, i := range which {
			a.P[k], a.G[k], a.N[k] = params[i].Ptr, grads[i].Ptr, int64(params[i].size())
			a.M[k], a.V[k] = m[i].Ptr, v[i].Ptr
			a.Shadow[k] = shadows[i].Ptr
		}
		optim(e, "adam_mixed"+dt, a, chunks)
	}
	byGradient("AdamMixed", params, grads, adamMixedTensors, f)
}
