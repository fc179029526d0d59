package ref

import "afterimage/tensor"

// The three convolution kernels share one loop nest over (n, i, j, u, v): output pixel (i, j) of
// image n meets input pixel (i·s−p+u·d, j·s−p+v·d) through tap (u, v). Each kernel moves what
// it computes through the same triple of slices: a pixel of x, a tap of w, a pixel of y.
// Taps that fall outside the image are skipped, so an infinite weight there does no harm.

// geometry holds the extents of one convolution, x [N H W C], w [O KH KW C/groups], y [N OH OW O].
type geometry struct {
	n, h, w, c, o, kh, kw, oh, ow int
	tensor.ConvParams
}

func newGeometry(x, w, y *tensor.Tensor, p tensor.ConvParams) geometry {
	return geometry{
		n: x.Dim(0), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), o: w.Dim(0), kh: w.Dim(1), kw: w.Dim(2),
		oh: y.Dim(1), ow: y.Dim(2), ConvParams: p,
	}
}

// eachTap calls f for every output pixel and every tap whose input pixel lies inside the image,
// with the element offsets of the x pixel, of tap (u, v) of output channel 0, and of the y pixel.
func (g geometry) eachTap(f func(x, w, y int)) {
	cg := g.c / g.Groups
	for n := range g.n {
		for i := range g.oh {
			for j := range g.ow {
				y := ((n*g.oh+i)*g.ow + j) * g.o
				for u := range g.kh {
					r := i*g.StrideH - g.PadTop + u*g.DilH
					if r < 0 || r >= g.h {
						continue
					}
					for v := range g.kw {
						s := j*g.StrideW - g.PadLeft + v*g.DilW
						if s < 0 || s >= g.w {
							continue
						}
						f(((n*g.h+r)*g.w+s)*g.c, (u*g.kw+v)*cg, y)
					}
				}
			}
		}
	}
}

// eachChannel calls f for every output channel: x is the offset of its group's channels in a
// pixel of x, w that of its filter.
func (g geometry) eachChannel(f func(o, x, w int)) {
	cg, og := g.c/g.Groups, g.o/g.Groups
	for o := range g.o {
		f(o, o/og*cg, o*g.kh*g.kw*cg)
	}
}

// Conv2D computes y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c]; outside x is zero.
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	switch y.DType() {
	case tensor.F32:
		convLoop[float32](y, x, w, p)
	case tensor.F64:
		convLoop[float64](y, x, w, p)
	case tensor.BF16:
		b.Conv2DBiasAct(y, x, w, nil, nil, false, p)
	default:
		panic(badDType("Conv2D", y, x, w))
	}
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res), one after the other.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool,
	p tensor.ConvParams) {
	if y.DType() == tensor.BF16 {
		b.inF32(func(f widening) {
			b.Conv2DBiasAct(f.out(y), f.in(x), f.in(w), bias, f.in(res), relu, p)
		})
		return
	}
	b.Conv2D(y, x, w, p)
	for _, t := range []*tensor.Tensor{bias, res} {
		if t != nil {
			b.Binary(tensor.Add, y, y, t)
		}
	}
	if relu {
		b.Unary(tensor.ReLU, tensor.Attr{}, y, y)
	}
}

// Conv2DChain computes y = s(z) or z·s(z), z = Conv2D(x, w) + bias + res; see tensor.ConvChainer.
func (b *Backend) Conv2DChain(y, x, w, bias, res *tensor.Tensor, p tensor.ConvParams, gate bool,
	steps ...tensor.UnaryStep) {
	b.Conv2DBiasAct(y, x, w, bias, res, false, p)
	b.UnaryChain(y, y, gate, steps...)
}

func convLoop[T tensor.Float](y, x, w *tensor.Tensor, p tensor.ConvParams) {
	g := newGeometry(x, w, y, p)
	xs, ws := tensor.Host[T](x), tensor.Host[T](w)
	acc := make([]float64, y.Size())
	cg := g.c / g.Groups
	g.eachTap(func(xo, wo, yo int) {
		g.eachChannel(func(o, xg, wf int) {
			px, tap := xs[xo+xg:][:cg], ws[wf+wo:][:cg]
			sum := 0.0
			for c, v := range px {
				sum += float64(v) * float64(tap[c])
			}
			acc[yo+o] += sum
		})
	})
	store(y, acc)
}

// Conv2DInputGrad computes dx[x pixel, c] = Σ dy[y pixel, o]·w[o, tap, c], the adjoint in x.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	switch dx.DType() {
	case tensor.F32:
		convInputGradLoop[float32](dx, dy, w, p)
	case tensor.F64:
		convInputGradLoop[float64](dx, dy, w, p)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Conv2DInputGrad(f.out(dx), f.in(dy), f.in(w), p) })
	default:
		panic(badDType("Conv2DInputGrad", dx, dy, w))
	}
}

func convInputGradLoop[T tensor.Float](dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	g := newGeometry(dx, w, dy, p)
	dys, ws := tensor.Host[T](dy), tensor.Host[T](w)
	acc := make([]float64, dx.Size())
	cg := g.c / g.Groups
	g.eachTap(func(xo, wo, yo int) {
		g.eachChannel(func(o, xg, wf int) {
			d := float64(dys[yo+o])
			px, tap := acc[xo+xg:][:cg], ws[wf+wo:][:cg]
			for c, v := range tap {
				px[c] += d * float64(v)
			}
		})
	})
	store(dx, acc)
}

// Conv2DWeightGrad computes dw[o, tap, c] = Σ dy[y pixel, o]·x[x pixel, c], the adjoint in w.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	switch x.DType() {
	case tensor.F32:
		convWeightGradLoop[float32](dw, x, dy, p)
	case tensor.F64:
		convWeightGradLoop[float64](dw, x, dy, p)
	case tensor.BF16:
		b.inF32(func(f widening) { b.Conv2DWeightGrad(f.out(dw), f.in(x), f.in(dy), p) })
	default:
		panic(badDType("Conv2DWeightGrad", dw, x, dy))
	}
}

func convWeightGradLoop[T tensor.Float](dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	g := newGeometry(x, dw, dy, p)
	xs, dys := tensor.Host[T](x), tensor.Host[T](dy)
	acc := make([]float64, dw.Size())
	cg := g.c / g.Groups
	g.eachTap(func(xo, wo, yo int) {
		g.eachChannel(func(o, xg, wf int) {
			d := float64(dys[yo+o])
			px, tap := xs[xo+xg:][:cg], acc[wf+wo:][:cg]
			for c, v := range px {
				tap[c] += d * float64(v)
			}
		})
	})
	store(dw, acc)
}

// store rounds float64 results to dst's dtype and writes them; to BF16 by way of F32.
func store(dst *tensor.Tensor, v []float64) {
	switch dst.DType() {
	case tensor.F64:
		copy(tensor.Host[float64](dst), v)
	case tensor.BF16:
		for i, d := 0, words[uint16](dst); i < len(v); i++ {
			d[i] = tensor.ToBF16(float32(v[i]))
		}
	default:
		for i, d := 0, tensor.Host[float32](dst); i < len(v); i++ {
			d[i] = float32(v[i])
		}
	}
}
