package micro

// CacheLine is the number of floats in a cache line.
const CacheLine = 16

// A Lookahead is a list of memory that will be needed soon, to be handed to kernels piece by piece
// as Args.Ahead. The zero value is an empty list; what was added last is taken first.
type Lookahead struct {
	runs [4]lineRun
	n    int
}

// A lineRun is count pieces of lines cache lines each, stride floats apart. The first line of
// every piece is taken first, then the second of every piece, and so on.
type lineRun struct {
	x                    []float32
	stride, count, lines int
	line, at             int // the next to be taken
}

// Add appends rows of cols floats, stride apart from the start of x; there is room for four calls.
func (a *Lookahead) Add(x []float32, stride, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	r := lineRun{x: x, stride: stride, count: rows, lines: (cols + CacheLine - 1) / CacheLine}
	if cols == stride {
		r.stride, r.count, r.lines = CacheLine, (rows*cols+CacheLine-1)/CacheLine, 1
	}
	a.runs[a.n] = r
	a.n++
}

// Take returns the start and the step of about the given number of lines, or none when all have
// been taken.
func (a *Lookahead) Take(lines int) (x []float32, step int) {
	if a.n == 0 {
		return nil, 0
	}
	r := &a.runs[a.n-1]
	x, step = r.x[min(len(r.x), r.line*CacheLine+r.at*r.stride):], r.stride
	if r.at += lines; r.at >= r.count {
		r.at = 0
		if r.line++; r.line == r.lines {
			a.n--
		}
	}
	return x, step
}
