package micro

// A part is a piece of a tile that fits the registers of a variant with fewer or narrower ones than
// AVX-512. Elements of C are independent, so a tile's bits are the same however it is cut. Offsets
// are in bytes, from the operand's memory; the order of the fields is known to the assembly.
type part struct {
	a, b, c, bias int // the first elements: of A's and C's first row, of B's and C's first column
	skips         int // the values of Seg.Skip that concern the part, or'ed together
	lanes         int // columns in its last vector
}

// partRows returns how many rows the part from row r0 on takes, at most most >= 4: even parts where
// the rows are equally spaced, else parts that begin where a pointer register does.
func (g *Args) partRows(r0, most int) int {
	left := g.Rows - r0
	if left <= most {
		return left
	}
	if g.GroupA != 4*g.RowA || g.GroupC != 4*g.RowC {
		return 4
	}
	parts := (left + most - 1) / most
	return (left + parts - 1) / parts
}

// place points p at rows r0..r0+rows-1 and at columns from j on.
func (g *Args) place(p *part, r0, rows, j int) {
	p.a = 4 * (g.AOff + g.rowOfA(r0))
	p.b = 4 * (g.BOff + j)
	p.c = 4 * (g.COff + g.rowOfC(r0) + j)
	p.bias = 4 * j
	p.skips = 0
	if r0 == 0 {
		p.skips |= SkipFirst
	}
	if r0+rows == g.Rows {
		p.skips |= SkipLast
	}
}
