package conv

import (
	"slices"

	"afterimage/tensor/cpu/gemm/micro"
)

// An axis is one spatial dimension of a pass: output position j (of count, at start + j*stride in
// the output tensor) takes its inputs from positions j*step + off for each tap, where these lie in
// [0, in). Taps are in order of increasing off.
type axis struct {
	count, start, stride int
	in, step             int
	taps                 []tap
}

// A tap is one filter position along an axis.
type tap struct{ k, off int }

// forwardAxis is the axis of a forward convolution.
func forwardAxis(in, out, k, stride, pad, dil int) axis {
	a := axis{count: out, stride: 1, in: in, step: stride}
	for t := range k {
		a.taps = append(a.taps, tap{t, t*dil - pad})
	}
	return a
}

// gradAxis is one phase of the axis of an input gradient: the input positions i with
// (i + pad) mod stride = phase. Position i received from output o through tap k when
// i + pad = o*stride + k*dil.
func gradAxis(in, out, k, stride, pad, dil, phase int) axis {
	start := ((phase-pad)%stride + stride) % stride
	a := axis{start: start, stride: stride, in: out, step: 1}
	if start < in {
		a.count = (in-start-1)/stride + 1
	}
	for t := k - 1; t >= 0; t-- {
		if d := start + pad - t*dil; d%stride == 0 {
			a.taps = append(a.taps, tap{t, d / stride})
		}
	}
	return a
}

// valid returns the positions [lo, hi) of the axis at which a tap lies inside the input.
func (a *axis) valid(t tap) (lo, hi int) {
	lo, hi = 0, a.count
	if t.off < 0 {
		lo = (-t.off + a.step - 1) / a.step
	}
	if last := a.in - 1 - t.off; last < 0 {
		hi = 0
	} else {
		hi = min(hi, last/a.step+1)
	}
	return min(lo, a.count), max(hi, min(lo, a.count))
}

// A span is a run of positions that one tile covers.
type span struct{ from, n int }

// skip returns how a tap takes part in a span: use is false if it lies outside everywhere, and
// fits is false if no inner loop of the kernel leaves out exactly the positions outside.
func (a *axis) skip(t tap, s span) (rule int, use, fits bool) {
	lo, hi := a.valid(t)
	first, last := max(0, min(lo-s.from, s.n)), max(0, min(s.from+s.n-hi, s.n))
	switch {
	case first+last >= s.n:
		return 0, false, true
	case first == 0 && last == 0:
		return micro.SkipNone, true, true
	case first == 1 && last == 0:
		return micro.SkipFirst, true, true
	case first == 0 && last == 1:
		return micro.SkipLast, true, true
	}
	return 0, true, false
}

// spans cuts the axis into tiles of at most micro.MaxRows positions, as equal as the borders
// allow, in each of which every tap leaves out nothing, the first, the last, or everything. A
// single position always satisfies that.
func (a *axis) spans() []span {
	var out []span
	for from := 0; from < a.count; {
		left := a.count - from
		parts := (left + micro.MaxRows - 1) / micro.MaxRows
		n := (left + parts - 1) / parts
		for n > 1 && !a.fits(span{from, n}) {
			n--
		}
		out = append(out, span{from, n})
		from += n
	}
	return out
}

func (a *axis) fits(s span) bool {
	for _, t := range a.taps {
		if _, _, ok := a.skip(t, s); !ok {
			return false
		}
	}
	return true
}

// classes groups the positions by which taps lie inside: it returns each position's class and, for
// each class, the indices of its taps. The interior of an image is one class.
func (a *axis) classes() (of []int, taps [][]int) {
	for j := range a.count {
		var in []int
		for i, t := range a.taps {
			if lo, hi := a.valid(t); lo <= j && j < hi {
				in = append(in, i)
			}
		}
		c := slices.IndexFunc(taps, func(have []int) bool { return slices.Equal(have, in) })
		if c < 0 {
			c = len(taps)
			taps = append(taps, in)
		}
		of = append(of, c)
	}
	return of, taps
}

