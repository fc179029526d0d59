package lpips_test

import (
	"fmt"
	"image"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterimage/bench/figures"
	"afterimage/gan/metrics"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/ref"
)

// dataDir returns the folder of real data or skips the test.
func dataDir(t *testing.T) string {
	t.Helper()
	return figures.Data(t, "published LPIPS values not checked")
}

// openSqueeze opens the published metric on one thread.
func openSqueeze(t *testing.T) *lpips.Metric {
	t.Helper()
	f, err := lpips.Find(dataDir(t), lpips.Squeeze)
	if err != nil {
		t.Fatal(err)
	}
	b := cpu.Open(1)
	s := tensor.NewScope(b)
	t.Cleanup(func() { s.Close(); b.Close() })
	m, err := lpips.Open(s, f.Backbone, f.Linear, lpips.Squeeze)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomMetric returns a metric with drawn weights on the reference backend.
func randomMetric(t *testing.T, net lpips.Net) *lpips.Metric {
	t.Helper()
	b := ref.New()
	s := tensor.NewScope(b)
	t.Cleanup(s.Close)
	m := lpips.New(b, net)
	nn.Init(s, nn.Join(m.Backbone(), m.Linear()), 1)
	return m
}

// randomImages draws images uniform in r.
func randomImages(n, h, w, c int, r metrics.Range, stream string) metrics.Images {
	rng := tensor.NewRNG(tensor.NewKey(1, stream), 0)
	pix := make([]float32, n*h*w*c)
	for i := range pix {
		pix[i] = float32(rng.Uniform(1-r.Peak(), 1))
	}
	return metrics.NewImages(n, h, w, c, r, pix)
}

// referenceTol is half a unit of the reference's last place plus single-precision rounding through
// the network, which was seen at 1e-7.
const referenceTol = 6e-6

// TestPublished compares with the doctest of torchmetrics' functional/image/lpips.py.
func TestPublished(t *testing.T) {
	m := openSqueeze(t)
	file, err := checkpoint.Open(filepath.Join(dataDir(t), "lpips",
		"torch_rand_seed42_2x3x100x100.npz"))
	if err != nil {
		t.Fatal(err)
	}
	batch := func(name string) metrics.Images {
		a, err := file.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		s := a.Shape // [N C H W]
		return metrics.NewImages(s[0], s[2], s[3], s[1], metrics.Unit,
			a.Transpose(0, 2, 3, 1).Float32s())
	}
	got := m.Distance(batch("img1"), batch("img2"))
	t.Logf("LPIPS squeeze: %.8f", got)
	// Beside the published value stands that of a separate implementation with these weights.
	for i, d := range got {
		name := fmt.Sprintf("LPIPS squeeze, random pair %d", i+1)
		figures.Check(t, name, d)
		figures.Check(t, name+", eight places", d)
	}
}

// TestPublishedLayers compares totals and every layer's summand of the example images.
func TestPublishedLayers(t *testing.T) {
	m := openSqueeze(t)
	dir := filepath.Join(dataDir(t), "lpips")
	table, err := os.ReadFile(filepath.Join(dir, "squeeze_reference.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	pairs := 0
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.Split(strings.TrimSpace(line), "\t")
		a, b := readRGB(t, filepath.Join(dir, cols[0])), readRGB(t, filepath.Join(dir, cols[1]))
		compare := func(what string, got float64, want string) {
			t.Helper()
			v, err := strconv.ParseFloat(want, 64)
			if err != nil || math.Abs(got-v) > referenceTol {
				t.Errorf("%s, %s: %.6f, reference %s %v", cols[1], what, got, want, err)
			}
		}
		total := m.Distance(a, b)[0]
		figures.Check(t, "LPIPS squeeze, ex_ref and "+strings.TrimSuffix(cols[1], ".png"), total)
		compare("total", total, cols[2])
		terms := strings.Fields(cols[3])
		layers := m.Layers(a, b)
		if len(terms) != 7 || len(layers) != 7 {
			t.Fatalf("%d terms for %d layers", len(terms), len(layers))
		}
		for i, want := range terms {
			compare("layer "+strconv.Itoa(i), layers[i][0], want)
		}
		pairs++
	}
	if pairs != 2 {
		t.Errorf("compared %d pairs, the table has 2", pairs)
	}
}

// batchTol bounds, relative to the distance, what a backend that chooses kernels by shape rounds
// differently for a batch; 2e-6 was seen.
const batchTol = 1e-5

// On the fast backend an image's distance is the same in a batch and alone, but for rounding.
func TestBatchOnFastBackend(t *testing.T) {
	m := openSqueeze(t)
	a := randomImages(5, 32, 32, 3, metrics.Unit, "a")
	b := randomImages(5, 32, 32, 3, metrics.Unit, "b")
	for i, d := range m.Distance(a, b) {
		one := m.Distance(a.Slice(i, i+1), b.Slice(i, i+1))[0]
		if math.Abs(one-d) > batchTol*d {
			t.Errorf("pair %d: %g alone, %g in a batch", i, one, d)
		}
	}
}

func readRGB(t *testing.T, path string) metrics.Images {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	b := img.Bounds()
	var pix []uint8
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			pix = append(pix, uint8(r>>8), uint8(g>>8), uint8(bl>>8))
		}
	}
	return metrics.FromBytes(1, b.Dy(), b.Dx(), 3, pix)
}

