package gan

import (
	"encoding/json"
	"fmt"
	"io"

	"afterimage/nn"
	"afterimage/nn/onnx"
)

// The names of an exported generator's values; its other input is called after the condition:
// "logits", "features" or "label".
const (
	ExportNoise  = "noise"
	ExportImages = "images"
)

// ExportONNX writes the generator as an ONNX file of operator set 17: inputs "noise" [N ZDim],
// standard normal, and the condition [N Dim] as the classifier gives it (raw logits or features,
// standardised inside; a one-hot "label"), output "images" [N 3 Size Size] in [−1, 1], N open.
// Weights are divided by their spectral norms, batch normalisation uses the standing statistics,
// and initialisers have PyTorch's layouts and the names of ExportTorch's weights.
func (v *Inverter) ExportONNX(w io.Writer) error {
	layers, err := v.exported()
	if err != nil {
		return err
	}
	net, err := json.Marshal(v.Config.Net)
	if err != nil {
		return fmt.Errorf("gan: export: %w", err)
	}
	p := &paintWriter{Writer: onnx.NewWriter(), c: v.Config.Net, params: map[string]exportedParam{}}
	for _, l := range layers {
		p.params[l.name] = l
	}
	z := p.Input(ExportNoise, -1, p.c.ZDim)
	y := p.Input(string(v.Conditioner.Kind), -1, v.Conditioner.Dim())
	if v.Conditioner.Kind != Label {
		y = p.Node("Sub", "condition/centred", []string{y, p.param("condition.mean")})
		y = p.Node("Div", "condition", []string{y, p.param("condition.std")})
	}
	p.generator(v.G, z, y)
	p.Output(ExportImages, -1, 3, p.c.Size, p.c.Size)
	p.Property("afterimage.generator", string(net))
	return p.Write(w)
}

// A paintWriter writes a generator down layer by layer; values are named after the layers.
type paintWriter struct {
	*onnx.Writer
	c      Config
	params map[string]exportedParam
}

// param makes a parameter an initialiser, divided by its spectral norm, and returns its name.
func (p *paintWriter) param(name string) string {
	e := p.params[name]
	return p.Floats(name, e.shape, e.effective()...)
}

// linear writes x·Wᵀ, with the bias if bias is set.
func (p *paintWriter) linear(x, name string, bias bool) string {
	in := []string{x, p.param(name + ".weight")}
	if bias {
		in = append(in, p.param(name+".bias"))
	}
	return p.Node("Gemm", name, in, onnx.IntAttr("transB", 1))
}

// conv writes a convolution that keeps the extents.
func (p *paintWriter) conv(x, name string, l *nn.Conv2D) string {
	in := []string{x, p.param(name + ".weight")}
	if l.Bias != nil {
		in = append(in, p.param(name+".bias"))
	}
	k := l.Weight.Shape[1]
	return p.Node("Conv", name, in, onnx.IntsAttr("kernel_shape", k, k),
		onnx.IntsAttr("pads", k/2, k/2, k/2, k/2))
}

func (p *paintWriter) relu(x string) string { return p.Node("Relu", x+"/relu", []string{x}) }

// generator writes Generator.Forward.
func (p *paintWriter) generator(g *Generator, z, y string) {
	if g.Embed != nil {
		y = p.linear(y, "shared", false)
	}
	first, chunk := p.c.chunk()
	wide, size := p.c.GMult[0]*p.c.ChG, 4
	h := p.linear(p.columns(z, "linear", 0, first), "linear", true)
	h = p.Node("Reshape", "first", []string{h, p.Longs("first.shape", 0, wide, 4, 4)})
	for i, b := range g.Blocks {
		name, cond := fmt.Sprintf("blocks.%d", i), y
		if chunk > 0 {
			from := first + i*chunk
			cond = p.Node("Concat", name+"/cond", []string{y, p.columns(z, name, from, from+chunk)},
				onnx.IntAttr("axis", 1))
		}
		h = p.block(b, h, cond, name, size)
		if size *= 2; size == p.c.GAttention {
			h = p.attention(g.Attention, h, size)
		}
	}
	h = p.Node("BatchNormalization", "output.0", []string{h, p.param("output.0.weight"),
		p.param("output.0.bias"), p.param("output.0.running_mean"), p.param("output.0.running_var")},
		onnx.FloatAttr("epsilon", g.Norm.Eps))
	p.Node("Tanh", ExportImages, []string{p.conv(p.relu(h), "output.1", g.Last)})
}

// columns writes z[:, from:to].
func (p *paintWriter) columns(z, name string, from, to int) string {
	if from == 0 && to == p.c.ZDim {
		return z
	}
	return p.Node("Slice", name+"/z", []string{z, p.Longs(name+"/z.from", from),
		p.Longs(name+"/z.to", to), p.Longs(name+"/z.axis", 1)})
}