// A table holds what a pass derives from its axes: the tiles of a row, the class of each row, and
// for each class and tile the segments of the kernel, for panels of 16 and of 32 columns.
type table struct {
	rows, cols axis
	spans      []span
	class      []int
	segs       [2][][][]micro.Seg // [width/32][class][span]
	fused      [][][]micro.Seg    // [class][span], for panels of 16 columns, or nil; see fuse

	// Of tiles whose rows are images; see stack.go.
	colClass []int
	stack    [2][][][]micro.Seg // [width/32][class][column's class]
}

// newTable builds the table for inputs with the given strides (of a row and of a pixel, in
// elements) and k channels.
func newTable(rows, cols axis, inRow, inPix, k int) *table {
	t := &table{rows: rows, cols: cols, spans: cols.spans()}
	of, classes := rows.classes()
	t.class = of
	for w := range t.segs {
		width := 16 << w
		t.segs[w] = make([][][]micro.Seg, len(classes))
		for c, rowTaps := range classes {
			for _, s := range t.spans {
				var list []micro.Seg
				for _, i := range rowTaps {
					list = t.appendRow(list, i, s, inRow, inPix, k, width)
				}
				t.segs[w][c] = append(t.segs[w][c], list)
			}
		}
	}
	if cols.count <= stackWidth {
		t.addStack(classes, k)
	}
	if cols.fuses(t.spans) {
		t.fuse(classes, inRow, inPix, k)
	}
	return t
}

// fuses reports whether micro.MulTaps can compute the tiles: three taps side by side, of which at
// most the first or the last lies outside, at one pixel of a tile.
func (a *axis) fuses(spans []span) bool {
	if len(a.taps) != 3 || a.step != 1 || a.taps[1].off-a.taps[0].off != 1 ||
		a.taps[2].off-a.taps[1].off != 1 {
		return false
	}
	for _, s := range spans {
		first, use0, fits0 := a.skip(a.taps[0], s)
		middle, use1, fits1 := a.skip(a.taps[1], s)
		last, use2, fits2 := a.skip(a.taps[2], s)
		if !(use0 && use1 && use2 && fits0 && fits1 && fits2) || first == micro.SkipLast ||
			middle != micro.SkipNone || last == micro.SkipFirst ||
			first != micro.SkipNone && last != micro.SkipNone {
			return false
		}
	}
	return true
}

// fuse lists segments of a row of three taps each.
func (t *table) fuse(classes [][]int, inRow, inPix, k int) {
	t.fused = make([][][]micro.Seg, len(classes))
	first, last := t.cols.taps[0], t.cols.taps[2]
	for c, rowTaps := range classes {
		for _, s := range t.spans {
			left, _, _ := t.cols.skip(first, s)
			right, _, _ := t.cols.skip(last, s)
			var list []micro.Seg
			for _, i := range rowTaps {
				list = append(list, micro.Seg{A: t.rows.taps[i].off*inRow + first.off*inPix,
					B: i * 3 * k * 16, K: k, Skip: left | right})
			}
			t.fused[c] = append(t.fused[c], list)
		}
	}
}

// appendRow adds the segments of one row of taps, joining those that continue each other in the
// input and in the packed weights: with all channels in use, neighbouring taps do.
func (t *table) appendRow(list []micro.Seg, i int, s span, inRow, inPix, k, width int) []micro.Seg {
	for j, col := range t.cols.taps {
		rule, use, _ := t.cols.skip(col, s)
		if !use {
			continue
		}
		seg := micro.Seg{A: t.rows.taps[i].off*inRow + col.off*inPix,
			B: (i*len(t.cols.taps) + j) * k * width, K: k, Skip: rule}
		if n := len(list); n > 0 {
			last := &list[n-1]
			if last.Skip == rule && last.A+last.K == seg.A && last.B+last.K*width == seg.B {
				last.K += k
				continue
			}
		}
		list = append(list, seg)
	}
	return list
}
