package conv

import (
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// Forward computes the convolution
//
//	y[n, oh, ow, o] = sum over kh, kw, c of
//	    x[n, oh*StrideH + kh*DilH - PadTop, ow*StrideW + kw*DilW - PadLeft, c] * w[o, kh, kw, c]
//
// for x [N H W C], w [O KH KW C/Groups] and y [N OutH OutW O], and then what e says; positions
// outside x count as zero. (Without the reversal of the filter: what the field calls convolution.)
//
// It panics if the shape is invalid or a slice has another number of elements than its shape.
func (s Shape) Forward(p *par.Pool, y, x, w []float32, e Epilogue) {
	s.forward(micro.Best(), p, y, x, w, e)
}

// Places reports whether Forward can write its result among other channels (Epilogue.Pitch), as
// ForwardWinograd always can.
func (s Shape) Places() bool { return !s.depthwise() && !s.planar(DirForward) }

// forwardKey and gradKey name the tables kept in the pool.
type (
	forwardKey struct{ Shape }
	gradKey    struct {
		Shape
		phaseH, phaseW int
	}
)

func (s Shape) forward(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) {
	s.checkForward("Forward", y, x, w, &e)
	switch {
	case s.depthwise():
		s.depthForward(p, y, x, w, e)
	case s.planar(DirForward):
		s.forwardPlanar(v, p, y, x, w, e)
	case s.point(v):
		s.pointForward(p, y, x, w, e)
	default:
		s.forwardDirect(v, p, y, x, w, e)
	}
}

// forwardDirect is Forward by the tile kernel, for any shape.
func (s Shape) forwardDirect(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) {
	run([]*pass{s.forwardPass(v, p, y, x, w, e)})
}

func (s Shape) forwardPass(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) *pass {
	k, taps, out := s.C/s.Groups, s.KH*s.KW, e.pitch(s.O)
	key := s
	key.N = 0 // the table is the same for any batch
	t := p.Memo(forwardKey{key}, func() any {
		return newTable(forwardAxis(s.H, s.OutH(), s.KH, s.StrideH, s.PadTop, s.DilH),
			forwardAxis(s.W, s.OutW(), s.KW, s.StrideW, s.PadLeft, s.DilW), s.W*s.C, s.C, k)
	}).(*table)
	q := &pass{v: v, p: p, table: t, in: x, out: y, n: s.N,
		inImage: s.H * s.W * s.C, inRow: s.W * s.C, inPix: s.C,
		outImage: s.OutH() * s.OutW() * out, outRow: s.OutW() * out, outPix: out,
		groups: s.Groups, k: k, o: s.O / s.Groups, end: e}
	q.pack = func(dst []float32, width, group, o0, cols, tap int) {
		micro.TransposePanel(v, dst, width, w[((group*q.o+o0)*taps+tap)*k:], taps*k, cols, k)
	}
	return q
}

// InputGrad computes the gradient of a convolution with respect to its input, the adjoint of
// Forward in x:
//
//	dx[n, h, w, c] = sum over kh, kw, o of dy[n, oh, ow, o] * w[o, kh, kw, c]
//	    where oh*StrideH + kh*DilH = h + PadTop and ow*StrideW + kw*DilW = w + PadLeft
//
// dx is overwritten; pixels that no output saw get zero. kept is where packed forms of w stay for
// calls with the same w; nil to make them anew. Shapes and panics are as in Forward. It is also
// what the field calls transposed convolution.
func (s Shape) InputGrad(p *par.Pool, dx, dy, w []float32, kept *par.Kept) {
	s.inputGrad(micro.Best(), p, dx, dy, w, kept)
}

// A gradPanelsKey finds the packed panels of a phase of an input gradient, for images of any number
// and size: what is packed are the taps of the phase, a set of the filter's rows and one of its
// columns.
type gradPanelsKey struct {
	v               micro.Variant
	rows, cols      uint64
	kw, k, o, group int
}

// set is the taps of the axis as bits, of which there are 64.
func (a *axis) set() (bits uint64) {
	for _, t := range a.taps {
		bits |= 1 << t.k
	}
	return bits
}

func (s Shape) inputGrad(v micro.Variant, p *par.Pool, dx, dy, w []float32, kept *par.Kept) {
	s.check("InputGrad", dx, w, dy)
	switch {
	case s.depthwise():
		s.depthInputGrad(p, dx, dy, w, kept)
	case s.planar(DirInputGrad):
		kept.Direct()
		s.inputGradPlanar(v, p, dx, dy, w)
	case s.point(v):
		kept.Direct()
		s.pointInputGrad(p, dx, dy, w)
	default:
		s.inputGradDirect(v, p, dx, dy, w, kept)
	}
}

// inputGradDirect is InputGrad by the tile kernel, for any shape.
func (s Shape) inputGradDirect(v micro.Variant, p *par.Pool, dx, dy, w []float32,
	kept *par.Kept) {
	run(s.inputGradPasses(v, p, dx, dy, w, kept))
}

// inputGradPasses are the phases. The sets of taps that name their packed panels have 64 bits.
func (s Shape) inputGradPasses(v micro.Variant, p *par.Pool, dx, dy, w []float32,
	kept *par.Kept) []*pass {
	if max(s.KH, s.KW) > 64 {
		kept.Direct()
		kept = nil
	}
	passes := make([]*pass, 0, s.StrideH*s.StrideW)
	for i := range s.StrideH {
		for j := range s.StrideW {
			q := s.inputGradPhase(v, p, dx, dy, w, i, j)
			q.end.Kept = kept
			q.key = gradPanelsKey{v, q.rows.set(), q.cols.set(), s.KW, q.k, q.o, q.groups}
			passes = append(passes, q)
		}
	}
	return passes
}

// inputGradPhase is the pass over the pixels of dx whose padded position is (i, j) modulo the
// strides.
func (s Shape) inputGradPhase(v micro.Variant, p *par.Pool, dx, dy, w []float32,
	i, j int) *pass {
	outH, outW := s.OutH(), s.OutW()
	k, c, taps := s.O/s.Groups, s.C/s.Groups, s.KH*s.KW
	key := s
	key.N = 0
	t := p.Memo(gradKey{key, i, j}, func() any {
		return newTable(gradAxis(s.H, outH, s.KH, s.StrideH, s.PadTop, s.DilH, i),
			gradAxis(s.W, outW, s.KW, s.StrideW, s.PadLeft, s.DilW, j), outW*s.O, s.O, k)
	}).(*table)
	q := &pass{v: v, p: p, table: t, in: dy, out: dx, n: s.N,
		inImage: outH * outW * s.O, inRow: outW * s.O, inPix: s.O,
		outImage: s.H * s.W * s.C, outRow: s.W * s.C, outPix: s.C,
		groups: s.Groups, k: k, o: c}
	q.pack = func(dst []float32, width, group, c0, cols, tap int) {
		kh, kw := t.rows.taps[tap/len(t.cols.taps)].k, t.cols.taps[tap%len(t.cols.taps)].k
		src := w[(group*k*taps+kh*s.KW+kw)*c+c0:]
		micro.Pack(v, dst, width, src, taps*c, k, cols)
	}
	return q
}
