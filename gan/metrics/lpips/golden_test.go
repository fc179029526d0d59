package lpips_test

import (
	"math"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/bench/pytorch/golden"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/tensor"
)

// goldenSeed is that of bench/pytorch/lpips.py.
const goldenSeed = 17

// goldenTol: a chain of up to thirteen convolutions, each a sum of up to 4,608 products, and twice
// as many on the way back.
var goldenTol = golden.Tolerances{F64: 1e-13, F32: 2e-5}

// absNormal draws absolute values of normal numbers: linear weights are not negative.
type absNormal struct{}

func (absNormal) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	v := nn.NormalInit{Std: 1}.Values(rng, shape)
	for i := range v {
		v[i] = math.Abs(v[i])
	}
	return v
}

// goldenMetric returns a metric with the weights that lpips.py draws.
func goldenMetric(r *golden.Run, net lpips.Net) *lpips.Metric {
	m := lpips.New(r.Backend, net)
	all := nn.Join(m.Backbone(), m.Linear())
	for _, p := range all {
		switch {
		case strings.HasPrefix(p.Name, "lin"):
			p.Param.Init = absNormal{}
		case strings.HasSuffix(p.Name, ".bias"):
			p.Param.Init = nn.NormalInit{Std: 0.1}
		default:
			p.Param.Init = nn.KaimingNormal{}
		}
	}
	nn.InitDType(r.Scope, all, goldenSeed, r.DType)
	return m
}

// TestGoldenBackbones compares all three forms of the metric, of which only one has weights at
// hand, with the same in PyTorch: the summand of every layer, the distances, and the gradient by
// the image (its norm and its product with cos 0, cos 1, …, which sees the order).
func TestGoldenBackbones(t *testing.T) {
	if testing.Short() {
		t.Skip("short: VGG's 15 million weights and the reference backend take seconds")
	}
	golden.Each(t, "testdata/lpips.safetensors", goldenTol, func(r *golden.Run) {
		for net, size := range map[lpips.Net][2]int{ // height and width
			lpips.Squeeze: {37, 20}, lpips.Alex: {35, 63}, lpips.VGG: {17, 18},
		} {
			goldenNet(r, goldenMetric(r, net), size[0], size[1])
		}
	})
}

func goldenNet(r *golden.Run, m *lpips.Metric, h, w int) {
	g := autodiff.NewGraph(r.Backend)
	defer g.Close()
	name := string(m.Net())
	draw := func(side string) *tensor.Tensor {
		x := r.Scope.New(r.DType, 2, h, w, 3)
		r.Backend.Random(tensor.Uniform, tensor.NewKey(goldenSeed, "golden/"+name+"/"+side), x,
			tensor.FromSlice(r.Scope, []int32{0}, 1))
		r.Backend.Unary(tensor.Affine, tensor.Attr{A: 2, B: -1}, x, x)
		return x
	}
	a, b := g.Leaf(draw("a")), g.Const(draw("b"))
	terms := m.Terms(nn.NewCtx(g, nn.Eval), a, b)
	sum := g.Scalar(r.DType, 0)
	var layers []float64
	distance := make([]float64, 2)
	for _, t := range terms {
		v := t.Keep().Tensor().Floats()
		layers = append(layers, v...)
		for i := range v {
			distance[i] += v[i]
		}
		sum = autodiff.Add(sum, autodiff.Sum(t))
	}
	r.CompareFloats(name+"/layers", layers)
	r.CompareFloats(name+"/distance", distance)
	norm, product := 0.0, 0.0
	for j, v := range autodiff.Grad(sum, []*autodiff.Value{a})[0].Tensor().Floats() {
		norm += v * v
		product += v * math.Cos(float64(j))
	}
	r.CompareFloats(name+"/dx0", []float64{math.Sqrt(norm), product})
}
