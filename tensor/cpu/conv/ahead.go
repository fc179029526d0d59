package conv

import "afterimage/tensor/cpu/gemm/micro"

// cacheLine is the number of floats in a cache line.
const cacheLine = 16

// An ahead is a list of memory that will be needed soon, to be taken line by line as
// micro.Args.Ahead.
type ahead struct {
	runs [2]aheadRun
	n    int
}

// An aheadRun is count pieces of lines cache lines each, stride floats apart. The first line of
// every piece is taken first, then the second of every piece, and so on.
type aheadRun struct {
	x                    []float32
	stride, count, lines int
	line, at             int // the next to be taken
}

// add appends channels c0..c0+n-1 of pixels from..to-1 of x, which has c channels.
func (a *ahead) add(x []float32, c, from, to, c0, n int) {
	if from >= to || n <= 0 {
		return
	}
	r := aheadRun{x: x[from*c+c0:], stride: c, count: to - from, lines: ceil(n, cacheLine)}
	if n == c {
		r.stride, r.count, r.lines = cacheLine, ceil(c*(to-from), cacheLine), 1
	}
	a.runs[a.n] = r
	a.n++
}

// take returns the start and the step of about the given number of lines, or none when all have
// been taken.
func (a *ahead) take(lines int) (x []float32, step int) {
	if a.n == 0 {
		return nil, 0
	}
	r := &a.runs[a.n-1]
	x, step = r.x[min(len(r.x), r.line*cacheLine+r.at*r.stride):], r.stride
	if r.at += lines; r.at >= r.count {
		r.at = 0
		if r.line++; r.line == r.lines {
			a.n--
		}
	}
	return x, step
}

// steps is the length of a tile's sum: how many lines it asks for.
func steps(segs []micro.Seg) int {
	n := 0
	for _, s := range segs {
		n += s.K
	}
	return n
}
