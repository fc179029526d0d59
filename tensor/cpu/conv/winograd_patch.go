package conv

import "afterimage/tensor/cpu/gemm/micro"

// The map reads a patch sixteen channels at a time, from up to six rows of the image. Rows of up to
// edgeRow floats are read in place by all patches; where rows are longer a patch that has to be
// filled up with zeros is copied first, which is the faster way to bring it into the first-level
// cache.
const edgeRow = 512

// A patcher maps square patches of some channels of images [h w c], zero outside the images.
type patcher struct {
	v micro.Variant
	lineMap
	h, w, c int
	x       []float32
	c0, c1  int       // channels wanted
	linear  bool      // every patch is copied first
	patch   []float32 // scratch memory for a patch
	tmp     []float32 // and for the map
}

// mapTo maps the patch of image n whose first pixel is (y, x) to vectors plane elements apart.
func (f *patcher) mapTo(dst []float32, plane, n, y, x int) {
	size := f.inN
	in := frame{max(0, -y), min(size, f.h-y), max(0, -x), min(size, f.w-x)}
	at, row, pix, src := ((n*f.h+y)*f.w+x)*f.c+f.c0, f.w*f.c, f.c, f.x
	inside := in == frame{0, size, 0, size}
	if f.linear || !inside && (f.v != micro.AVX512 || row > edgeRow) {
		src, at, row, pix, inside = f.copied(n, y, x, in), 0, size*(f.c1-f.c0), f.c1-f.c0, true
	}
	for c := 0; c < f.c1-f.c0; c += 16 {
		if lanes := min(16, f.c1-f.c0-c); inside {
			f.apply(f.v, dst[c:], 6*plane, plane, src[at+c:], row, pix, lanes, f.tmp)
		} else {
			f.applyEdge(dst[c:], 6*plane, plane, src, at+c, row, pix, lanes, in, f.tmp)
		}
	}
}

// copied returns the patch whole, with zeros outside its frame, [size size c1-c0].
func (f *patcher) copied(n, y, x int, in frame) []float32 {
	image := f.x[n*f.h*f.w*f.c:][:f.h*f.w*f.c]
	pix, size := f.c1-f.c0, f.inN
	for i := range size {
		d := f.patch[i*size*pix:][:size*pix]
		if i < in.top || i >= in.bottom || in.left >= in.right {
			clear(d)
			continue
		}
		clear(d[:in.left*pix])
		clear(d[in.right*pix:])
		src := image[((y+i)*f.w+x+in.left)*f.c+f.c0:]
		if pix == f.c {
			copy(d[in.left*pix:in.right*pix], src)
			continue
		}
		for j := range in.right - in.left {
			copy(d[(in.left+j)*pix:][:pix], src[j*f.c:])
		}
	}
	return f.patch
}

// prefetch asks for the four rows from row y on, four pixels wide: what the patch below a patch
// adds to it.
func (f *patcher) prefetch(n, y, x int) {
	at := ((n*f.h+y)*f.w+x)*f.c + f.c0
	if at >= 0 && at < len(f.x) {
		micro.Prefetch(f.v, f.x[at:], f.w*f.c, 4, 4*f.c)
	}
}
