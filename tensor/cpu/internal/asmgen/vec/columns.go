package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// groupRows is how many rows are added in float32 before the sum goes into the float64
// accumulators in memory: enough to hide their traffic, few enough to keep 20 bits at worst.
const groupRows = 16

// panel is how many vectors of a row are taken before the next row: 4 make a row of 64 channels
// (AVX2: 32) one piece, and memory is read strictly in order.
const panel = 4

// A columnSum adds up, per column, some functions of a few [rows, cols] matrices.
type columnSum struct {
	name    string
	doc     string
	accs    []string // float64 accumulators, one number per column
	streams []string // the matrices
	vectors []string // per-column operands
	weight  string   // a per-row operand, which takes the place of one below; none if empty
	late    int      // how many of these, the last ones, finish alone uses
	// row adds one row's elements x to the sums s, given the vectors v and a register of ones or of
	// the row's weight.
	row func(g *gen, s, x, v []V, one V)
	// finish turns the sums of a group into what is accumulated; nil leaves them.
	finish func(g *gen, s, v []V)
}

func columnSums() []columnSum {
	dot2 := func(masked bool) func(g *gen, s, x, v []V, one V) {
		return func(g *gen, s, x, v []V, _ V) {
			dy := x[0]
			if masked {
				dy = g.pick(g.cmp(gtOQ, g.fma(x[1], v[1], v[2]), g.zero()), dy)
			}
			g.VADDPS(dy, s[0], s[0])
			g.VFMADD231PS(g.sub(x[1], v[0]), dy, s[1])
		}
	}
	byRstd := func(g *gen, s, v []V) { g.VMULPS(v[len(v)-1], s[1], s[1]) }
	two := []string{"sumDy", "sumDyXhat"}
	return []columnSum{
		{name: "colSum", doc: "acc += Σ x.", accs: []string{"acc"}, streams: []string{"x"},
			row: func(g *gen, s, x, _ []V, _ V) { g.VADDPS(x[0], s[0], s[0]) }},
		{name: "colSumWeighted", doc: "acc[c] += Σ weight[r]·x[r,c].", accs: []string{"acc"},
			streams: []string{"x"}, weight: "weight",
			row: func(g *gen, s, x, _ []V, w V) { g.VFMADD231PS(x[0], w, s[0]) }},
		{name: "colMoments", doc: "sum += Σ (x - shift), sumSq += Σ (x - shift)².",
			accs: []string{"sum", "sumSq"}, streams: []string{"x"}, vectors: []string{"shift"},
			row: func(g *gen, s, x, v []V, one V) {
				u := g.sub(x[0], v[0])
				g.VFMADD231PS(one, u, s[0]) // s + u, on the units that are not busy with u
				g.VFMADD231PS(u, u, s[1])
			}},
		{name: "colDot2", doc: "sumDy += Σ dy, sumDyXhat += Σ dy·(x - mean)·rstd.", accs: two,
			streams: []string{"dy", "x"}, vectors: []string{"mean", "rstd"}, late: 1,
			row: dot2(false), finish: byRstd},
		{name: "colDot2ReLU",
			doc:  "what colDot2 does, with dy where x·scale + shift > 0 and 0 elsewhere.",
			accs: two, streams: []string{"dy", "x"},
			vectors: []string{"mean", "scale", "shift", "rstd"}, late: 1,
			row: dot2(true), finish: byRstd},
	}
}

// columnLoop emits three functions: for groups of groupRows rows, the same for rows of more than a
// panel, and for single rows.
func (g *gen) columnLoop(k columnSum) {
	g.columnGroups(k, fmt.Sprintf("%s%d", k.name, groupRows), groupRows, false)
	g.columnGroups(k, fmt.Sprintf("%s%dAhead", k.name, groupRows), groupRows, true)
	g.columnGroups(k, k.name+"1", 1, false)
}

func (k columnSum) signature() string {
	var b strings.Builder
	fmt.Fprintf(&b, "func(%s *float64, ", strings.Join(k.accs, ", "))
	all := append(append([]string{}, k.streams...), k.vectors...)
	if k.weight != "" {
		all = append(all, k.weight)
	}
	fmt.Fprintf(&b, "%s *float32, groups int, cols int)", strings.Join(all, ", "))
	return b.String()
}

// A columnState is a column loop while it is being emitted.
//
// Taking a panel from each of 16 rows jumps through memory if the rows are longer than the panel,
// and the hardware's prefetchers lose the thread: half the bandwidth and less. Such loops ask for
// the next group, from its beginning to its end, while they work on the present one (ahead), into
// the second-level cache. For rows of one panel that is slower than leaving it to the hardware.
type columnState struct {
	*gen
	k               columnSum
	rows            int
	acc, ptr, per   []reg.GPVirtual
	ahead           []reg.GPVirtual // where the next group is asked for; nil if it is not
	i               reg.GPVirtual   // column, in elements
	b1, b3          reg.GPVirtual   // 1 and 3 rows, in bytes
	mask, low, high M               // the tail's, and its halves for the accumulators
	one             V
	weight          reg.GPVirtual // of the group's first row; nil without weights
}

