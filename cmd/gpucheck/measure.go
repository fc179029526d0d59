package main

import (
	"fmt"
	"time"

	"afterimage/cuda"
	"afterimage/tensor"
)

// An arithmetic is a way to multiply that is measured by itself.
type arithmetic struct {
	name string
	cuda.Options
}

// arithmetics lists them, what is asked for most first: our kernels alone and NVIDIA's libraries,
// in every precision of each.
func arithmetics() []arithmetic {
	return []arithmetic{{"libraries bf16", cuda.Options{Precision: tensor.BF16}},
		{"own bf16", cuda.Options{Own: true, Precision: tensor.BF16}},
		{"libraries TF32", cuda.Options{TF32: true}}, {"libraries", cuda.Options{}},
		{"own", cuda.Options{Own: true}}}
}

// timed returns the seconds that one call of f takes, in the median of several runs that each last
// long enough for the clock and wait for the device once.
func (c *check) timed(b *cuda.Backend, f func()) (float64, error) {
	f() // compiles, plans, allocates
	if err := b.Sync(); err != nil {
		return 0, err
	}
	calls, want, long := 1, 5, 0.02
	if c.tiny {
		want, long = 1, 0
	}
	var runs []float64
	for len(runs) < want {
		begin := time.Now()
		for range calls {
			f()
		}
		if err := b.Sync(); err != nil {
			return 0, err
		}
		took := time.Since(begin).Seconds()
		if took < long && calls < 1<<12 && len(runs) == 0 {
			calls *= 4
			continue
		}
		runs = append(runs, took/float64(calls))
	}
	return median(runs), nil
}

func median(v []float64) float64 {
	for i := range v { // few numbers: insertion sorts them
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
	return v[len(v)/2]
}

// A convShape is a convolution of ResNet-50 or BigGAN: square images and kernels.
type convShape struct{ n, size, c, o, k, stride int }

// convShapes are ResNet-50's kinds of convolution at 64 images of 224 pixels, and BigGAN-128's
// widest at 32 images.
func convShapes(tiny bool) []convShape {
	if tiny {
		return []convShape{{1, 6, 4, 8, 3, 1}}
	}
	return []convShape{{64, 224, 3, 64, 7, 2}, {64, 56, 64, 64, 1, 1}, {64, 56, 64, 64, 3, 1},
		{64, 56, 64, 256, 1, 1}, {64, 56, 256, 128, 1, 1}, {64, 56, 128, 128, 3, 2},
		{64, 28, 128, 128, 3, 1}, {64, 28, 128, 512, 1, 1}, {64, 28, 256, 256, 3, 2},
		{64, 14, 256, 256, 3, 1}, {64, 14, 256, 1024, 1, 1}, {64, 7, 512, 512, 3, 1},
		{64, 7, 512, 2048, 1, 1}, {64, 56, 256, 512, 1, 2}, {32, 16, 1536, 768, 3, 1},
		{32, 64, 384, 192, 3, 1}, {32, 128, 96, 96, 3, 1}}
}

// convolutions times each shape in three directions and every arithmetic.
func convolutions(c *check) error {
	for _, o := range arithmetics() {
		if err := c.convolutions("convolutions", o); err != nil {
			return err
		}
	}
	return nil
}

// hopper is convolutions where our kernels for compute capability 9.0 compete, too. They come late
// and by themselves because no card had run them when they were written.
func hopper(c *check) error {
	return c.convolutions("hopper", arithmetic{"libraries and wgmma bf16",
		cuda.Options{Precision: tensor.BF16, Hopper: true}})
}

// convolutions times each shape in three directions and one arithmetic.
func (c *check) convolutions(stage string, o arithmetic) error {
	b, err := c.open(o.Options)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, s := range convShapes(c.tiny) {
		if err := c.convolution(b, stage, o.name, s); err != nil {
			return err
		}
	}
	library, own := b.ConvolutionsBy()
	right, wrong, chosen := b.HopperKernels()
	v := map[string]any{"by_cudnn": library, "by_own": own}
	if o.Hopper {
		v["hopper_right"], v["hopper_wrong"], v["by_hopper"] = right, wrong, chosen
	}
	c.say(line{Stage: stage, Name: o.name + ", who computed", OK: wrong == 0, Values: v})
	return nil
}

func (c *check) convolution(b *cuda.Backend, stage, engine string, s convShape) error {
	pad := s.k / 2
	p := tensor.ConvParams{StrideH: s.stride, StrideW: s.stride, PadTop: pad, PadLeft: pad,
		PadBottom: pad, PadRight: pad, DilH: 1, DilW: 1, Groups: 1}
	oh, ow := p.Out(s.size, s.size, s.k, s.k)
	scope := tensor.NewScope(b)
	defer scope.Close()
	dt := b.Activations() // as a network's layers have it
	x := drawn(scope, "x", dt, s.n, s.size, s.size, s.c)
	w := drawn(scope, "w", dt, s.o, s.k, s.k, s.c)
	y := drawn(scope, "y", dt, s.n, oh, ow, s.o)
	dx, dw, out := scope.Like(x), scope.Like(w), scope.Like(y)
	flops := 2 * float64(y.Size()) * float64(s.k*s.k*s.c)
	v := map[string]any{"shape": fmt.Sprintf("%+v", s)}
	for _, d := range []struct {
		name string
		run  func()
	}{
		{"forward", func() { b.Conv2D(out, x, w, p) }},
		{"input_grad", func() { b.Conv2DInputGrad(dx, y, w, p) }},
		{"weight_grad", func() { b.Conv2DWeightGrad(dw, x, y, p) }},
	} {
		seconds, err := c.timed(b, d.run)
		if err != nil {
			return err
		}
		v[d.name+"_seconds"], v[d.name+"_tflops"] = seconds, flops/seconds/1e12
	}
	c.say(line{Stage: stage, Name: engine, OK: true, Values: v})
	return nil
}

// random returns normal numbers drawn on the device.
func random(s *tensor.Scope, name string, shape ...int) *tensor.Tensor {
	return drawn(s, name, tensor.F32, shape...)
}

// drawn is random in a dtype.
func drawn(s *tensor.Scope, name string, dt tensor.DType, shape ...int) *tensor.Tensor {
	t := s.New(dt, shape...)
	step := s.Zeros(tensor.I32, 1)
	s.Backend().Random(tensor.Normal, tensor.NewKey(1, "gpucheck/"+name), t, step)
	return t
}

// ceilings measures what the card can do: a copy and a large product.
func ceilings(c *check) error {
	side, floats := 8192, 256<<20
	if c.tiny {
		side, floats = 32, 1<<12
	}
	for _, o := range arithmetics() {
		b, err := c.open(o.Options)
		if err != nil {
			return err
		}
		s := tensor.NewScope(b)
		dt := b.Activations()
		x, y := drawn(s, "x", dt, side, side), drawn(s, "y", dt, side, side)
		z := s.New(dt, side, side)
		product, err := c.timed(b, func() { b.MatMul(z, x, y, tensor.MatMulParams{}) })
		if err != nil {
			return err
		}
		from, to := s.Full(tensor.F32, 1, floats), s.New(tensor.F32, floats)
		copied, err := c.timed(b, func() { b.Cast(to, from) })
		if err != nil {
			return err
		}
		c.say(line{Stage: "ceilings", Name: o.name, OK: true, Values: map[string]any{
			"product_side": side, "product_tflops": 2 * float64(side) * float64(side) * float64(side) /
				product / 1e12,
			"copy_gb_per_s": 8 * float64(floats) / copied / 1e9}})
		s.Close()
		b.Close()
	}
	return nil
}
