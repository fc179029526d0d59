package main

import (
	"strings"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A block of a sum is 16 vectors in 4 accumulators of float32, so that a lane adds 16 numbers
// before it is widened to float64. Lanes are those of the instruction set.
const (
	blockVectors = 16
	blockAccs    = 4
)

// sum emits the function that returns the sum of n elements.
func (g *gen) sum() {
	g.reduction("sum", "Σ x.", []string{"x"}, func(x []V, acc V, _ M) { g.VADDPS(x[0], acc, acc) })
}

// dot emits the function that returns the sum of n products.
func (g *gen) dot() {
	g.reduction("dot", "Σ x·y.", []string{"x", "y"},
		func(x []V, acc V, _ M) { g.VFMADD231PS(x[0], x[1], acc) })
}

// A reduction is the loop of a sum while it is being emitted.
type reduction struct {
	*gen
	ptr   []reg.GPVirtual
	n     reg.GPVirtual
	total [2]V // half as many lanes of float64 each
	add   adder
}

// An adder takes a vector of each array into acc: the lanes of mask, if it is not nil; in the
// others the vectors are 0.
type adder = func(x []V, acc V, mask M)

// reduction emits the function that sums over the elements of a few arrays.
func (g *gen) reduction(name, doc string, arrays []string, add adder) {
	g.function(name + g.suffix())
	g.Doc(name + g.suffix() + " returns " + doc)
	g.SignatureExpr("func(" + strings.Join(arrays, ", ") + " *float32, n int) float64")
	r := &reduction{gen: g, add: add}
	for _, a := range arrays {
		r.ptr = append(r.ptr, g.pointer(a))
	}
	r.n = g.pointer("n")
	g.Store(r.loop(""), g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}

// loop emits the sum, with labels that begin with name, and returns it as the first float64 of a
// register. It moves the pointers and counts n down.
func (r *reduction) loop(name string) reg.VecVirtual {
	r.total = [2]V{r.zero(), r.zero()}
	label := func(s string) operand.LabelRef { return operand.LabelRef(name + s) }
	lanes := r.lanes()
	block := lanes * blockVectors
	r.CMPQ(r.n, operand.I32(block))
	r.JLT(label("vectors"))
	r.top(name + "block")
	r.block()
	r.advance(block)
	r.CMPQ(r.n, operand.I32(block))
	r.JGE(label("block"))
	r.Label(name + "vectors")
	r.CMPQ(r.n, operand.I8(lanes))
	r.JLT(label("tail"))
	r.top(name + "vector")
	r.one(nil)
	r.advance(lanes)
	r.CMPQ(r.n, operand.I8(lanes))
	r.JGE(label("vector"))
	r.Label(name + "tail")
	r.TESTQ(r.n, r.n)
	r.JZ(label("done"))
	r.one(r.newTail(r.n).mask())
	r.Label(name + "done")
	return r.sum64(r.total)
}

func (r *reduction) advance(by int) {
	for _, p := range r.ptr {
		r.ADDQ(operand.I32(4*by), p)
	}
	r.SUBQ(operand.I32(by), r.n)
}

// load reads vector v of each array, the lanes of mask or all.
func (r *reduction) load(v int, mask M) []V {
	var x []V
	for _, p := range r.ptr {
		x = append(x, r.loadMasked(operand.Mem{Base: p, Disp: r.bytes() * v}, mask))
	}
	return x
}

func (r *reduction) block() {
	var acc [blockAccs]V
	for j := range acc {
		acc[j] = r.zero()
	}
	for v := range blockVectors {
		r.add(r.load(v, nil), acc[v%blockAccs], nil)
	}
	r.widen(r.gen.add(r.gen.add(acc[0], acc[1]), r.gen.add(acc[2], acc[3])), r.total)
}

// one adds a single vector, all of it if mask is nil.
func (r *reduction) one(mask M) {
	acc := r.zero()
	r.add(r.load(0, mask), acc, mask)
	r.widen(acc, r.total)
}

// widen adds the lanes of float32 to 2 times half as many lanes of float64.
func (g *gen) widen(acc V, total [2]V) {
	lower, upper := g.halves(acc)
	lo, hi := g.vec(), g.vec()
	g.VCVTPS2PD(lower, lo)
	g.VCVTPS2PD(upper, hi)
	g.VADDPD(lo, total[0], total[0])
	g.VADDPD(hi, total[1], total[1])
}

// sum64 adds the lanes of float64 by halving.
func (g *gen) sum64(total [2]V) reg.VecVirtual {
	s := g.vec()
	g.VADDPD(total[1], total[0], s)
	y, x := s, g.XMM()
	if !g.avx2 {
		y = g.YMM()
		g.VEXTRACTF64X4(operand.U8(1), s, y)
		g.VADDPD(y, s.AsY(), y)
	}
	g.VEXTRACTF128(operand.U8(1), y, x)
	g.VADDPD(x, y.AsX(), x)
	odd := g.XMM()
	g.VPERMILPD(operand.U8(1), x, odd)
	g.VADDPD(odd, x, x)
	return x
}

// horizontal combines the lanes of m by halving and leaves the result in all of them.
func (g *gen) horizontal(m V, combine func(x, m V)) {
	if g.avx2 {
		t := g.vec()
		g.VPERM2F128(operand.U8(1), m, m, t) // 128-bit halves
		combine(t, m)
	} else {
		for _, swap := range []uint8{0x4e, 0xb1} { // 256-bit halves, then 128-bit quarters
			t := g.vec()
			g.VSHUFF32X4(operand.U8(swap), m, m, t)
			combine(t, m)
		}
	}
	for _, swap := range []uint8{0x4e, 0xb1} { // pairs, then neighbours
		t := g.vec()
		g.VPERMILPS(operand.U8(swap), m, t)
		combine(t, m)
	}
}

// addDoubles emits acc += x for n float64 numbers: what chunks of a sum come to is added up so.
func (g *gen) addDoubles() {
	name := "addDoubles" + g.suffix()
	g.function(name)
	g.Doc(name + " computes acc += x for whole vectors of float64.")
	g.SignatureExpr("func(acc, x *float64, n int)")
	acc, x, n, i := g.pointer("acc"), g.pointer("x"), g.pointer("n"), g.GP64()
	g.XORQ(i, i)
	g.top("loop")
	s := g.vec()
	g.VMOVUPD(operand.Mem{Base: acc, Index: i, Scale: 8}, s)
	g.VADDPD(operand.Mem{Base: x, Index: i, Scale: 8}, s, s)
	g.VMOVUPD(s, operand.Mem{Base: acc, Index: i, Scale: 8})
	g.ADDQ(operand.I8(g.lanes()/2), i)
	g.CMPQ(i, n)
	g.JLT(operand.LabelRef("loop"))
	g.VZEROUPPER()
	g.RET()
}
