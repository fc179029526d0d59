package autodiff_test

import ad "afterimage/autodiff"

const bnEps = 1e-2 // large enough that a forgotten eps shows

func batchNorm(x, gamma, beta value) value {
	y, _ := ad.BatchNorm(x, gamma, beta, bnEps)
	return y
}

func batchNormReLU(x, gamma, beta, res value) value {
	y, _ := ad.BatchNormReLU(x, gamma, beta, res, bnEps)
	return y
}

// normFunc adapts a normalisation to three or four inputs.
func normFunc(f func(x, a, b, res value) value) fn {
	return func(_ graph, in []value) value {
		if len(in) == 4 {
			return f(in[0], in[1], in[2], in[3])
		}
		return f(in[0], in[1], in[2], nil)
	}
}

// normInputs are x, scale, shift and perhaps res, shared by the batch or one row for each sample.
func normInputs(rank2, perSample, res bool) []input {
	shape, s := []int{3, 2, 2, 2}, []int{2}
	if rank2 {
		shape = []int{5, 2}
	}
	if perSample {
		s = []int{shape[0], 2}
	}
	in := []input{normal(1, shape...), offZero(2, s...), normal(3, s...)}
	if res {
		in = append(in, normal(4, shape...))
	}
	return in
}

func normSamples() []sample {
	scale := func(x, a, b, res value) value { return ad.ScaleShift(x, a, b, res, false) }
	scaleReLU := func(x, a, b, res value) value { return ad.ScaleShift(x, a, b, res, true) }
	plain := func(x, a, b, _ value) value { return batchNorm(x, a, b) }
	var list []sample
	for variant := range 8 {
		rank2, perSample, res := variant&1 == 1, variant&2 == 2, variant&4 == 4
		add := func(name string, f func(x, a, b, res value) value) {
			bad := []fn{
				func(g graph, in vals) value { return f(in[0], zeros(g, 7), zeros(g, 7), nil) },
				func(g graph, in vals) value { return f(in[0], in[1], zeros(g, 1), nil) },
				func(g graph, in vals) value {
					return f(zeros(g, 2), zeros(g, 2), zeros(g, 2), nil)
				},
				func(g graph, in vals) value {
					return f(in[0], in[1], f32(g, in[2].Shape()...), nil)
				}}
			if name != "BatchNorm" {
				bad = append(bad, func(g graph, in vals) value {
					return f(in[0], in[1], in[2], zeros(g, 7))
				})
			}
			list = append(list, sample{name: name, f: normFunc(f),
				in: normInputs(rank2, perSample, res), bad: bad})
		}
		if !res {
			add("BatchNorm", plain)
		}
		add("BatchNormReLU", batchNormReLU)
		add("ScaleShift", scale)
		add("ScaleShift", scaleReLU)
	}
	for _, perSample := range []bool{false, true} {
		f := func(x, a, b value, k int) value {
			y, _ := ad.BatchNormReLUUpsample(x, a, b, bnEps, k)
			return y
		}
		list = append(list, sample{name: "BatchNormReLUUpsample",
			f:  func(_ graph, in vals) value { return f(in[0], in[1], in[2], 2) },
			in: normInputs(false, perSample, false), bad: []fn{
				func(g graph, in vals) value { return f(in[0], in[1], in[2], 0) },
				func(g graph, in vals) value { return f(in[0], zeros(g, 7), zeros(g, 7), 2) },
				func(g graph, in vals) value { return f(zeros(g, 2, 2), zeros(g, 2), zeros(g, 2), 2) },
				func(g graph, in vals) value {
					return f(in[0], in[1], f32(g, in[2].Shape()...), 2)
				}}})
	}
	return list
}

func layerNormSamples() []sample {
	f := func(_ graph, in vals) value {
		if len(in) == 3 {
			return ad.LayerNorm(in[0], in[1], in[2], bnEps)
		}
		return ad.LayerNorm(in[0], in[1], nil, bnEps)
	}
	bad := []fn{
		func(_ graph, in vals) value { return ad.LayerNorm(in[0], in[1], nil, -1) },
		func(g graph, in vals) value { return ad.LayerNorm(zeros(g), in[1], nil, 1) },
		func(g graph, in vals) value { return ad.LayerNorm(in[0], zeros(g, 3), nil, 1) },
		func(g graph, in vals) value { return ad.LayerNorm(in[0], in[1], zeros(g, 2, 4), 1) },
		func(g graph, in vals) value { return ad.LayerNorm(in[0], f32(g, 4), nil, 1) }}
	x, gamma, beta := normal(1, 2, 3, 4), offZero(2, 4), normal(3, 4)
	return []sample{
		{name: "LayerNorm", f: f, in: []input{x, gamma, beta}, bad: bad},
		{name: "LayerNorm", f: f, in: []input{x, gamma}, bad: bad},
		{name: "LayerNorm", f: f, in: []input{normal(4, 4), gamma, beta}, bad: bad},
	}
}