// norm writes a conditional batch normalisation with the standing statistics.
func (p *paintWriter) norm(l *nn.ConditionalBatchNorm, x, cond, name string) string {
	ch := len(p.params[name+".running_mean"].value)
	one, zero := make([]float64, ch), make([]float64, ch)
	for i := range one {
		one[i] = 1
	}
	x = p.Node("BatchNormalization", name+"/normed", []string{x,
		p.Floats(name+"/one", []int{ch}, one...), p.Floats(name+"/zero", []int{ch}, zero...),
		p.param(name + ".running_mean"), p.param(name + ".running_var")},
		onnx.FloatAttr("epsilon", l.Eps))
	gain := p.linear(cond, name+".gain", false)
	if !l.PlainGain {
		gain = p.Node("Add", name+".gain/plus", []string{gain,
			p.Floats(name+".gain/one", []int{1}, 1)})
	}
	x = p.Node("Mul", name+"/scaled", []string{x, p.spread(gain)})
	return p.Node("Add", name, []string{x, p.spread(p.linear(cond, name+".bias", false))})
}

// spread writes [N C] as [N C 1 1].
func (p *paintWriter) spread(x string) string {
	return p.Node("Unsqueeze", x+"/spread", []string{x, p.Longs(x+"/axes", 2, 3)})
}

// block writes GBlock.Forward for x of size×size pixels.
func (p *paintWriter) block(b *GBlock, x, cond, name string, size int) string {
	h := p.upsample(b, p.relu(p.norm(b.Norm1, x, cond, name+".bn1")), size)
	h = p.conv(h, name+".conv1", b.Conv1)
	h = p.conv(p.relu(p.norm(b.Norm2, h, cond, name+".bn2")), name+".conv2", b.Conv2)
	if b.Skip == nil {
		return h
	}
	if b.zero {
		x = p.conv(p.upsample(b, x, size), name+".conv_sc", b.Skip)
	} else {
		x = p.upsample(b, p.conv(x, name+".conv_sc", b.Skip), size)
	}
	return p.Node("Add", name, []string{h, x})
}

// upsample writes the doubling of size×size pixels: nearest neighbours, or zeros between.
func (p *paintWriter) upsample(b *GBlock, x string, size int) string {
	y := p.Node("Resize", x+"/up", []string{x, "", p.Floats(x+"/scales", []int{4}, 1, 1, 2, 2)},
		onnx.TextAttr("mode", "nearest"), onnx.TextAttr("nearest_mode", "floor"),
		onnx.TextAttr("coordinate_transformation_mode", "asymmetric"))
	if !b.zero {
		return y
	}
	mask := make([]float64, 4*size*size)
	for i := 0; i < 2*size; i += 2 {
		for j := 0; j < 2*size; j += 2 {
			mask[i*2*size+j] = 1
		}
	}
	return p.Node("Mul", y+"/zeros", []string{y,
		p.Floats(y+"/mask", []int{1, 1, 2 * size, 2 * size}, mask...)})
}

// attention writes SelfAttention.Forward for x of size×size pixels.
func (p *paintWriter) attention(a *nn.SelfAttention, x string, size int) string {
	ch := a.O.Weight.Shape[0]
	rows := func(y, name string, channels int) string { // [N C H W] to [N C HW]
		return p.Node("Reshape", name+"/rows", []string{y, p.Longs(name+"/shape", 0, channels, -1)})
	}
	turned := func(y string) string {
		return p.Node("Transpose", y+"/turned", []string{y}, onnx.IntsAttr("perm", 0, 2, 1))
	}
	pooled := func(name string, l *nn.Conv2D) string {
		return p.Node("MaxPool", name+"/pool", []string{p.conv(x, name, l)},
			onnx.IntsAttr("kernel_shape", 2, 2), onnx.IntsAttr("strides", 2, 2))
	}
	theta := turned(rows(p.conv(x, "attention.theta", a.Theta), "attention.theta", ch/8))
	phi := rows(pooled("attention.phi", a.Phi), "attention.phi", ch/8)
	g := turned(rows(pooled("attention.g", a.G), "attention.g", ch/2))
	scores := p.Node("MatMul", "attention/scores", []string{theta, phi})
	weights := p.Node("Softmax", "attention/weights", []string{scores}, onnx.IntAttr("axis", -1))
	mixed := turned(p.Node("MatMul", "attention/mixed", []string{weights, g}))
	mixed = p.Node("Reshape", "attention/image", []string{mixed,
		p.Longs("attention/shape", 0, ch/2, size, size)})
	out := p.conv(mixed, "attention.o", a.O)
	out = p.Node("Mul", "attention/scaled", []string{out, p.param("attention.gamma")})
	return p.Node("Add", "attention", []string{x, out})
}
