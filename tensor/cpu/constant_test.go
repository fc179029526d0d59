package cpu

import (
	"runtime"
	"slices"
	"testing"

	"afterimage/tensor"
)

// TestKeepConstant: weights that are declared constant give the same bits, in the first call and in
// later ones, for any batch and in every form; what was kept goes with them.
func TestKeepConstant(t *testing.T) {
	for name, bf16 := range map[string]bool{"f32": false, "bf16": true} {
		t.Run(name, func(t *testing.T) { keepConstant(t, bf16) })
	}
}

func keepConstant(t *testing.T, bf16 bool) {
	b := Open(2)
	defer b.Close()
	if bf16 {
		if err := b.SetPrecision(tensor.BF16); err != nil {
			t.Skip(err)
		}
	}
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	padded, strided := p, tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	padded.PadTop, padded.PadLeft, padded.PadBottom, padded.PadRight = 1, 1, 1, 1
	for _, c := range []struct {
		k int
		p tensor.ConvParams
	}{{1, p}, {3, padded}, {3, strided}, {1, strided}} {
		s := tensor.NewScope(b)
		x := numbers(s, 3, 9, 9, 256)
		// Large enough to be given up.
		w, same := numbers(s, 264, c.k, c.k, 256), numbers(s, 264, c.k, c.k, 256)
		before, values, again := b.Memory().InUse, tensor.ToHost[float32](w), 0
		b.KeepConstant(w, func() {
			again++
			tensor.CopyFromHost(w, values)
		})
		for _, n := range []int{3, 1, 3} {
			in := tensor.NewScope(b)
			part := in.New(tensor.F32, n, 9, 9, 256)
			b.CopyRegion(part, x, tensor.Region{DstStart: make([]int, 4), DstStep: ones(), SrcStep: ones(),
				SrcStart: make([]int, 4), Size: part.Shape()})
			oh, ow := c.p.Out(9, 9, c.k, c.k)
			got, want := in.New(tensor.F32, n, oh, ow, 264), in.New(tensor.F32, n, oh, ow, 264)
			b.Conv2D(got, part, w, c.p)
			if !w.Buffer().(*buffer).parked && runtime.GOOS == "linux" {
				t.Errorf("%d×%d/%d: weights stay beside their packed form", c.k, c.k, c.p.StrideH)
			}
			b.Conv2D(want, part, same, c.p)
			if !slices.Equal(tensor.ToHost[float32](got), tensor.ToHost[float32](want)) {
				t.Fatalf("%d×%d/%d, batch %d: constant weights give other bits", c.k, c.k, c.p.StrideH, n)
			}
			in.Close()
		}
		if again > 1 { // another batch may want another form, once
			t.Errorf("%d×%d/%d: weights were written %d times for calls that repeat", c.k, c.k,
				c.p.StrideH, again)
		}
		if !slices.Equal(tensor.ToHost[float32](w), values) {
			t.Errorf("%d×%d/%d: weights that were given up are read as others", c.k, c.k, c.p.StrideH)
		}
		w.Free()
		if now := b.Memory().InUse; now >= before {
			t.Errorf("%d bytes in use after the weights were freed, %d before they were kept", now, before)
		}
		s.Close()
	}
}

// A constant is a filter that is kept constant beside its values, in a backend of two threads.
type constant struct {
	*Backend
	s     *tensor.Scope
	w     *tensor.Tensor
	plain *tensor.Tensor // the same, not constant
	again int            // how often w was written once more
	fail  bool           // instead of writing it
}

func newConstant(t *testing.T, shape ...int) *constant {
	return newConstantIn(t, tensor.F32, shape...)
}

// newConstantIn is newConstant for a precision, which it skips where this machine has no such.
func newConstantIn(t *testing.T, precision tensor.DType, shape ...int) *constant {
	b := Open(2)
	t.Cleanup(b.Close)
	if err := b.SetPrecision(precision); err != nil {
		t.Skip(err)
	}
	s := tensor.NewScope(b)
	t.Cleanup(s.Close)
	c := &constant{Backend: b, s: s, w: numbers(s, shape...), plain: numbers(s, shape...)}
	b.KeepConstant(c.w, c.write)
	return c
}

func (c *constant) write() {
	if c.fail {
		panic("the file is gone")
	}
	c.again++
	tensor.CopyFromHost(c.w, tensor.ToHost[float32](c.plain))
}

// forward checks a convolution of n images of h×h pixels.
func (c *constant) forward(t *testing.T, n, h int, p tensor.ConvParams) {
	t.Helper()
	w := c.w.Shape()
	oh, ow := p.Out(h, h, w[1], w[2])
	x := numbers(c.s, n, h, h, w[3])
	y, want := c.s.New(tensor.F32, n, oh, ow, w[0]), c.s.New(tensor.F32, n, oh, ow, w[0])
	c.Conv2D(y, x, c.w, p)
	c.Conv2D(want, x, c.plain, p)
	if !slices.Equal(tensor.ToHost[float32](y), tensor.ToHost[float32](want)) {
		t.Fatalf("%d images of %d×%d: constant weights give other bits", n, h, h)
	}
}

