package conv

import (
	"fmt"

	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// A machine with AVX512_BF16 multiplies twice as many bfloat16s as float32s in the same time. Its
// instruction takes pairs of neighbours along the sum and adds both products in float32 (package
// micro). So a convolution in bfloat16 is the direct convolution of this package on pairs: the
// same tiles, taps, padding and epilogues with half the length of the sum. What is summed over
// decides what is paired:
//
//	forward          input channels c and c+1, neighbours in x and in w
//	input gradient   output channels o and o+1, neighbours in dy and a filter apart in w
//	weight gradient  images n and n+1 at the same pixel, an image apart in x and in dy
//
// Up to sixteen channels produced are one vector of columns, for which a tile loads an element of
// its input for every product. There three taps in a row of a filter share what is loaded, where
// their pixels are neighbours (micro.MulTaps).
//
// Of an odd number of images the last has zeros beside it; an odd number of channels has no form
// here. Operands are rounded to nearest even, piece by piece, right before an item of work reads
// them from the cache: a rounded copy of a whole tensor would go through memory once more. With
// operands a, b and n products in a sum,
//
//	|got − exact| ≤ (2⁻⁷ + 2⁻¹⁶ + n·2⁻²⁴) · sum of |a||b|
//
// element by element. NaN and infinities propagate as in the direct functions, and finite numbers
// beyond 3.39e38 round to infinity.

// Limits of the shapes that bfloat16 is used for; see Shape.BF16.
const (
	bf16Sum  = 16 // channels summed over, at least
	bf16Made = 8  // channels produced, at least: of 16 lanes
)

// BF16 reports whether direction d has a form in bfloat16 that is faster than float32's direct one:
// one group; at least 16 channels to sum over, an even number, and 8 to produce; for the gradient
// of the weights at least 16 channels on both sides and two images. First and last layers, with
// their few channels, and depthwise filters stay in float32. The answer depends on nothing but the
// shape, and but for the weights' gradient not on the number of images.
func (s Shape) BF16(d Direction) bool {
	sum, made := s.C, s.O
	switch d {
	case DirInputGrad:
		sum, made = s.O, s.C
	case DirWeightGrad:
		return s.Groups == 1 && min(s.C, s.O) >= bf16Sum && s.N > 1
	}
	return s.Groups == 1 && sum%2 == 0 && sum >= bf16Sum && made >= bf16Made
}

// Limits of the shapes that Winograd's form is used for beside bfloat16, found by BenchmarkBF16:
// its maps cost too much below, mapped weights too much memory above. The weights' gradient gains
// less from it, and bfloat16 less on a single vector of columns.
const (
	winogradOverBF16From = 64
	winogradOverBF16To   = 256
	winogradOverBF16DW   = 32
)

// WinogradBeatsBF16 reports, of a shape for which both Winograd and BF16 hold, whether Winograd's
// form, in float32, is the faster one: with 64 to 256 channels on both sides; for the gradient of
// the weights, up to 32. The answer depends on nothing but the shape.
func (s Shape) WinogradBeatsBF16(d Direction) bool {
	least, most := min(s.C, s.O), max(s.C, s.O)
	if d == DirWeightGrad {
		return most <= winogradOverBF16DW
	}
	return least >= winogradOverBF16From && most <= winogradOverBF16To
}

// bf16Applies reports whether direction d can be computed in bfloat16.
func (s Shape) bf16Applies(d Direction) bool {
	switch d {
	case DirForward:
		return s.C/s.Groups%2 == 0
	case DirInputGrad:
		return s.O/s.Groups%2 == 0
	}
	return s.Groups == 1
}

// ForwardBF16 is Forward with x and w rounded to bfloat16, for an even number of channels in a
// group; bias, residual and y stay float32. It panics for other shapes, if gemm.HasBF16 is false,
// and as Forward does.
func (s Shape) ForwardBF16(p *par.Pool, y, x, w []float32, e Epilogue) {
	s.forwardBF16(bestBF16("ForwardBF16"), p, y, x, w, e)
}

func (s Shape) forwardBF16(v micro.Variant, p *par.Pool, y, x, w []float32, e Epilogue) {
	s.check("ForwardBF16", x, w, y)
	e.check("ForwardBF16", s.O, len(y))
	s.mustBF16("ForwardBF16", DirForward)
	if s.pointBF16(v) {
		gemm.SBGEMMThen(p, false, true, s.N*s.H*s.W, s.O, s.C, 1, x, s.C, w, s.C, 0, y, s.O,
			e.then(y, s.O))
		return
	}
	half := s
	half.C /= 2
	q := half.forwardPass(v, p, y, x, nil, e)
	// Rounded on the way to the panels: where these are kept, nothing is left to do.
	q.pack = func(dst []float32, width, group, o0, cols, tap int) {
		rows, row := p.Borrow(cols*q.k), 2*q.k
		micro.RoundRows(v, rows, q.k, w[((group*q.o+o0)*q.taps()+tap)*row:], q.taps()*row, cols, row)
		micro.TransposePanel(v, dst, width, rows, q.k, cols, q.k)
		p.Return(rows)
	}
	run([]*pass{q})
}

// InputGradBF16 is InputGrad with dy and w rounded to bfloat16, for an even number of output
// channels in a group; dx stays float32. It panics for other shapes, if gemm.HasBF16 is false, and
// as InputGrad does.
func (s Shape) InputGradBF16(p *par.Pool, dx, dy, w []float32, kept *par.Kept) {
	s.inputGradBF16(bestBF16("InputGradBF16"), p, dx, dy, w, kept)
}

func (s Shape) inputGradBF16(v micro.Variant, p *par.Pool, dx, dy, w []float32,
	kept *par.Kept) {
	s.check("InputGradBF16", dx, w, dy)
	s.mustBF16("InputGradBF16", DirInputGrad)
	if s.pointBF16(v) {
		kept.Direct()
		gemm.SBGEMM(p, false, false, s.N*s.H*s.W, s.C, s.O, 1, dy, s.O, w, s.C, 0, dx, s.C)
		return
	}
	half := s
	half.O /= 2
	if kept == nil { // in the order of memory: panels then have half as far to go
		paired, filter := p.Borrow(len(w)/2), len(w)/s.O
		p.Run(half.O, func(i int) {
			from := w[2*i*filter:]
			micro.Interleave(v, paired[i*filter:], 0, from, from[filter:], 0, 1, filter)
		})
		half.inputGradDirect(v, p, dx, dy, paired, nil)
		p.Return(paired)
		return
	}
	passes := half.inputGradPasses(v, p, dx, dy, nil, kept)
	for _, q := range passes {
		q.pack = s.pairGrad(q, w)
	}
	run(passes)
}

// pairGrad packs panels that are kept of the filter w for a phase of an input gradient: pairs of
// output channels, a filter apart.
func (s Shape) pairGrad(q *pass, w []float32,
) func(dst []float32, width, group, c0, cols, tap int) {
	filter := s.KH * s.KW * q.o // of one output channel
	return func(dst []float32, width, group, c0, cols, tap int) {
		kh, kw := q.rows.taps[tap/len(q.cols.taps)].k, q.cols.taps[tap%len(q.cols.taps)].k
		from := w[2*group*q.k*filter+(kh*s.KW+kw)*q.o+c0:]
		if cols < width {
			clear(dst[:q.k*width])
		}
		micro.Interleave(q.v, dst, width, from, from[filter:], 2*filter, q.k, cols)
	}
}

// A window is the part of a pass's input that an item reads: element i of the input is a[i-from].
// In float32 that is the input itself, in bfloat16 a rounded copy.
type window struct {
	a    []float32
	from int
}

// openWindow returns the input of output rows r0..r1-1 of passes that share it; perImage is as in
// item.
func openWindow(passes []*pass, perImage, r0, r1 int) window {
	q := passes[0]
	if !q.v.Pairs() {
		return window{a: q.in}
	}
	from, to := len(q.in), 0
	at := func(r, off int) int {
		row := max(0, min(q.rows.in, r%perImage*q.rows.step+off))
		return r/perImage*q.inImage + row*q.inRow
	}
	for _, r := range passes {
		if n := len(r.rows.taps); n > 0 {
			from = min(from, at(r0, r.rows.taps[0].off))
			to = max(to, at(r1-1, r.rows.taps[n-1].off+1))
		}
	}
	if from >= to {
		return window{} // all taps lie outside
	}
	size := to - from
	w := window{a: q.p.Borrow(size), from: from}
	micro.RoundRows(q.v, w.a, 0, q.in[2*from:2*to], 0, 1, 2*size)
	return w
}

// close gives a copy's memory back.
func (w window) close(q *pass) {
	if q.v.Pairs() {
		q.p.Return(w.a)
	}
}

// bestBF16 returns the variant of this machine.
func bestBF16(op string) micro.Variant {
	v, ok := micro.BestBF16()
	if !ok {
		panic("conv: " + op + ": this machine or build has no AVX512_BF16: use the function in float32")
	}
	return v
}

func (s Shape) mustBF16(op string, d Direction) {
	if !s.bf16Applies(d) {
		panic(fmt.Sprintf("conv: %s: an odd sum, or groups, in bfloat16: %+v", op, s))
	}
}

// pointBF16 is point for a variant in bfloat16.
func (s Shape) pointBF16(v micro.Variant) bool {
	best, ok := micro.BestBF16()
	return ok && v == best && s.point(micro.Best())
}