func (g *gen) columnGroups(k columnSum, name string, rows int, ahead bool) {
	g.function(name + g.suffix())
	g.Doc(fmt.Sprintf("%s%s computes %s Groups of %d rows.", name, g.suffix(), k.doc, rows))
	g.SignatureExpr(k.signature())
	l := g.newColumnState(k, rows)
	l.rowOffsets()
	if !g.avx2 {
		l.masks()
	}
	if ahead {
		for range l.ptr {
			l.ahead = append(l.ahead, g.GP64())
		}
	}

	g.Label("group")
	for j, p := range l.ahead {
		g.LEAQ(operand.Mem{Base: l.ptr[j], Index: l.b1, Scale: 8}, p)
		g.LEAQ(operand.Mem{Base: p, Index: l.b1, Scale: 8}, p)
	}
	g.XORQ(l.i, l.i)
	l.loop("panel", panel)
	l.loop("vector", 1)
	if g.avx2 {
		l.testRest()
		g.JZ(operand.LabelRef("next"))
		l.masks()
	} else {
		g.KTESTW(l.mask, l.mask)
		g.JZ(operand.LabelRef("next"))
	}
	l.columns(1, true)
	g.Label("next")
	l.nextGroup()
	g.DECQ(g.argument("groups"))
	g.JNZ(operand.LabelRef("group"))
	g.VZEROUPPER()
	g.RET()
}

// newColumnState loads the parameters that all column loops share.
func (g *gen) newColumnState(k columnSum, rows int) *columnState {
	l := &columnState{gen: g, k: k, rows: rows, i: g.GP64()}
	for _, s := range k.accs {
		l.acc = append(l.acc, g.pointer(s))
	}
	for _, s := range k.streams {
		l.ptr = append(l.ptr, g.pointer(s))
	}
	for _, s := range k.vectors {
		l.per = append(l.per, g.pointer(s))
	}
	if k.weight != "" {
		l.weight = g.pointer(k.weight)
	} else {
		l.one = g.reg(g.c(1))
	}
	return l
}

// loop emits a loop over n vectors of columns at a time, as long as they are whole.
func (l *columnState) loop(label string, n int) {
	end := l.GP64()
	l.Load(l.Param("cols"), end)
	l.ANDQ(operand.I8(-l.lanes()*n), end)
	l.CMPQ(l.i, end)
	l.JGE(operand.LabelRef(label + "Done"))
	l.top(label)
	l.columns(n, false)
	l.ADDQ(operand.I8(l.lanes()*n), l.i)
	l.CMPQ(l.i, end)
	l.JLT(operand.LabelRef(label))
	l.Label(label + "Done")
}

func (l *columnState) rowOffsets() {
	l.b1 = l.pointer("cols")
	l.SHLQ(operand.U8(2), l.b1)
	if l.rows == 1 {
		return
	}
	l.b3 = l.GP64()
	l.LEAQ(operand.Mem{Base: l.b1, Index: l.b1, Scale: 2}, l.b3)
}

// rest is the number of columns in the tail.
func (l *columnState) rest() reg.GPVirtual {
	n := l.pointer("cols")
	l.ANDQ(operand.I8(l.lanes()-1), n)
	return n
}

// testRest compares the number of columns in the tail with 0.
func (l *columnState) testRest() {
	n := l.rest()
	l.TESTQ(n, n)
}

// masks sets the tail's mask, empty for whole vectors, and its two halves for the accumulators.
// AVX2 keeps none through the loops and makes them where they are used.
func (l *columnState) masks() {
	l.mask = l.newTail(l.rest()).mask()
	if l.avx2 {
		low, high, upper := l.YMM(), l.YMM(), l.XMM()
		mask := l.mask.(V)
		l.VEXTRACTF128(operand.U8(1), mask, upper)
		l.VPMOVSXDQ(mask.AsX(), low)
		l.VPMOVSXDQ(upper, high)
		l.low, l.high = low, high
		return
	}
	low, high := l.K(), l.K()
	l.KMOVW(l.mask, low)
	l.KSHIFTRW(operand.U8(8), l.mask, high)
	l.low, l.high = low, high
}

// nextGroup moves the streams, which the column loop has left one row further.
func (l *columnState) nextGroup() {
	for _, p := range l.ptr {
		rest := l.rest()
		l.LEAQ(operand.Mem{Base: p, Index: rest, Scale: 4}, p)
		if l.rows > 1 { // 15 rows, after the one that the column loop has done
			for range (l.rows - 1) / 3 {
				l.ADDQ(l.b3, p)
			}
		}
	}
	if l.k.weight != "" {
		l.ADDQ(operand.I32(elemSize*l.rows), l.weight)
	}
}

// reach is how many rows one pointer addresses.
const reach = 4