// inputGrad checks a transposed convolution to n images of h×h pixels.
func (c *constant) inputGrad(t *testing.T, n, h int, p tensor.ConvParams) {
	t.Helper()
	w := c.w.Shape()
	oh, ow := p.Out(h, h, w[1], w[2])
	dy := numbers(c.s, n, oh, ow, w[0])
	dx, want := c.s.New(tensor.F32, n, h, h, w[3]), c.s.New(tensor.F32, n, h, h, w[3])
	c.Conv2DInputGrad(dx, dy, c.w, p)
	c.Conv2DInputGrad(want, dy, c.plain, p)
	if !slices.Equal(tensor.ToHost[float32](dx), tensor.ToHost[float32](want)) {
		t.Fatalf("%d images of %d×%d: constant weights give another input gradient", n, h, h)
	}
}

// parked reports whether the weights were given up, and true where nothing can be.
func (c *constant) parked() bool {
	return c.w.Buffer().(*buffer).parked || runtime.GOOS != "linux"
}

// TestKeepConstantTransposed: constant weights of transposed convolutions, for images of any number
// and size, beside forward convolutions with them: each form is packed once.
func TestKeepConstantTransposed(t *testing.T) {
	for _, precision := range []tensor.DType{tensor.F32, tensor.BF16} {
		t.Run(precision.String(), func(t *testing.T) {
			keepTransposed(t, newConstantIn(t, precision, 264, 2, 2, 256))
		})
	}
}

func keepTransposed(t *testing.T, c *constant) {
	p := tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	var kept int
	for i, n := range []int{3, 1, 3} {
		for _, h := range []int{17, 16, 6} {
			c.inputGrad(t, n, h, p)
			if !c.parked() {
				t.Fatalf("%d images of %d×%d: weights stay beside their packed form", n, h, h)
			}
			c.forward(t, n, h, p)
		}
		if now := len(c.w.Buffer().(*buffer).kept.Keys()); i == 0 {
			kept = now
		} else if now != kept {
			t.Errorf("%d forms are kept after the first round, %d after another", kept, now)
		}
	}
	if c.again > 1 {
		t.Errorf("weights were written %d times for two forms", c.again)
	}
}

// TestKeepConstantForms: a filter that was given up comes back for kernels that read it as it is,
// the planar form and Winograd's input gradient here, whatever came before.
func TestKeepConstantForms(t *testing.T) {
	c := newConstant(t, 4, 3, 3, 2048)
	p := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1,
		PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}
	for range 2 {
		for _, h := range []int{8, 16} { // by tiles, planar
			c.forward(t, 1, h, p)
			c.inputGrad(t, 1, h, p)
		}
	}
	if !c.parked() {
		t.Error("weights stay beside their packed forms")
	}
	w := newConstant(t, 64, 3, 3, 64)
	for range 2 {
		w.forward(t, 4, 8, p)
		w.inputGrad(t, 4, 8, p)
	}
}

// TestKeepConstantTwice: what an earlier declaration kept goes.
func TestKeepConstantTwice(t *testing.T) {
	c := newConstant(t, 256, 3, 3, 64)
	p := tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	c.forward(t, 1, 9, p)
	before := c.Memory().InUse
	for range 3 {
		c.KeepConstant(c.w, c.write)
		in := tensor.NewScope(c.Backend)
		x, y := numbers(in, 1, 9, 9, 64), in.New(tensor.F32, 1, 4, 4, 256)
		c.Conv2D(y, x, c.w, p)
		in.Close()
	}
	if now := c.Memory().InUse; now != before {
		t.Errorf("%d bytes in use after three more declarations, %d before", now, before)
	}
}

// TestLostConstant: weights that cannot be had again are an error of everybody who reads them, and
// are there when they can.
func TestLostConstant(t *testing.T) {
	c := newConstant(t, 256, 3, 3, 64)
	p := tensor.ConvParams{StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1}
	c.forward(t, 1, 9, p)
	if !c.w.Buffer().(*buffer).parked {
		t.Skip("nothing is given up here")
	}
	c.fail = true
	for range 3 {
		if !panics(func() { c.w.Floats() }) {
			t.Fatal("weights that are lost were read")
		}
		c.forward(t, 1, 9, p) // by what is kept
	}
	c.fail = false
	if !slices.Equal(c.w.Floats(), c.plain.Floats()) {
		t.Error("weights came back as others")
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func ones() []int { return []int{1, 1, 1, 1} }

func numbers(s *tensor.Scope, shape ...int) *tensor.Tensor {
	x := make([]float32, tensor.Shape(shape).Size())
	for i := range x {
		x[i] = float32(i*7919%64)/32 - 1
	}
	return tensor.FromSlice(s, x, shape...)
}
