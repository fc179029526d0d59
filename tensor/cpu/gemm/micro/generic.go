package micro

// mulGeneric is Mul in plain Go. A block of two rows and four columns has eight sums, which is as
// many as the compiler keeps in registers beside the pointers.
func mulGeneric(g *Args) {
	for r := 0; r < g.Rows; r += 2 {
		for j := 0; j < g.Cols; j += 4 {
			if r+2 <= g.Rows && j+4 <= g.Cols {
				genericBlock(g, r, j)
				continue
			}
			for i := r; i < min(r+2, g.Rows); i++ {
				for l := j; l < min(j+4, g.Cols); l++ {
					genericElement(g, i, l)
				}
			}
		}
	}
}

// active reports whether row r takes part in segment s.
func (g *Args) active(s *Seg, r int) bool {
	return !(s.Skip == SkipFirst && r == 0 || s.Skip == SkipLast && r == g.Rows-1)
}

// rowOfA is the offset of row r of A from the segment's start.
func (g *Args) rowOfA(r int) int { return r/4*g.GroupA + r%4*g.RowA }

// rowOfC is the offset of row r of C from COff.
func (g *Args) rowOfC(r int) int { return r/4*g.GroupC + r%4*g.RowC }

// genericElement computes one element of C.
func genericElement(g *Args, r, j int) {
	var sum float32
	for i := range g.Segs {
		s := &g.Segs[i]
		if !g.active(s, r) {
			continue
		}
		a, b := g.AOff+s.A+g.rowOfA(r), g.BOff+s.B+j
		for range s.K {
			sum += g.A[a] * g.B[b]
			a += g.StepA
			b += g.StepB
		}
	}
	g.storeGeneric(r, j, sum)
}

// genericBlock computes rows r and r+1 and columns j to j+3.
func genericBlock(g *Args, r, j int) {
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	for i := range g.Segs {
		s := &g.Segs[i]
		a0, a1 := g.AOff+s.A+g.rowOfA(r), g.AOff+s.A+g.rowOfA(r+1)
		b := g.BOff + s.B + j
		first, second := g.active(s, r), g.active(s, r+1)
		for range s.K {
			row := g.B[b : b+4 : b+4]
			if first {
				x := g.A[a0]
				c00 += x * row[0]
				c01 += x * row[1]
				c02 += x * row[2]
				c03 += x * row[3]
			}
			if second {
				x := g.A[a1]
				c10 += x * row[0]
				c11 += x * row[1]
				c12 += x * row[2]
				c13 += x * row[3]
			}
			a0 += g.StepA
			a1 += g.StepA
			b += g.StepB
		}
	}
	for l, sum := range [4]float32{c00, c01, c02, c03} {
		g.storeGeneric(r, j+l, sum)
	}
	for l, sum := range [4]float32{c10, c11, c12, c13} {
		g.storeGeneric(r+1, j+l, sum)
	}
}

// storeGeneric is the epilogue for one element.
func (g *Args) storeGeneric(r, j int, sum float32) {
	sum *= g.Alpha
	if len(g.Bias) > 0 {
		sum += g.Bias[j]
	}
	c := &g.C[g.COff+g.rowOfC(r)+j]
	if g.Beta != 0 {
		sum += g.Beta * *c
	}
	*c = sum
}

// peakGeneric is PeakLoop in plain Go: the rate of scalar multiply-adds.
func peakGeneric(n int) int {
	// c = c*a + b converges, so the numbers stay ordinary, and depends on itself, so that no
	// product can be shared.
	const a, b = float32(0.5), float32(0.25)
	var c0, c1, c2, c3, c4, c5, c6, c7 float32
	rounds := n/8 + 1
	for range rounds {
		c0 = c0*a + b
		c1 = c1*a + b
		c2 = c2*a + b
		c3 = c3*a + b
		c4 = c4*a + b
		c5 = c5*a + b
		c6 = c6*a + b
		c7 = c7*a + b
	}
	keep(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7)
	return 16 * rounds
}

// keep uses a value so that its computation is not removed.
//
//go:noinline
func keep(float32) {}
