package autodiff_test

import (
	ad "afterimage/autodiff"
	"afterimage/tensor"
)

// convs are attributes that tell the corners apart: uneven padding, strides that leave rows
// unread, dilation, groups. All are for 5×6 images of 4 channels and 3×2 kernels.
func convs() []tensor.ConvParams {
	return []tensor.ConvParams{
		{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1},
		{StrideH: 2, StrideW: 3, PadTop: 1, PadRight: 2, DilH: 1, DilW: 1, Groups: 2},
		{StrideH: 3, StrideW: 2, PadBottom: 1, PadLeft: 1, DilH: 2, DilW: 3, Groups: 4},
	}
}

func convSamples() []sample {
	var list []sample
	for _, p := range convs() {
		oh, ow := p.Out(5, 6, 3, 2)
		x, w, y := normal(1, 2, 5, 6, 4), normal(2, 4, 3, 2, 4/p.Groups), normal(3, 2, oh, ow, 4)
		conv := func(x, w value) value { return ad.Conv2D(x, w, p) }
		inGrad := func(y, w value) value { return ad.Conv2DInputGrad(y, w, 5, 6, p) }
		wGrad := func(x, y value) value { return ad.Conv2DWeightGrad(x, y, 3, 2, p) }
		refuse := func(f func(a, b value) value) []fn {
			return []fn{
				func(g graph, in vals) value { return f(in[0], zeros(g, 3)) },
				func(g graph, in vals) value { return f(in[0], f32(g, in[1].Shape()...)) },
				func(g graph, in vals) value { return f(in[0], zeros(g, 3, 9, 9, 5)) }}
		}
		list = append(list,
			sample{name: "Conv2D", f: two(conv), in: []input{x, w}, bad: append(refuse(conv),
				two(func(x, w value) value {
					q := p
					q.StrideH = 0
					return ad.Conv2D(x, w, q)
				}),
				two(func(x, w value) value { // reaches 2·2⁶² rows, which an int has as less than none
					q := p
					q.DilH = 1 << 62
					return ad.Conv2D(x, w, q)
				}))},
			sample{name: "Conv2DInputGrad", f: two(inGrad), in: []input{y, w}, bad: append(
				refuse(inGrad),
				two(func(y, w value) value { return ad.Conv2DInputGrad(y, w, 50, 6, p) }))},
			sample{name: "Conv2DWeightGrad", f: two(wGrad), in: []input{x, y}, bad: append(
				refuse(wGrad),
				two(func(x, y value) value { return ad.Conv2DWeightGrad(x, y, 1, 1, p) }),
				two(func(x, y value) value { return ad.Conv2DWeightGrad(x, y, 0, 2, p) }))})
	}
	return list
}

// convBiasActSamples use every combination of bias, residual and ReLU, away from the ReLU's kink.
func convBiasActSamples() []sample {
	var list []sample
	p := convs()[0]
	oh, ow := p.Out(5, 6, 3, 2)
	x, w := normal(1, 2, 5, 6, 4), normal(2, 4, 3, 2, 4/p.Groups)
	bias, res := normal(3, 4), normal(4, 2, oh, ow, 4)
	for _, relu := range []bool{false, true} {
		conv := func(b, r int) fn {
			return func(_ graph, in vals) value {
				at := func(i int) value {
					if i == 0 {
						return nil
					}
					return in[i]
				}
				return ad.Conv2DBiasAct(in[0], in[1], at(b), at(r), relu, p)
			}
		}
		bad := []fn{
			func(g graph, in vals) value {
				return ad.Conv2DBiasAct(in[0], in[1], zeros(g, 3), nil, relu, p)
			},
			func(g graph, in vals) value {
				return ad.Conv2DBiasAct(in[0], in[1], nil, zeros(g, 2, oh, ow, 3), relu, p)
			},
			func(g graph, in vals) value {
				return ad.Conv2DBiasAct(in[0], in[1], f32(g, 4), nil, relu, p)
			},
			func(g graph, in vals) value {
				return ad.Conv2DBiasAct(in[0], zeros(g, 4, 3, 2, 5), nil, nil, relu, p)
			},
		}
		for _, s := range []sample{{f: conv(0, 0), in: []input{x, w}},
			{f: conv(2, 0), in: []input{x, w, bias}}, {f: conv(0, 2), in: []input{x, w, res}},
			{f: conv(2, 3), in: []input{x, w, bias, res}}} {
			s.name, s.bad = "Conv2DBiasAct", bad
			list = append(list, s)
		}
	}
	act := func(bias func(g graph) value) fn {
		return func(g graph, in vals) value {
			return ad.Conv2DAct(in[0], in[1], bias(g), nil, ad.SiLUAct(), p)
		}
	}
	list = append(list, sample{name: "Conv2DAct", f: act(func(graph) value { return nil }),
		in: []input{x, w}, bad: []fn{act(func(g graph) value { return zeros(g, 3) })}})
	return list
}

