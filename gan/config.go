package gan

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"afterimage/nn"
	"afterimage/tensor"
)

// A Config describes a BigGAN generator and discriminator. "BigGAN" names a family whose
// published implementations differ; every point on which they do is a field here (PAPER.md says
// which value stands for which implementation, and which the inverter uses). Its names in files are
// those of config.yaml.
type Config struct {
	// image height and width: 4 times 2 to the number of generator blocks
	Size int `yaml:"size" json:"size"`
	Cond int `yaml:"cond" json:"cond"` // width of the condition: classes, logits or features
	ChG  int `yaml:"ch_g" json:"ch_g"` // channel unit of the generator
	ChD  int `yaml:"ch_d" json:"ch_d"` // channel unit of the discriminator

	// input width, then output width of each block, in units of ChG
	GMult []int  `yaml:"g_mult,flow" json:"g_mult"`
	DMult []int  `yaml:"d_mult,flow" json:"d_mult"` // output width of each block, in units of ChD
	DDown []bool `yaml:"d_down,flow" json:"d_down"` // whether the block halves the image

	ZDim         int  `yaml:"z_dim" json:"z_dim"`               // noise numbers for an image
	Hierarchical bool `yaml:"hierarchical" json:"hierarchical"` // a chunk of the noise for each block
	// width of the shared embedding of the condition; 0: none
	Embed int `yaml:"embed" json:"embed"`

	Upsample  string `yaml:"upsample" json:"upsample"`     // nearest, or zero: zero insertion
	PlainGain bool   `yaml:"plain_gain" json:"plain_gain"` // conditional gain W·c instead of 1 + W·c
	// spectral norm on the conditional gains and shifts
	CondSN bool `yaml:"cond_sn" json:"cond_sn"`
	// always, or widening: a block of equal widths has no skip
	SkipRule string `yaml:"skip_rule" json:"skip_rule"`

	// image size after whose block attention stands; 0: none
	GAttention int     `yaml:"g_attention" json:"g_attention"`
	DAttention int     `yaml:"d_attention" json:"d_attention"`
	SNEps      float64 `yaml:"sn_eps" json:"sn_eps"`
	BNEps      float64 `yaml:"bn_eps" json:"bn_eps"`
	Init       string  `yaml:"init" json:"init"` // orthogonal, or normal: N(0, 0.02²)
}

// BigGAN32 is the 32-pixel network of BigGAN's authors' PyTorch code with hierarchical noise and a
// shared embedding: widths 4,4,4,4 in both networks, two halvings in the discriminator.
func BigGAN32(ch, cond int) Config {
	c := base(32, ch, cond, 80)
	c.GMult, c.DMult, c.DDown = []int{4, 4, 4, 4}, []int{4, 4, 4, 4}, []bool{true, true, false, false}
	return c
}

// BigGAN64 is the 64-pixel network: generator 16,16,8,4,2, discriminator 1,2,4,8,16.
func BigGAN64(ch, cond int) Config {
	c := base(64, ch, cond, 100)
	c.GMult, c.DMult = []int{16, 16, 8, 4, 2}, []int{1, 2, 4, 8, 16}
	c.DDown = []bool{true, true, true, true, false}
	return c
}

// BigGAN128 is the 128-pixel network of the paper, attention at 64 pixels; with ch 96 and 1000
// classes it has 70,433,988 and 87,982,370 parameters.
func BigGAN128(ch, cond int) Config {
	c := base(128, ch, cond, 120)
	c.GMult, c.DMult = []int{16, 16, 8, 4, 2, 1}, []int{1, 2, 4, 8, 16, 16}
	c.DDown = []bool{true, true, true, true, true, false}
	c.GAttention, c.DAttention = 64, 64
	return c
}

// Slim32 is BigGAN32 with widths that fall as the image grows: many cheap steps, which on two
// cores beat fewer expensive ones (generator 4,4,2,1, discriminator 1,2,4,4).
func Slim32(ch, cond int) Config {
	c := BigGAN32(ch, cond)
	c.GMult, c.DMult = []int{4, 4, 2, 1}, []int{1, 2, 4, 4}
	return c
}

func base(size, ch, cond, z int) Config {
	return Config{Size: size, Cond: cond, ChG: ch, ChD: ch, ZDim: z, Hierarchical: true, Embed: 128,
		Upsample: "nearest", CondSN: true, SkipRule: "always", SNEps: 1e-6, BNEps: 1e-5,
		Init: "orthogonal"}
}

// Bounds on a network's shape, far above any that is trained: products of its extents fit an int.
const (
	mostBlocks = 10   // of the generator: 4,096 pixels
	mostMult   = 1024 // channel units of a block
)

