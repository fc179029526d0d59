package nn

import (
	"fmt"
	"iter"
	"math"

	"afterimage/autodiff"
	"afterimage/tensor"
)

// torchDefault is PyTorch's initialisation of linear and convolution weights: U(±1/√fanIn).
var torchDefault = KaimingUniform{A: math.Sqrt(5)}

// A ConvConfig describes a Conv2D. In, Out and Kernel are required.
type ConvConfig struct {
	In, Out  int
	Kernel   int // square
	Stride   int // 0 means 1
	Pad      int // zeros on every side
	Dilation int // 0 means 1
	Groups   int // 0 means 1; divides In and Out
	NoBias   bool
	Spectral bool    // divide the weight by its largest singular value; see SpectralNorm
	Eps      float64 // of Spectral; 0 means DefaultSpectralEps
	// Resampled says that ForwardUpsampled or ForwardPooled will call the layer. It decides nothing
	// but how many kernels make spectrally normalised weights.
	Resampled bool
	// Init of the weight; nil means PyTorch's default, U(±1/√fanIn).
	Init Initializer
	// BiasInit; nil means U(±1/√fanIn), PyTorch's default.
	BiasInit Initializer
}

// A Conv2D is the cross-correlation y[n,i,j,o] = Σ x[n, i·s−p+u·d, j·s−p+v·d, c]·w[o,u,v,c] + b[o]:
// x [N H W In] → y [N OH OW Out]. Parameters: "weight" [Out K K In/Groups] and, unless NoBias,
// "bias" [Out]; with Spectral also the buffer "weight_u" [Out].
type Conv2D struct {
	Weight   *Param
	Bias     *Param        // nil without a bias
	Spectral *SpectralNorm // nil without spectral normalisation
	Attr     tensor.ConvParams
}

// NewConv2D declares a convolution. Panics with *tensor.Error if an extent is not positive or the
// groups do not divide the channels.
func NewConv2D(cfg ConvConfig) *Conv2D {
	stride, dil, groups := max(cfg.Stride, 1), max(cfg.Dilation, 1), max(cfg.Groups, 1)
	if cfg.In <= 0 || cfg.Out <= 0 || cfg.Kernel <= 0 || cfg.Pad < 0 {
		panic(&tensor.Error{Op: "NewConv2D", Reason: fmt.Sprintf(
			"In %d, Out %d and Kernel %d must be positive, Pad %d not negative",
			cfg.In, cfg.Out, cfg.Kernel, cfg.Pad)})
	}
	if cfg.In%groups != 0 || cfg.Out%groups != 0 {
		panic(&tensor.Error{Op: "NewConv2D", Reason: fmt.Sprintf(
			"Groups %d must divide In %d and Out %d", groups, cfg.In, cfg.Out)})
	}
	shape := tensor.Shape{cfg.Out, cfg.Kernel, cfg.Kernel, cfg.In / groups}
	l := &Conv2D{
		Weight: newWeight(shape, cfg.Init),
		Attr: tensor.ConvParams{
			StrideH: stride, StrideW: stride,
			PadTop: cfg.Pad, PadLeft: cfg.Pad, PadBottom: cfg.Pad, PadRight: cfg.Pad,
			DilH: dil, DilW: dil, Groups: groups,
		},
	}
	if !cfg.NoBias {
		l.Bias = newBias(shape, cfg.BiasInit)
	}
	if cfg.Spectral {
		l.Spectral = NewSpectralNorm(l.Weight, cfg.Eps)
		l.Spectral.alone = cfg.Resampled
	}
	return l
}

// Params yields weight, bias and weight_u, as far as there are such.
func (l *Conv2D) Params() iter.Seq2[string, *Param] {
	return weightParams(l.Weight, l.Bias, l.Spectral).Params()
}

// Forward applies the layer to x [N H W In]. Panics if x has another number of channels.
func (l *Conv2D) Forward(c *Ctx, x *autodiff.Value) *autodiff.Value {
	return l.forward(c, x, nil, false)
}

// ForwardAdd returns y + res in one pass over memory, with y the layer's output and res of y's
// shape or nil.
func (l *Conv2D) ForwardAdd(c *Ctx, x, res *autodiff.Value) *autodiff.Value {
	return l.forward(c, x, res, false)
}

// ForwardReLU returns max(y + res, 0) in one pass over memory, with y the layer's output and res of
// y's shape or nil.
func (l *Conv2D) ForwardReLU(c *Ctx, x, res *autodiff.Value) *autodiff.Value {
	return l.forward(c, x, res, true)
}

func (l *Conv2D) forward(c *Ctx, x, res *autodiff.Value, relu bool) *autodiff.Value {
	w := effectiveWeight(c, l.Weight, l.Spectral, x.DType())
	y := autodiff.Conv2DBiasAct(x, w, l.bias(c), res, relu, l.Attr)
	c.spent(w, l.Weight)
	return y
}

// A joinedFilter key finds a pass's filter in Derived.
type joinedFilter struct {
	l                    *Conv2D
	upsampled, recording bool
	dt                   tensor.DType
}

// joined returns a filter, in dt, that make derives from the layer's weight. Hand it to spent
// afterwards.
func (l *Conv2D) joined(c *Ctx, upsampled bool, dt tensor.DType,
	make func(w *autodiff.Value) *autodiff.Value) *autodiff.Value {
	return c.derivedWeight(joinedFilter{l, upsampled, c.Graph.Recording(), dt}, l.Weight,
		func() *autodiff.Value {
			if l.Spectral == nil {
				return finished(make(c.Value(l.Weight)), dt)
			}
			w := l.Spectral.divided(c, c.Value(l.Weight).DType()) // not Weight, which would be kept as well
			defer w.Done()
			return finished(make(w), dt)
		})
}