func resampledSamples() []sample {
	w := []input{normal(1, 2, 3, 2, 2)}
	flat := func(f func(value) value) fn {
		return func(g graph, _ vals) value { return f(zeros(g, 3, 3, 2)) }
	}
	return []sample{
		{name: "PooledFilter", f: one(ad.PooledFilter), in: w, bad: []fn{flat(ad.PooledFilter)}},
		{name: "UpsampledFilter", f: one(ad.UpsampledFilter), in: w,
			bad: []fn{flat(ad.UpsampledFilter)}},
	}
}

func poolSamples() []sample {
	p := tensor.PoolParams{KH: 3, KW: 2, StrideH: 2, StrideW: 1,
		PadTop: 1, PadRight: 1, CountPad: true}
	q := p
	q.CeilMode, q.CountPad, q.PadBottom = true, false, 1
	image := []input{distinct(2, 5, 4, 2)}
	noImage := func(f func(value) value) fn {
		return func(g graph, _ vals) value { return f(zeros(g, 3, 3)) }
	}
	var list []sample
	for _, p := range []tensor.PoolParams{p, q} {
		oh, ow := p.Out(5, 4)
		over := p
		over.KH = 50
		padded := p
		padded.PadTop = p.KH
		back := func(y value) value { return ad.AvgPoolGrad(y, 5, 4, p) }
		pool := func(name string, f func(value, tensor.PoolParams) value) sample {
			return sample{name: name, f: one(with(f, p)), in: image,
				bad: []fn{noImage(with(f, p)), one(with(f, over)), one(with(f, padded)),
					func(g graph, _ vals) value { return f(zeros(g, 1, 0, 4, 1), p) },
					func(g graph, _ vals) value { return f(zeros(g, 1, 5, 0, 1), q) },
					one(with(f, tensor.PoolParams{KH: 1, KW: 1})),
					one(with(f, tensor.PoolParams{KH: 1, KW: 1, StrideH: 1, StrideW: 1 << 40}))}}
		}
		list = append(list, pool("MaxPool", ad.MaxPool), pool("AvgPool", ad.AvgPool),
			sample{name: "AvgPoolGrad", f: one(back), in: []input{normal(1, 2, oh, ow, 2)},
				bad: []fn{noImage(back),
					one(func(y value) value { return ad.AvgPoolGrad(y, 50, 4, p) })}})
	}
	up, down := with(ad.Upsample, 2), with(ad.UpsampleGrad, 2)
	return append(list,
		sample{name: "Upsample", f: one(up), in: []input{normal(1, 2, 2, 3, 2)},
			bad: []fn{noImage(up), one(with(ad.Upsample, 0))}},
		sample{name: "UpsampleGrad", f: one(down), in: []input{normal(1, 2, 4, 6, 2)},
			bad: []fn{noImage(down), one(with(ad.UpsampleGrad, 4))}},
		sample{name: "GlobalAvgPool", f: one(ad.GlobalAvgPool), in: image,
			bad: []fn{noImage(ad.GlobalAvgPool)}},
		sample{name: "GlobalSumPool", f: one(ad.GlobalSumPool), in: image,
			bad: []fn{noImage(ad.GlobalSumPool)}})
}
