package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// M is a mask, one truth for each lane: a mask register, or for AVX2 a vector register with all
// bits of a lane alike.
type M = reg.Register

// cmp is the mask of the lanes where x∘y holds.
func (g *gen) cmp(pred uint8, x, y V) M {
	if g.avx2 {
		d := g.vec()
		g.VCMPPS(operand.U8(pred), y, x, d)
		return d
	}
	k := g.K()
	g.VCMPPS(operand.U8(pred), y, x, k)
	return k
}

// both is the mask of the lanes where j and k hold; it may take j's place.
func (g *gen) both(j, k M) M {
	if g.avx2 {
		d := g.vec()
		g.VANDPS(k, j, d)
		return d
	}
	g.KANDW(k, j, j)
	return j
}

// cmpWhere is the mask of the lanes where j holds and x∘y.
func (g *gen) cmpWhere(j M, pred uint8, x, y V) M {
	if g.avx2 {
		return g.both(j, g.cmp(pred, x, y))
	}
	k := g.K()
	g.VCMPPS(operand.U8(pred), y, x, j, k)
	return k
}

// narrow leaves in j the lanes where x∘x holds as well.
func (g *gen) narrow(j M, pred uint8, x V) {
	if g.avx2 {
		g.VANDPS(g.cmp(pred, x, x), j, j)
		return
	}
	g.VCMPPS(operand.U8(pred), x, x, j, j)
}

// moveWhere copies x to y where k holds.
func (g *gen) moveWhere(k M, x, y V) {
	if g.avx2 {
		g.VBLENDVPS(k, x, y, y)
		return
	}
	g.VMOVAPS(x, k, y)
}

// pick is x where k holds and 0 elsewhere.
func (g *gen) pick(k M, x V) V {
	d := g.vec()
	if g.avx2 {
		g.VANDPS(k, x, d)
	} else {
		g.VMOVAPS_Z(x, k, d)
	}
	return d
}

// blend is x where k holds and y elsewhere.
func (g *gen) blend(k M, x, y V) V {
	if g.avx2 {
		d := g.vec()
		g.VBLENDVPS(k, x, y, d)
		return d
	}
	d := g.copy(y)
	g.VMOVAPS(x, k, d)
	return d
}

// mulWhere is x·y where k holds and x elsewhere.
func (g *gen) mulWhere(k M, x, y V) V {
	if g.avx2 {
		return g.blend(k, g.mul(x, y), x)
	}
	d := g.copy(x)
	g.VMULPS(y, x, k, d)
	return d
}

// fmaWhere is z + x·y where k holds and z elsewhere; it may take z's place.
func (g *gen) fmaWhere(k M, z, x, y V) V {
	if g.avx2 {
		return g.blend(k, g.fmaTo(z, x, y), z)
	}
	g.VFMADD231PS(x, y, k, z)
	return z
}

// A tail is the part of a vector at the end of a row.
type tail struct {
	*gen
	n reg.GPVirtual // lanes, fewer than a vector has
	k M             // AVX-512: its mask; AVX2 has no registers to keep one in
}

// newTail prepares the mask of the first n lanes.
func (g *gen) newTail(n reg.GPVirtual) tail {
	t := tail{gen: g, n: n}
	if !g.avx2 {
		ones, k := g.GP64(), g.K()
		g.MOVQ(operand.I32(-1), ones)
		g.BZHIQ(n, ones, ones)
		g.KMOVW(ones.As32(), k)
		t.k = k
	}
	return t
}

// mask returns the tail's mask.
func (t tail) mask() M {
	if !t.avx2 {
		return t.k
	}
	// Words 8-n to 15-n of the table are n of ones and the rest of zeros.
	at, n, d := t.GP64(), t.GP64(), t.vec()
	t.LEAQ(t.table.Offset(32), at)
	t.MOVQ(t.n, n)
	t.SHLQ(operand.U8(2), n)
	t.SUBQ(n, at)
	t.VMOVUPS(operand.Mem{Base: at}, d)
	return d
}

// loadMasked reads the lanes of k, all if it is nil, and leaves 0 in the others.
func (g *gen) loadMasked(m operand.Mem, k M) V {
	d := g.vec()
	switch {
	case k == nil:
		g.VMOVUPS(m, d)
	case g.avx2:
		g.VMASKMOVPS(m, k, d)
	default:
		g.VMOVUPS_Z(m, k, d)
	}
	return d
}

// storeMasked writes the lanes of k, all if it is nil.
func (g *gen) storeMasked(y V, m operand.Mem, k M) {
	switch {
	case k == nil:
		g.VMOVUPS(y, m)
	case g.avx2:
		g.VMASKMOVPS(y, k, m)
	default:
		g.VMOVUPS(y, k, m)
	}
}