// joinedPixels is the number of pixels at the lower resolution from which layers are joined with
// the resampling where the backend has no opinion (tensor.Resampler): it saves 20 of 36
// multiplications, and is the CPU's limit, since nobody has measured another device's.
const joinedPixels = 64

// joins reports whether the layer, on images whose lower resolution is h×w, is to be joined with
// the resampling.
func (l *Conv2D) joins(c *Ctx, h, w int) bool {
	s, p := l.Weight.Shape, l.Attr
	pays := h*w >= joinedPixels
	if b, ok := c.Graph.Backend().(tensor.Resampler); ok {
		pays = b.JoinsResampling(h, w, s[3], s[0])
	}
	return pays && min(s[1], s[2]) > 1 && max(p.StrideH, p.StrideW) == 1 &&
		max(p.DilH, p.DilW, p.Groups) == 1 && max(p.PadTop, p.PadBottom) < s[1] &&
		max(p.PadLeft, p.PadRight) < s[2]
}

// JoinsUpsampling reports whether ForwardUpsampled, for x [N H W In], does without the enlarged
// image. Where it does not, what comes before may as well make that image itself.
func (l *Conv2D) JoinsUpsampling(c *Ctx, x *autodiff.Value) bool {
	return l.joins(c, x.Dim(1), x.Dim(2))
}

// ForwardUpsampled returns the layer's answer to x [N H W In] enlarged twice by nearest neighbours,
// where it pays without making the enlarged image (autodiff.UpsampledFilter).
func (l *Conv2D) ForwardUpsampled(c *Ctx, x *autodiff.Value) *autodiff.Value {
	if !l.joins(c, x.Dim(1), x.Dim(2)) {
		up := autodiff.Upsample(x, 2)
		defer up.Done()
		return l.Forward(c, up)
	}
	kh, kw := l.Weight.Shape[1], l.Weight.Shape[2]
	oh, ow := l.Attr.Out(2*x.Dim(1), 2*x.Dim(2), kh, kw)
	w := l.joined(c, true, x.DType(), autodiff.UpsampledFilter)
	defer c.spent(w, l.Weight)
	return l.addBias(c, autodiff.Conv2DInputGrad(x, w, oh, ow,
		autodiff.UpsampledParams(kh, kw, l.Attr)))
}

// ForwardPooled returns the mean over windows of 2×2 pixels, stride 2, of the layer's answer to
// x [N H W In], where it pays without making that answer (autodiff.PooledFilter).
func (l *Conv2D) ForwardPooled(c *Ctx, x *autodiff.Value) *autodiff.Value {
	oh, ow := l.Attr.Out(x.Dim(1), x.Dim(2), l.Weight.Shape[1], l.Weight.Shape[2])
	if !l.joins(c, oh/2, ow/2) {
		y := l.Forward(c, x)
		defer y.Done()
		return autodiff.AvgPool(y, Window(2, 2, 0))
	}
	p := l.Attr
	p.StrideH, p.StrideW = 2, 2
	w := l.joined(c, false, x.DType(), autodiff.PooledFilter)
	defer c.spent(w, l.Weight)
	return autodiff.Conv2DBiasAct(x, w, l.bias(c), nil, false, p)
}

// bias returns the bias's value, nil without one.
func (l *Conv2D) bias(c *Ctx) *autodiff.Value {
	if l.Bias == nil {
		return nil
	}
	return c.Value(l.Bias)
}

func (l *Conv2D) addBias(c *Ctx, y *autodiff.Value) *autodiff.Value {
	if l.Bias == nil {
		return y
	}
	defer y.Done()
	bias := effectiveWeight(c, l.Bias, nil, y.DType())
	defer c.spent(bias, l.Bias)
	return autodiff.Add(y, bias)
}

// MACs returns the multiply-accumulates of one h×w image and the extents of the output:
// OH·OW·Out·KH·KW·In/Groups. The bias is not counted.
func (l *Conv2D) MACs(h, w int) (macs, oh, ow int) {
	s := l.Weight.Shape
	oh, ow = l.Attr.Out(h, w, s[1], s[2])
	return oh * ow * s.Size(), oh, ow
}

// newWeight declares a weight with PyTorch's default initialisation unless init says otherwise.
func newWeight(shape tensor.Shape, init Initializer) *Param {
	if init == nil {
		init = torchDefault
	}
	return &Param{Shape: shape, Init: init}
}

// newBias declares the bias of a layer whose weight has the given shape.
func newBias(weight tensor.Shape, init Initializer) *Param {
	if init == nil {
		fanIn, _ := Fans(weight)
		init = UniformInit{1 / math.Sqrt(float64(max(fanIn, 1)))}
	}
	return &Param{Shape: tensor.Shape{weight[0]}, Init: init, NoWD: true}
}

// weightParams lists what a linear map has.
func weightParams(weight, bias *Param, sn *SpectralNorm) Params {
	ps := Params{{"weight", weight}}
	if bias != nil {
		ps = append(ps, Named{"bias", bias})
	}
	if sn != nil {
		ps = append(ps, Named{"weight_u", sn.U})
	}
	return ps
}
