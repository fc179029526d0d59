package nn

import (
	"iter"
	"strconv"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// A Sequential applies layers one after another. Parameter names start with the layer's index, as
// in PyTorch: "0.weight".
type Sequential []Layer

// Params yields the parameters of every layer under its index.
func (s Sequential) Params() iter.Seq2[string, *Param] {
	var ps Params
	for i, l := range s {
		ps = append(ps, Prefixed(strconv.Itoa(i), l)...)
	}
	return ps.Params()
}

// Forward applies the layers in order and gives up each intermediate value.
func (s Sequential) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	y := x
	for _, l := range s {
		z := l.Forward(c, y)
		if y != x && z != y {
			y.Done()
		}
		y = z
	}
	return y
}

// Func makes a layer without parameters out of a function: nn.Func(autodiff.ReLU).
type Func func(x *autodiff.Value) *autodiff.Value

// Params yields nothing.
func (Func) Params() iter.Seq2[string, *Param] { return Params(nil).Params() }

// Forward returns f(x).
func (f Func) Forward(_ *Ctx, x *autodiff.Value) *autodiff.Value { return f(x) }

// Flatten returns x [N …] as [N, rest]. For images the rest is in NHWC order: the weights of a
// linear layer behind it have columns in the order (h, w, c); files written by PyTorch have
// (c, h, w), and nn/models permutes them on reading and writing.
func Flatten(x *autodiff.Value) *autodiff.Value {
	return autodiff.Reshape(x, x.Dim(0), x.Shape()[1:].Size())
}

// Window returns the attributes of k×k pooling with the given stride and padding on every side.
// Averages count the padding, PyTorch's default.
func Window(k, stride, pad int) tensor.PoolParams {
	return tensor.PoolParams{KH: k, KW: k, StrideH: stride, StrideW: stride,
		PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad, CountPad: true}
}
