package gan_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// untrainedInverter returns an inverter with random weights, gains and statistics, so that a
// mixed-up or forgotten one shows.
func untrainedInverter(
	t *testing.T, s *tensor.Scope, net gan.Config, kind gan.Condition,
) *gan.Inverter {
	t.Helper()
	m, err := models.New("resnet8", models.Options{Classes: 7, InputSize: 32})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	cond, err := gan.NewConditioner(m, kind)
	if err != nil {
		t.Fatal(err)
	}
	c := gan.DefaultInverter()
	c.Condition = kind
	net.Cond = cond.Dim()
	c.Net = net
	v := &gan.Inverter{Config: c, G: gan.NewGenerator(net), Conditioner: cond}
	all := nn.Join(nn.List(v.G), cond.State())
	nn.Init(s, all, 5)
	for _, p := range all {
		if len(p.Param.Shape) == 1 && !strings.HasSuffix(p.Name, "_u") {
			x := p.Param.T.Floats()
			for i := range x {
				x[i] += 0.5 * tensor.Uniform01(tensor.NewKey(5, p.Name).Word(0, uint64(i)))
			}
			p.Param.T.SetFloats(x)
		}
	}
	return v
}

// variants are networks that differ in every choice an export has to follow.
func variants() map[string]gan.Config {
	out := map[string]gan.Config{"slim": gan.Slim32(2, 0), "biggan": gan.BigGAN32(2, 0)}
	c := gan.BigGAN32(2, 0)
	c.Upsample, c.PlainGain, c.SkipRule = "zero", true, "widening"
	out["zero insertion, plain gain, no skip"] = c
	c = gan.BigGAN32(2, 0)
	c.Hierarchical, c.Embed, c.CondSN = false, 0, false
	out["one chunk, no embedding, plain matrices"] = c
	c = gan.BigGAN32(2, 0)
	c.GAttention = 16
	out["attention"] = c
	return out
}

// exportedTol bounds the difference of pixels in [−1, 1] between a generator and its export, both
// in single precision, the one with weights divided by their norms beforehand.
const exportedTol = 2e-5

// An exported generator, read again, paints the same pictures from raw conditions.
func TestExportedGeneratorPaintsTheSame(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	for name, net := range variants() {
		for _, kind := range []gan.Condition{gan.Logits, gan.Label} {
			s := tensor.NewScope(b)
			v := untrainedInverter(t, s, net, kind)
			var file bytes.Buffer
			if err := v.ExportONNX(&file); err != nil {
				t.Fatal(err)
			}
			z := v.Noise(s, tensor.NewKey(1, "test/noise"), 0, 3)
			y := s.New(tensor.F32, 3, v.Conditioner.Dim())
			want := func() []float64 {
				if kind == gan.Label {
					y.SetFloats(oneHot(3, v.Conditioner.Dim()))
					return v.Paint(s, y, z).Floats()
				}
				b.Random(tensor.Normal, tensor.NewKey(2, "test/logits"), y,
					tensor.FromSlice(s, []int32{0}, 1))
				g := autodiff.NewGraph(b)
				defer g.Close()
				return v.Paint(s, v.Conditioner.Of(g, g.Const(y), nil).Tensor(), z).Floats()
			}()
			got := runExported(t, s, file.Bytes(), map[string]*tensor.Tensor{
				gan.ExportNoise: z, string(kind): y})
			worst, spread := 0.0, slices.Max(want)-slices.Min(want)
			for i, w := range want {
				worst = max(worst, math.Abs(got[i]-w))
			}
			if !(worst <= exportedTol) || spread < 0.1 {
				t.Errorf("%s, %s: pixels are %g apart, their range is %g", name, kind, worst, spread)
			}
			s.Close()
		}
	}
}

func oneHot(n, k int) []float64 {
	out := make([]float64, n*k)
	for i := range n {
		out[i*k+i] = 1
	}
	return out
}

// runExported runs a file and returns its images in the order N H W C.
func runExported(
	t *testing.T, s *tensor.Scope, file []byte, in map[string]*tensor.Tensor,
) []float64 {
	t.Helper()
	m, err := onnx.Decode("generator.onnx", file)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := onnx.Import(s, m, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	values := map[string]*onnx.Value{}
	for name, x := range in {
		values[name] = onnx.Of(g.Const(x))
	}
	out, err := graph.Run(g, values)
	if err != nil {
		t.Fatal(err)
	}
	return autodiff.Permute(out[gan.ExportImages].Float(), 0, 2, 3, 1).Tensor().Floats()
}

// PyTorch's state_dict has every parameter under its name, its vectors are of length 1, and what
// divides the weight is its largest singular value as the power iteration sees it.
func TestExportTorch(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	v := untrainedInverter(t, s, variants()["attention"], gan.Logits)
	f, err := v.ExportTorch()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shared.weight", "linear.weight_orig", "linear.weight_v",
		"blocks.0.bn1.gain.weight_u", "blocks.2.conv_sc.weight_orig", "blocks.0.bn2.running_var",
		"attention.theta.weight_v", "attention.gamma", "output.0.running_mean",
		"output.1.weight_orig", "output.1.bias", "condition.mean", "condition.std"} {
		if _, ok := f.Get(name); !ok {
			t.Errorf("no %s", name)
		}
	}
	for name, a := range f.All() {
		if strings.HasSuffix(name, "_u") || strings.HasSuffix(name, "_v") {
			sum := 0.0
			for _, x := range a.Float64s() {
				sum += x * x
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Errorf("%s has the squared length %g", name, sum)
			}
		}
	}
	w, _ := f.Get("blocks.0.conv1.weight_orig")
	if !slices.Equal(w.Shape, []int{8, 8, 3, 3}) || f.Metadata["format"] != "pt" ||
		!strings.Contains(f.Metadata["net"], `"g_mult":[4,4,4,4]`) {
		t.Errorf("weights %v, metadata %v", w.Shape, f.Metadata)
	}
	empty := gan.NewGenerator(v.Config.Net)
	without := &gan.Inverter{Config: v.Config, G: empty, Conditioner: v.Conditioner}
	if _, err := without.ExportTorch(); err == nil {
		t.Error("a generator without weights was exported")
	}
}
