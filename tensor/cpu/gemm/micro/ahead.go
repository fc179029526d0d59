package micro

// CacheLine is the number of floats in a cache line.
const CacheLine = 16

// A Lookahead is a list of memory that will be needed soon, to be handed to kernels piece by piece
// as Args.Ahead. The zero value is an empty list; what was added last is taken first.
type Lookahead struct {
	runs [4]lineRun
	n    int
}

// A lineRun is count pieces of lines cache lines each, stride floats apart, and jump more where a
// segment of the sum ends. The first line of every piece is taken first, then the second of every
// piece, and so on.
type lineRun struct {
	x                          []float32
	stride, jump, count, lines int
	line, at                   int // the next to be taken
}

// Add appends rows of cols floats, stride apart from the start of x; there is room for four calls.
func (a *Lookahead) Add(x []float32, stride, rows, cols int) {
	if cols == stride { // one row
		stride, rows, cols = CacheLine, (rows*cols+CacheLine-1)/CacheLine, min(cols, CacheLine)
	}
	a.AddRuns(x, stride, 0, rows, cols)
}

// AddRuns is Add for rows in runs as long as the segments of the tiles that will take them, where
// from one run to the next it is jump floats more than from row to row.
func (a *Lookahead) AddRuns(x []float32, stride, jump, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	a.runs[a.n] = lineRun{x: x, stride: stride, jump: jump, count: rows,
		lines: (cols + CacheLine - 1) / CacheLine}
	a.n++
}

// Take returns the start, the step and the jump of about the given number of lines, or none when
// all have been taken.
func (a *Lookahead) Take(lines int) (x []float32, step, jump int) {
	if a.n == 0 {
		return nil, 0, 0
	}
	r := &a.runs[a.n-1]
	x, step, jump = r.x[min(len(r.x), r.line*CacheLine+r.at*r.stride):], r.stride, r.jump
	if r.at += lines; r.at >= r.count {
		r.at = 0
		if r.line++; r.line == r.lines {
			a.n--
		}
	}
	return x, step, jump
}
