package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A stream is one operand of a row loop.
type stream struct {
	name string
	mode mode
	step int    // rows by which the pointer moves after each row: 0 for a per-channel vector
	elem string // type of the elements if not float32; it too has 32 bits
}

// elemSize is an element's size in bytes.
const elemSize = 4

type mode int

const (
	read mode = iota
	write
	update // read, then written
)

func in(name string) stream     { return stream{name: name, mode: read, step: 1} }
func out(name string) stream    { return stream{name: name, mode: write, step: 1} }
func inout(name string) stream  { return stream{name: name, mode: update, step: 1} }
func vector(name string) stream { return stream{name: name, mode: read, step: 0} }

// A kernel is an element-wise function over a [rows, cols] matrix.
type kernel struct {
	name    string // of the assembly function, without its suffix
	doc     string
	streams []stream
	scalars []string // names, followed by a type if it is not float32
	// prepare runs before the loop, with the scalars in registers. The function it returns
	// emits one step: from the streams read, in order, to those written, in order.
	prepare func(g *gen, s []V) func(x []V) []V
	// overlap is how many vectors AVX-512 works on at a time, if more than one; see overlap.go.
	overlap int
}

func (k kernel) signature() string {
	var b strings.Builder
	b.WriteString("func(")
	for _, s := range k.streams {
		t := s.elem
		if t == "" {
			t = "float32"
		}
		fmt.Fprintf(&b, "%s *%s, ", s.name, t)
	}
	for _, s := range k.scalars {
		if !strings.Contains(s, " ") {
			s += " float32"
		}
		fmt.Fprintf(&b, "%s, ", s)
	}
	b.WriteString("rows int, cols int")
	if k.streaming() {
		b.WriteString(", nt bool")
	}
	b.WriteString(")")
	return b.String()
}

// streaming says whether the kernel has a second loop with non-temporal stores: where it writes
// exactly one array that it does not read.
func (k kernel) streaming() bool {
	n := 0
	for _, s := range k.streams {
		if s.elem != "" || s.mode == update {
			return false
		}
		if s.mode == write {
			n++
		}
	}
	return n == 1
}

// A loop is the state of a row loop while it is being emitted.
type loop struct {
	*gen
	k    kernel
	ptr  []reg.GPVirtual
	i    reg.GPVirtual // column, in elements
	disp int           // bytes from there to the vector that a step is for
	body func(x []V) []V
}

// rowLoop emits: for each row, whole vectors, then the rest under a mask. Non-temporal stores are
// weakly ordered: a fence makes them visible to whoever is told of them next.
func (g *gen) rowLoop(k kernel) {
	defer func() { g.held, g.again = nil, nil }()
	g.again = map[V]func() V{}
	g.function(k.name + g.suffix())
	g.Doc(k.name + g.suffix() + " computes " + k.doc)
	g.SignatureExpr(k.signature())
	l := &loop{gen: g, k: k, i: g.GP64()}
	for _, s := range k.streams {
		l.ptr = append(l.ptr, g.pointer(s.name))
	}
	l.body = l.prepare()
	rows, cols := g.pointer("rows"), g.pointer("cols")
	full, rest := g.split(cols)
	end := g.newTail(rest)

	g.Label("row")
	g.XORQ(l.i, l.i)
	l.onStream(func() { g.JNZ(operand.LabelRef("stream")) })
	l.whole("loop", full, false)
	g.Label("tail")
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("next"))
	l.step(end.mask(), false)
	g.Label("next")
	l.advance(cols)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef("row"))
	l.onStream(func() {
		g.JZ(operand.LabelRef("done"))
		g.SFENCE()
		g.Label("done")
	})
	g.VZEROUPPER()
	g.RET()
	if k.streaming() {
		g.Label("stream")
		l.whole("streamLoop", full, true)
		g.JMP(operand.LabelRef("tail"))
	}
}

// keptScalars is how many scalars AVX2 keeps in its sixteen registers; more are read again in each
// step.
const keptScalars = 4

// prepare returns what emits one step.
func (l *loop) prepare() func(x []V) []V {
	if !l.avx2 || len(l.k.scalars) <= keptScalars {
		return l.k.prepare(l.gen, l.scalars())
	}
	return func(x []V) []V { return l.k.prepare(l.gen, l.scalars())(x) }
}

// scalars loads the kernel's scalars.
func (l *loop) scalars() []V {
	var s []V
	for _, name := range l.k.scalars {
		name, _, _ := strings.Cut(name, " ")
		s = append(s, l.scalar(name))
	}
	return s
}

// onStream emits a test of the argument nt, if the kernel has one, and what depends on it.
func (l *loop) onStream(then func()) {
	if !l.k.streaming() {
		return
	}
	nt := l.Load(l.Param("nt"), l.GP8())
	l.TESTB(nt, nt)
	then()
}

// whole emits the loop over whole vectors, which ends at the label tail.
func (l *loop) whole(label string, full reg.GPVirtual, nt bool) {
	if n := l.vectors(); n > 1 {
		l.overlapped(n, label, full, nt)
	}
	l.CMPQ(l.i, full)
	l.JGE(operand.LabelRef("tail"))
	l.top(label)
	l.step(nil, nt)
	l.ADDQ(operand.I8(l.lanes()), l.i)
	l.CMPQ(l.i, full)
	l.JLT(operand.LabelRef(label))
}

// advance moves the streams to the next row.
func (l *loop) advance(cols reg.GPVirtual) {
	for j, s := range l.k.streams {
		for range s.step {
			l.LEAQ(operand.Mem{Base: l.ptr[j], Index: cols, Scale: elemSize}, l.ptr[j])
		}
	}
}

// step emits one vector of the loop: all lanes if mask is nil.
func (l *loop) step(mask M, nt bool) {
	var x []V
	for j, s := range l.k.streams {
		if s.mode != write {
			load := func() V { return l.loadMasked(l.at(j), mask) }
			v := load()
			l.again[v] = load
			x = append(x, v)
		}
	}
	y := l.body(x)
	for j, s := range l.k.streams {
		if s.mode != read {
			l.store(j, y[0], mask, nt)
			y = y[1:]
		}
	}
}

func (l *loop) at(j int) operand.Mem {
	return operand.Mem{Base: l.ptr[j], Disp: l.disp, Index: l.i, Scale: elemSize}
}

func (l *loop) store(j int, y V, mask M, nt bool) {
	if nt {
		l.VMOVNTPS(y, l.at(j))
		return
	}
	l.storeMasked(y, l.at(j), mask)
}