// Validate returns an error that says which field does not fit and what would. Every comparison is
// written so that NaN fails it.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return tensor.Refuse("gan: Config: "+format, args...)
	}
	blocks := len(c.GMult) - 1
	switch {
	case blocks < 1 || blocks > mostBlocks:
		return bad("g_mult has %d entries: expected 2 to %d, one more than blocks", blocks+1,
			mostBlocks+1)
	case c.Size != 4<<blocks:
		return bad("size %d does not fit %d generator blocks: expected %d", c.Size, blocks, 4<<blocks)
	case len(c.DMult) == 0 || len(c.DMult) != len(c.DDown):
		return bad("d_mult has %d entries and d_down %d: expected as many", len(c.DMult), len(c.DDown))
	case c.Cond < 1 || c.ChG < 1 || c.ChD < 1 || c.ZDim < 1 || c.Embed < 0:
		return bad("cond %d, ch_g %d, ch_d %d and z_dim %d must be positive", c.Cond, c.ChG, c.ChD,
			c.ZDim)
	case c.Hierarchical && c.ZDim%(blocks+1) != 0:
		return bad("z_dim %d is not a multiple of %d, the number of chunks", c.ZDim, blocks+1)
	case c.Upsample != "nearest" && c.Upsample != "zero":
		return bad("upsample %q: expected nearest or zero", c.Upsample)
	case c.SkipRule != "always" && c.SkipRule != "widening":
		return bad("skip_rule %q: expected always or widening", c.SkipRule)
	case c.Init != "orthogonal" && c.Init != "normal":
		return bad("init %q: expected orthogonal or normal", c.Init)
	case !(c.SNEps > 0 && c.SNEps <= math.MaxFloat32) || !(c.BNEps > 0 && c.BNEps <= math.MaxFloat32):
		return bad("sn_eps %g and bn_eps %g must be positive", c.SNEps, c.BNEps)
	case min(slices.Min(c.GMult), slices.Min(c.DMult)) < 1 ||
		max(slices.Max(c.GMult), slices.Max(c.DMult)) > mostMult:
		return bad("g_mult %v and d_mult %v: expected 1 to %d each", c.GMult, c.DMult, mostMult)
	}
	g, d := map[int]int{}, map[int]int{} // channels by image size, where attention may stand
	for i := range blocks {
		g[8<<i] = c.GMult[i+1] * c.ChG
	}
	size := c.Size
	for i, down := range c.DDown {
		if down {
			size /= 2
			d[size] = c.DMult[i] * c.ChD
		}
	}
	if size < 1 {
		return bad("d_down halves a %d-pixel image too often", c.Size)
	}
	return cmp.Or(attends("g_attention", c.GAttention, g), attends("d_attention", c.DAttention, d))
}

// attends returns an error unless attention can stand behind images of the given size, which have
// so many channels; 0 is no attention.
func attends(field string, size int, channels map[int]int) error {
	ch, ok := channels[size]
	switch {
	case size != 0 && !ok:
		return tensor.Refuse("gan: Config: %s is %d: expected 0 or one of the image sizes %v",
			field, size, slices.Sorted(maps.Keys(channels)))
	case size != 0 && ch%8 != 0:
		return tensor.Refuse("gan: Config: %s is %d, where there are %d channels: expected a "+
			"multiple of 8", field, size, ch)
	}
	return nil
}

// chunk returns the noise numbers that go to the first layer and to each block.
func (c Config) chunk() (first, block int) {
	if !c.Hierarchical {
		return c.ZDim, 0
	}
	n := c.ZDim / len(c.GMult)
	return n, n
}

// blockCond returns the width of what conditions a generator block.
func (c Config) blockCond() int {
	_, z := c.chunk()
	if c.Embed > 0 {
		return z + c.Embed
	}
	return z + c.Cond
}

func (c Config) initializer() nn.Initializer {
	if c.Init == "normal" {
		return nn.NormalInit{Std: 0.02}
	}
	return nn.Orthogonal{Gain: 1}
}

// conv declares a spectrally normalised convolution of this family.
func (c Config) conv(in, out, k int) *nn.Conv2D { return c.resampledConv(in, out, k, false) }

// resampledConv is conv for a layer that is called with the image enlarged or pooled, if it is so.
func (c Config) resampledConv(in, out, k int, resampled bool) *nn.Conv2D {
	return nn.NewConv2D(nn.ConvConfig{In: in, Out: out, Kernel: k, Pad: k / 2, Spectral: true,
		Eps: c.SNEps, Resampled: resampled, Init: c.initializer(), BiasInit: nn.Constant(0)})
}

// mustValidate panics with *tensor.Error where Validate would return an error.
func (c Config) mustValidate(op string) {
	if err := c.Validate(); err != nil {
		panic(&tensor.Error{Op: op, Reason: err.Error()})
	}
}
