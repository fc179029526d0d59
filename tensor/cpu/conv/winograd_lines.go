package conv

import (
	"unsafe"

	"afterimage/tensor/cpu/gemm/micro"
)

// A lineMap is one of the one-dimensional maps of F(4, 3): it takes in inN numbers and gives outN.
// Applied to the columns and then to the rows of a square it is the two-dimensional map L X Lᵀ.
//
// The plain Go functions below are the definition; the assembly does the same sixteen channels at
// a time, or eight with AVX2.
type lineMap struct {
	kind      mapKind
	inN, outN int
	line      func(in [6]float32) [6]float32
}

// A mapKind names a map to the assembly.
type mapKind int

const (
	inputKind mapKind = iota
	outputKind
	weightKind
	gradKind
	weightGradKind
)

// The five maps.
func inputMap() lineMap      { return lineMap{inputKind, 6, 6, inputLine} }
func outputMap() lineMap     { return lineMap{outputKind, 6, 4, outputLine} }
func weightMap() lineMap     { return lineMap{weightKind, 3, 6, weightLine} }
func gradMap() lineMap       { return lineMap{gradKind, 4, 6, gradLine} }
func weightGradMap() lineMap { return lineMap{weightGradKind, 6, 3, weightGradLine} }

// inputLine is Bᵀ x:
//
//	4  0 -5  0  1  0
//	0 -4 -4  1  1  0
//	0  4 -4 -1  1  0
//	0 -2 -1  2  1  0
//	0  2 -1 -2  1  0
//	0  4  0 -5  0  1
func inputLine(x [6]float32) [6]float32 {
	even, odd := x[4]-4*x[2], x[3]-4*x[1]
	even2, odd2 := x[4]-x[2], 2*(x[3]-x[1])
	return [6]float32{4*x[0] - 5*x[2] + x[4], even + odd, even - odd, even2 + odd2, even2 - odd2,
		4*x[1] - 5*x[3] + x[5]}
}

// outputLine is Aᵀ m:
//
//	1  1  1  1  1  0
//	0  1 -1  2 -2  0
//	0  1  1  4  4  0
//	0  1 -1  8 -8  1
func outputLine(m [6]float32) [6]float32 {
	s, d, s2, d2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [6]float32{m[0] + s + s2, d + 2*d2, s + 4*s2, d + m[5] + 8*d2}
}

// weightLine is G g:
//
//	 1/4    0     0
//	-1/6  -1/6  -1/6
//	-1/6   1/6  -1/6
//	1/24  1/12   1/6
//	1/24 -1/12   1/6
//	  0     0     1
func weightLine(g [6]float32) [6]float32 {
	s, e := g[0]+g[2], g[0]*(1./24)+g[2]*(1./6)
	return [6]float32{g[0] / 4, -(s + g[1]) * (1. / 6), (g[1] - s) * (1. / 6), e + g[1]*(1./12),
		e - g[1]*(1./12), g[2]}
}

// gradLine is A dy, the transpose of outputLine.
func gradLine(y [6]float32) [6]float32 {
	e, o, e2, o2 := y[0]+y[2], y[1]+y[3], y[0]+4*y[2], 2*y[1]+8*y[3]
	return [6]float32{y[0], e + o, e - o, e2 + o2, e2 - o2, y[3]}
}

// weightGradLine is Gᵀ du, the transpose of weightLine.
func weightGradLine(u [6]float32) [6]float32 {
	s, d, s2, d2 := u[1]+u[2], u[2]-u[1], u[3]+u[4], u[3]-u[4]
	return [6]float32{u[0]/4 - s*(1./6) + s2*(1./24), d*(1./6) + d2*(1./12), u[5] + (s2-s)*(1./6)}
}

// apply maps a square of vectors of lanes <= 16 channels. Strides, between the rows and columns of
// each square, are in elements; tmp has mapTmp elements.
func (l *lineMap) apply(v micro.Variant, dst []float32, rowDst, colDst int, src []float32, rowSrc,
	colSrc, lanes int, tmp []float32) {
	last := (l.outN-1)*(rowDst+colDst) + lanes
	dst, src = dst[:last], src[:(l.inN-1)*(rowSrc+colSrc)+lanes]
	switch v {
	case micro.AVX512:
		mapAVX512(l.kind, &dst[0], 4*rowDst, 4*colDst, &src[0], 4*rowSrc, 4*colSrc, &tmp[0],
			1<<lanes-1)
	case micro.AVX2:
		for c := 0; c < lanes; c += lanesAVX2 {
			mapAVX2(l.kind, &dst[c], 4*rowDst, 4*colDst, &src[c], 4*rowSrc, 4*colSrc, &tmp[0],
				min(lanesAVX2, lanes-c))
		}
	default:
		l.applyGeneric(dst, rowDst, colDst, src, rowSrc, colSrc, lanes)
	}
}