// rowAt addresses row r < reach at the stream pointer p, disp bytes further.
func (l *columnState) rowAt(p reg.GPVirtual, r, disp int) operand.Mem {
	m := operand.Mem{Base: p, Disp: disp, Scale: 1}
	switch r {
	case 1, 2:
		m.Index, m.Scale = l.b1, uint8(r)
	case 3:
		m.Index = l.b3
	}
	return m
}

// load reads a vector of columns.
func (l *columnState) load(m operand.Mem, masked bool) V {
	if masked {
		return l.loadMasked(m, l.mask)
	}
	return l.loadMasked(m, nil)
}

// operands reads vector c of per-column operands.
func (l *columnState) operands(ptr []reg.GPVirtual, c int, masked bool) []V {
	var v []V
	for _, p := range ptr {
		m := operand.Mem{Base: p, Index: l.i, Scale: 4, Disp: l.bytes() * c}
		v = append(v, l.load(m, masked))
	}
	return v
}

// early lists the per-column operands that each row uses.
func (l *columnState) early() []reg.GPVirtual { return l.per[:len(l.per)-l.k.late] }

// rereads says whether rows read them anew, where AVX2's sixteen registers do not hold a panel of
// them beside the sums.
func (l *columnState) rereads() bool { return l.avx2 && len(l.early()) > 1 }

// columns emits n vectors of columns over all rows of the group.
func (l *columnState) columns(n int, masked bool) {
	v, s := make([][]V, n), make([][]V, n)
	for c := range n {
		if !l.rereads() {
			v[c] = l.operands(l.early(), c, masked)
		}
		for range l.acc {
			s[c] = append(s[c], l.zero())
		}
	}
	for r := range l.rows {
		if r > 0 && r%reach == 0 {
			for _, p := range l.ptr {
				l.LEAQ(operand.Mem{Base: p, Index: l.b1, Scale: reach}, p)
			}
		}
		one := l.one
		if l.k.weight != "" {
			one = l.reg(operand.Mem{Base: l.weight, Disp: elemSize * r})
		}
		for c := range n {
			var x []V
			for j, p := range l.ptr {
				if l.ahead != nil && n == panel {
					l.PREFETCHT1(operand.Mem{Base: l.ahead[j], Disp: l.bytes() * (r*n + c)})
				}
				x = append(x, l.load(l.rowAt(p, r%reach, l.bytes()*c), masked))
			}
			if l.rereads() {
				v[c] = l.operands(l.early(), c, masked)
			}
			l.k.row(l.gen, s[c], x, v[c], one)
		}
	}
	for c := range n {
		l.flush(c, s[c], v[c], masked)
	}
	l.nextColumns(n, masked)
}

// nextColumns moves the streams back to the first row of the group and n vectors on.
func (l *columnState) nextColumns(n int, masked bool) {
	for _, p := range l.ptr {
		for range (l.rows - 1) / reach * reach / 3 { // 12 rows as 4 times 3
			l.SUBQ(l.b3, p)
		}
		if !masked {
			l.ADDQ(operand.I32(l.bytes()*n), p)
		}
	}
	if n == panel {
		for _, p := range l.ahead {
			l.ADDQ(operand.I32(l.bytes()*n*l.rows), p)
		}
	}
}

// flush adds the sums of vector c of the columns to the accumulators.
func (l *columnState) flush(c int, s, v []V, masked bool) {
	v = append(v, l.operands(l.per[len(l.early()):], c, masked)...)
	if l.k.finish != nil {
		l.k.finish(l.gen, s, v)
	}
	for j, a := range l.acc {
		m := operand.Mem{Base: a, Index: l.i, Scale: 8, Disp: 2 * l.bytes() * c}
		lower, upper := l.halves(s[j])
		l.accumulate(m, lower, l.low, masked)
		m.Disp += l.bytes()
		l.accumulate(m, upper, l.high, masked)
	}
}

// halves returns the lower and the upper half of a register.
func (g *gen) halves(x V) (lower, upper reg.Register) {
	if g.avx2 {
		u := g.XMM()
		g.VEXTRACTF128(operand.U8(1), x, u)
		return x.AsX(), u
	}
	u := g.YMM()
	g.VEXTRACTF64X4(operand.U8(1), x, u)
	return x.AsY(), u
}

// accumulate adds half a register of sums to as many float64 numbers.
func (l *columnState) accumulate(m operand.Mem, s reg.Register, k M, masked bool) {
	wide := l.vec()
	l.VCVTPS2PD(s, wide)
	switch {
	case !masked:
		l.VADDPD(m, wide, wide)
		l.VMOVUPD(wide, m)
	case l.avx2:
		old := l.vec()
		l.VMASKMOVPD(m, k, old)
		l.VADDPD(wide, old, old)
		l.VMASKMOVPD(old, k, m)
	default:
		old := l.vec()
		l.VMOVUPD_Z(m, k, old)
		l.VADDPD(wide, old, old)
		l.VMOVUPD(old, k, m)
	}
}
