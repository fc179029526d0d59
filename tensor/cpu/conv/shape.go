package conv

import "fmt"

// A Shape describes a two-dimensional convolution of x [N H W C] with w [O KH KW C/Groups] into
// y [N OutH OutW O]. Strides and dilations are at least 1, padding is at least 0 on each side
// (zeros, in effect). With groups, output channels o of group o/(O/Groups) see only the input
// channels of the same group; Groups divides C and O. The conventions are PyTorch's.
type Shape struct {
	N, H, W, C                           int
	O, KH, KW                            int
	StrideH, StrideW                     int
	PadTop, PadLeft, PadBottom, PadRight int
	DilH, DilW                           int
	Groups                               int
}

// Square returns the usual case: a k×k filter, equal strides and equal padding on all sides, no
// dilation, one group.
func Square(n, h, w, c, o, k, stride, pad int) Shape {
	return Shape{N: n, H: h, W: w, C: c, O: o, KH: k, KW: k, StrideH: stride, StrideW: stride,
		PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad, DilH: 1, DilW: 1, Groups: 1}
}

// OutH returns the height of y: floor((H + padding - DilH*(KH-1) - 1) / StrideH) + 1.
func (s Shape) OutH() int {
	return outSize(s.H+s.PadTop+s.PadBottom, s.KH, s.StrideH, s.DilH)
}

// OutW returns the width of y: floor((W + padding - DilW*(KW-1) - 1) / StrideW) + 1.
func (s Shape) OutW() int {
	return outSize(s.W+s.PadLeft+s.PadRight, s.KW, s.StrideW, s.DilW)
}

func outSize(in, k, stride, dil int) int {
	room := in - dil*(k-1) - 1
	if room < 0 {
		return 0
	}
	return room/stride + 1
}

// FLOPs returns the conventional count of one direction: two for each multiply-add, taps in the
// padding counted as if they were computed.
func (s Shape) FLOPs() float64 {
	return 2 * float64(s.N) * float64(s.OutH()) * float64(s.OutW()) * float64(s.O) *
		float64(s.KH*s.KW) * float64(s.C/s.Groups)
}

// check panics unless the shape is valid and the slices have its sizes.
func (s Shape) check(op string, x, w, y []float32) {
	if s.N < 0 || s.H < 0 || s.W < 0 || s.C < 1 || s.O < 1 || s.KH < 1 || s.KW < 1 ||
		s.StrideH < 1 || s.StrideW < 1 || s.DilH < 1 || s.DilW < 1 ||
		min(s.PadTop, s.PadLeft, s.PadBottom, s.PadRight) < 0 {
		panic(fmt.Sprintf("conv: %s: a size is out of range: %+v", op, s))
	}
	if s.Groups < 1 || s.C%s.Groups != 0 || s.O%s.Groups != 0 {
		panic(fmt.Sprintf("conv: %s: groups %d do not divide %d input and %d output channels",
			op, s.Groups, s.C, s.O))
	}
	for _, t := range []struct {
		name      string
		got, want int
	}{
		{"x", len(x), s.N * s.H * s.W * s.C},
		{"w", len(w), s.O * s.KH * s.KW * (s.C / s.Groups)},
		{"y", len(y), s.N * s.OutH() * s.OutW() * s.O},
	} {
		if t.got != t.want {
			panic(fmt.Sprintf("conv: %s: %s has %d elements, its shape has %d: %+v",
				op, t.name, t.got, t.want, s))
		}
	}
}