// The distance does not depend on the range images carry, on the order of the two, on the batch
// around them, or on whether grey is stored once or three times; equal images have distance 0.
func TestDistance(t *testing.T) {
	m := randomMetric(t, lpips.Squeeze)
	a := randomImages(3, 20, 24, 3, metrics.Signed, "a")
	b := randomImages(3, 20, 24, 3, metrics.Signed, "b")
	want := m.Distance(a, b)
	for i, v := range want {
		if !(v > 0) {
			t.Errorf("pair %d: distance %g of different images", i, v)
		}
		if one := m.Distance(a.Slice(i, i+1), b.Slice(i, i+1)); one[0] != v {
			t.Errorf("pair %d: %g alone, %g in a batch", i, one[0], v)
		}
	}
	if got := m.Distance(b, a); !slices.Equal(got, want) {
		t.Errorf("not symmetric: %v and %v", want, got)
	}
	if got := m.Distance(a, a); !slices.Equal(got, []float64{0, 0, 0}) {
		t.Errorf("equal images: %v", got)
	}
	mixed := m.Distance(a.In(metrics.Unit), b)
	for i, v := range mixed {
		if math.Abs(v-want[i]) > 1e-5*want[i] { // the conversion rounds
			t.Errorf("pair %d: %g from [0, 1], %g from [-1, 1]", i, v, want[i])
		}
	}
	grey := randomImages(1, 20, 20, 1, metrics.Unit, "grey")
	var three []float32
	for _, v := range grey.Pix {
		three = append(three, v, v, v)
	}
	other := randomImages(1, 20, 20, 3, metrics.Unit, "other")
	colour := metrics.NewImages(1, 20, 20, 3, metrics.Unit, three)
	if g, c := m.Distance(grey, other), m.Distance(colour, other); g[0] != c[0] {
		t.Errorf("grey stored once %g, three times %g", g[0], c[0])
	}
	if got := m.Distance(a.Slice(0, 0), b.Slice(0, 0)); len(got) != 0 {
		t.Errorf("no images: %v", got)
	}
}

func TestMisuse(t *testing.T) {
	m := randomMetric(t, lpips.Squeeze)
	a := randomImages(1, 20, 20, 3, metrics.Unit, "a")
	for want, f := range map[string]func(){
		"shapes differ": func() { m.Distance(a, randomImages(1, 20, 24, 3, metrics.Unit, "b")) },
		"for squeeze with H, W ≥ 17": func() {
			small := randomImages(1, 16, 20, 3, metrics.Unit, "b")
			m.Distance(small, small)
		},
		"expected two batches [N H W 3]": func() {
			two := randomImages(1, 20, 20, 2, metrics.Unit, "b")
			m.Distance(two, two)
		},
		`no network is called "resnet"`: func() { lpips.New(ref.New(), "resnet") },
	} {
		if err := tensor.Try(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// The other backbones have torchvision's parameters (counts of its alexnet and vgg16 without their
// classifiers), take their smallest image and no smaller, and give one summand for each tap.
func TestOtherBackbones(t *testing.T) {
	for net, want := range map[lpips.Net]struct {
		params int
		names  []string
	}{
		lpips.Alex:    {2_469_696, []string{"features.0.weight", "features.10.bias"}},
		lpips.VGG:     {14_714_688, []string{"features.17.weight", "features.28.bias"}},
		lpips.Squeeze: {722_496, []string{"features.0.bias", "features.12.expand3x3.bias"}},
	} {
		b := cpu.Open(1)
		m := lpips.New(b, net)
		if got := nn.Count(m.Backbone()); got != want.params {
			t.Errorf("%s: %d parameters, want %d", net, got, want.params)
		}
		for _, name := range want.names {
			if !slices.ContainsFunc(m.Backbone(), func(p nn.Named) bool { return p.Name == name }) {
				t.Errorf("%s has no %s", net, name)
			}
		}
		if net == lpips.VGG && testing.Short() {
			b.Close()
			continue // 15 million random numbers
		}
		s := tensor.NewScope(b)
		nn.Init(s, nn.Join(m.Backbone(), m.Linear()), 1)
		n := net.Smallest()
		x := randomImages(1, n, n+3, 3, metrics.Unit, "x")
		y := randomImages(1, n, n+3, 3, metrics.Unit, "y")
		layers := m.Layers(x, y)
		sum := 0.0
		for i, l := range layers {
			if !(l[0] > 0) {
				t.Errorf("%s: layer %d: %g", net, i, l[0])
			}
			sum += l[0]
		}
		d := m.Distance(x, y)[0]
		if len(layers) != len(net.Channels()) || math.Abs(d-sum) > 1e-5*d {
			t.Errorf("%s: %d layers, sum %g, distance %g", net, len(layers), sum, d)
		}
		s.Close()
		b.Close()
	}
}

// The published linear weights of all three nets fit their taps, and none is negative.
func TestPublishedLinearWeights(t *testing.T) {
	dir := dataDir(t)
	for _, net := range lpips.Nets() {
		file, err := checkpoint.Open(filepath.Join(dir, "lpips", "weights", "v0.1",
			string(net)+".pth"))
		if err != nil {
			t.Fatal(err)
		}
		s := tensor.NewScope(ref.New())
		m := lpips.New(s.Backend(), net)
		if err := models.LoadFile(s, m.Linear(), file, models.Mapping{}); err != nil {
			t.Errorf("%s: %v", net, err)
		} else {
			for _, p := range m.Linear() {
				if slices.Min(p.Param.T.Floats()) < 0 {
					t.Errorf("%s: %s has a negative weight", net, p.Name)
				}
			}
		}
		s.Close()
	}
}
