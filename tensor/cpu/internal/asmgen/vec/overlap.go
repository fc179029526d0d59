package main

import (
	"slices"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The result of a deep function comes some 50 cycles after the load of its vector, whose operations
// are through in 5 to 20 where they need not wait for each other. The processor fills the rest with
// vectors that come later, as far as it looks ahead: operations that wait take the places of those
// that could begin. In an overlapped loop there is less to wait for. Each turn works on several
// vectors, evenly staggered: when the first one of a turn is at its load, the others are in the
// middle of what the turn before has begun.

// overlapAVX2 is how many vectors AVX2's 16 registers hold at a time.
const overlapAVX2 = 2

// vectors returns how many vectors a turn works on.
func (l *loop) vectors() int {
	if l.avx2 {
		return min(l.k.overlap, overlapAVX2)
	}
	return l.k.overlap
}

// overlapped emits a loop of turns of n vectors. It leaves those that fill no turn.
func (l *loop) overlapped(n int, label string, full reg.GPVirtual, nt bool) {
	work := make([][]*ir.Instruction, n)
	for k := range work {
		l.disp = k * l.bytes()
		work[k] = settled(l.record(func() { l.step(nil, nt) }))
	}
	l.disp = 0
	turn, drain, rest := label+"Turn", label+"Drain", label+"Rest"
	step, last := operand.U32(n*l.lanes()), l.GP64()
	l.MOVQ(full, last)
	l.SUBQ(step, last)
	l.CMPQ(l.i, last)
	l.JG(operand.LabelRef(rest))
	l.weave(work, true, false)
	l.ADDQ(step, l.i)
	l.CMPQ(l.i, last)
	l.JG(operand.LabelRef(drain))
	l.top(turn)
	l.weave(work, true, true)
	l.ADDQ(step, l.i)
	l.CMPQ(l.i, last)
	l.JLE(operand.LabelRef(turn))
	l.Label(drain)
	l.weave(work, false, true)
	l.Label(rest)
}

// record returns the instructions that emit would add.
func (l *loop) record(emit func()) []*ir.Instruction {
	f, _ := l.Result()
	all := f.Functions()
	fn := all[len(all)-1]
	from := len(fn.Nodes)
	emit()
	var added []*ir.Instruction
	for _, n := range fn.Nodes[from:] {
		added = append(added, n.(*ir.Instruction))
	}
	fn.Nodes = fn.Nodes[:from:from]
	return added
}

// settled is a vector's work without the copies of what nothing needs afterwards: such a register
// is the result's itself. Single vectors leave that to the allocator and pruneSelfMoves; staggered
// ones have it so busy that it seldom succeeds.
func settled(work []*ir.Instruction) []*ir.Instruction {
	var done []*ir.Instruction
	for k, i := range work {
		later := work[k+1:]
		if isCopy(i) {
			from, to := i.Operands[0], i.Operands[1]
			own := slices.ContainsFunc(done, func(i *ir.Instruction) bool {
				return slices.Contains(i.Outputs, from)
			})
			needed := slices.ContainsFunc(later, func(i *ir.Instruction) bool {
				return slices.Contains(i.Operands, from)
			})
			if own && !needed {
				rename(later, to, from)
				continue
			}
		}
		done = append(done, i)
	}
	return done
}

// rename puts one register in the place of another.
func rename(is []*ir.Instruction, old, name operand.Op) {
	for _, i := range is {
		for _, ops := range [][]operand.Op{i.Operands, i.Inputs, i.Outputs} {
			for k := range ops {
				if ops[k] == old {
					ops[k] = name
				}
			}
		}
	}
}

// weave emits a turn: what it begins, what it ends of the turn before, or both.
func (l *loop) weave(work [][]*ir.Instruction, begin, end bool) {
	back := -len(work) * l.bytes()
	for t := range work[0] {
		for k, is := range work {
			at := t - k*len(is)/len(work)
			switch {
			case at >= 0 && begin:
				l.Instruction(l.moved(is[at], 0))
			case at < 0 && end:
				l.Instruction(l.moved(is[len(is)+at], back))
			}
		}
	}
}

// moved is a copy of an instruction whose streams are some bytes further on.
func (l *loop) moved(i *ir.Instruction, bytes int) *ir.Instruction {
	c := *i
	for _, ops := range []*[]operand.Op{&c.Operands, &c.Inputs, &c.Outputs} {
		*ops = slices.Clone(*ops)
		for k, op := range *ops {
			if m, ok := op.(operand.Mem); ok && m.Index == l.i {
				m.Disp += bytes
				(*ops)[k] = m
			}
		}
	}
	return &c
}