// A frame is the part of a square that lies in its image: rows top..bottom-1 and columns
// left..right-1.
type frame struct{ top, bottom, left, right int }

// applyEdge is apply, with AVX-512 and of the input or the gradient map, for a square whose first
// vector would lie at element at of src. What lies outside the frame is not read and counts as
// zeros; at may be negative.
func (l *lineMap) applyEdge(dst []float32, rowDst, colDst int, src []float32, at, rowSrc, colSrc,
	lanes int, in frame, tmp []float32) {
	dst = dst[:(l.outN-1)*(rowDst+colDst)+lanes]
	if in.top < in.bottom && in.left < in.right { // what is read exists
		_ = src[at+in.top*rowSrc+in.left*colSrc:][:(in.bottom-1-in.top)*rowSrc+
			(in.right-1-in.left)*colSrc+lanes]
	}
	var masks [1 + 6]uint16 // of the lanes, and of each row
	masks[0] = 1<<lanes - 1
	for i := in.top; i < in.bottom; i++ {
		masks[1+i] = masks[0]
	}
	cols := 0
	for j := in.left; j < in.right; j++ {
		cols |= 1 << j
	}
	edgeAVX512(l.kind, &dst[0], 4*rowDst, 4*colDst, unsafe.SliceData(src), 4*at, 4*rowSrc, 4*colSrc,
		&tmp[0], &masks[0], cols)
}

// lanesAVX2 is how many channels an AVX2 map takes at a time.
const lanesAVX2 = 8

// applyGeneric is apply in plain Go.
func (l *lineMap) applyGeneric(dst []float32, rowDst, colDst int, src []float32, rowSrc, colSrc,
	lanes int) {
	var t [6][6]float32
	for c := range lanes {
		for j := range l.inN {
			var x [6]float32
			for i := range l.inN {
				x[i] = src[i*rowSrc+j*colSrc+c]
			}
			x = l.line(x)
			for i := range l.outN {
				t[i][j] = x[i]
			}
		}
		for i := range l.outN {
			y := l.line(t[i])
			for j := range l.outN {
				dst[i*rowDst+j*colDst+c] = y[j]
			}
		}
	}
}

// applyThen is apply for outputs, to dst from element at on, and the epilogue but for the bias.
func (l *lineMap) applyThen(v micro.Variant, dst []float32, at, rowDst, colDst int, src []float32,
	rowSrc, colSrc, lanes int, tmp []float32, e *Epilogue) {
	if v != micro.AVX512 && v != micro.AVX2 || !e.late() || e.Then != nil ||
		e.Clamp != nil {
		l.apply(v, dst[at:], rowDst, colDst, src, rowSrc, colSrc, lanes, tmp)
		if !e.late() {
			return
		}
		for i := range l.outN {
			e.finish(dst, at+i*rowDst, lanes, l.outN, colDst)
		}
		return
	}
	last := at + (l.outN-1)*(rowDst+colDst) + lanes
	d, s := dst[at:last], src[:(l.inN-1)*(rowSrc+colSrc)+lanes]
	res := func(c int) *float32 {
		if e.Res == nil {
			return nil
		}
		return &e.Res[at:last][c]
	}
	floor, _ := e.bounds()
	if v == micro.AVX512 {
		outputActAVX512(&d[0], 4*rowDst, 4*colDst, &s[0], 4*rowSrc, 4*colSrc, &tmp[0], 1<<lanes-1,
			res(0), floor)
		return
	}
	for c := 0; c < lanes; c += lanesAVX2 {
		outputActAVX2(&d[c], 4*rowDst, 4*colDst, &s[c], 4*rowSrc, 4*colSrc, &tmp[0],
			min(lanesAVX2, lanes-c), res(c), floor)
	}
}

// mapTmp is the scratch memory of apply: six by six vectors.
const mapTmp = 36 * 16
