package explore

import (
	"encoding/json"
	"image"
	"image/color"
	"math"
	"os"
	"strings"
	"testing"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/tensor"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/mat"
)

func run(t *testing.T, name string, s Subject) *Result {
	t.Helper()
	r, err := Run(name, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func stat(t *testing.T, r *Result, name string) Stat {
	t.Helper()
	for _, s := range r.Stats {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("%s has no %q: %+v", r.Experiment, name, r.Stats)
	return Stat{}
}

// A painter that ignores the noise has no noise variance and keeps the class.
func TestNoiseOfAPainterThatIgnoresIt(t *testing.T) {
	ds := fakeSet(t, 24)
	r := run(t, "noise", Subject{Name: "oracle", Network: oracle(ds), Test: ds, Draws: 3})
	for _, name := range []string{"noise variance, 8×8 means", "noise variance, pixels",
		"logit error"} {
		if v := stat(t, r, name).Estimate.Value; !near(v, 0, 1e-12) {
			t.Errorf("%s is %v", name, v)
		}
	}
	if v := stat(t, r, "class kept").Estimate.Value; !near(v, 1, 1e-12) {
		t.Errorf("class kept is %v", v)
	}
	if v := stat(t, r, "logit error, another image's logits").Estimate.Value; v < 0.01 {
		t.Errorf("another image's logits are only %v away", v)
	}
	if len(r.Sheet.Rows) != 8 || len(r.Sheet.Columns) != 5 {
		t.Errorf("sheet has %d rows, %d columns", len(r.Sheet.Rows), len(r.Sheet.Columns))
	}
}

// Brightness ±d in alternate draws has the sample variance of those numbers, pixel by pixel.
func TestNoiseVarianceIsTheSampleVariance(t *testing.T) {
	ds := fakeSet(t, 8)
	p := fakePainter{paint: func(a Answer, n Noise) metrics.Images {
		m, _ := Load(ds, 0, 8)
		for i := range m.Pix {
			m.Pix[i] = 0.4 + 0.2*float32(n.Draw%2) + 0.1*float32(i/m.Size()%2)
		}
		return m
	}}
	r := run(t, "noise", Subject{Network: p, Test: ds, Draws: 4})
	want := 4 * 0.01 / 3.0 // four draws, each 0.1 from the mean
	for _, name := range []string{"noise variance, 8×8 means", "noise variance, pixels"} {
		if v := stat(t, r, name).Estimate.Value; !near(v, want, 1e-6) {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

// Stripes of amplitude 0.2 + 0.01·(mean logit) have that RMS contrast: the slopes are known.
func TestShiftSlopeOfKnownContrast(t *testing.T) {
	ds := fakeSet(t, 12)
	s := Subject{Network: fakePainter{paint: stripes}, Test: ds}
	r := run(t, "shift", s)
	l, err := prepare(Experiment{}, s)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.01 * metrics.Average(l.spread())
	if v := stat(t, r, "RMS contrast slope").Estimate.Value; !near(v, want, 1e-6) {
		t.Errorf("contrast slope %v, want %v", v, want)
	}
	if v := stat(t, r, "gradient slope").Estimate.Value; !near(v, 2*want, 1e-5) {
		t.Errorf("gradient slope %v, want %v", v, 2*want)
	}
}

// Scaling that changes the contrast alone leaves no content distance.
func TestScaleOfContrastAloneKeepsContent(t *testing.T) {
	ds := fakeSet(t, 12)
	r := run(t, "scale", Subject{Network: fakePainter{paint: stripes}, Test: ds,
		Independent: seer{}})
	for _, s := range r.Stats {
		if strings.HasPrefix(s.Name, "content distance at ×2") && s.Estimate.Value > 1e-9 {
			t.Errorf("%s is %v", s.Name, s.Estimate.Value)
		}
	}
	if len(r.Curves) != 3 || len(r.Curves[2].Y) != 5 {
		t.Errorf("curves: %+v", r.Curves)
	}
}

// The amplitude of the stripes moves by 0.05·sigma·mean(n): absolute noise of twice the size goes
// four times as far in squared distance, and noise in std units is smaller by the spread.
func TestPerturbGrowsWithTheNoise(t *testing.T) {
	ds := fakeSet(t, 40)
	r := run(t, "perturb", Subject{Network: fakePainter{paint: func(a Answer,
		_ Noise) metrics.Images {
		n, _ := a.Logits.Dims()
		m := metrics.NewImages(n, fakeSide, fakeSide, 3, metrics.Unit, make([]float32,
			n*fakeSide*fakeSide*3))
		for i := range m.Pix {
			m.Pix[i] = float32(0.5 + 0.01*a.Logits.At(i/m.Size(), 0))
		}
		return m
	}}, Test: ds})
	one, two := stat(t, r, "8×8 distance at 1 absolute").Estimate.Value, stat(t, r,
		"8×8 distance at 2 absolute").Estimate.Value
	if one < 0.3e-4 || one > 3e-4 {
		t.Errorf("distance at 1 is %v, expected about 0.01² = 1e-4", one)
	}
	if two < 2*one || two > 8*one {
		t.Errorf("distances at 1 and 2 are %v and %v, expected about 1 to 4", one, two)
	}
	if kept := stat(t, r, "class kept at 1 std").Estimate; kept.N != 40 {
		t.Errorf("class kept is over %d images", kept.N)
	}
}

func TestMisclassifiedOfTheTruth(t *testing.T) {
	ds := fakeSet(t, 40, 1, 2, 7)
	r := run(t, "misclassified", Subject{Network: oracle(ds), Test: ds})
	if v := stat(t, r, "images wrong").Estimate.Value; !near(v, 7.5, 1e-9) {
		t.Errorf("images wrong: %v", v)
	}
	if e := stat(t, r, "8×8 error, wrong − right").Estimate; !near(e.Value, 0, 1e-12) || e.N != 3 {
		t.Errorf("gap %v over %d", e.Value, e.N)
	}
	if e := stat(t, r,
		"8×8 error, wrong − other image of the predicted class").Estimate; !(e.Value < 0) {
		t.Errorf("the truth is no nearer than another image: %v", e.Value)
	}
	if r.Sheet == nil || r.Sheet.Columns[0] != "c→b" {
		t.Errorf("sheet: %+v", r.Sheet)
	}
	none := fakeSet(t, 12)
	if r := run(t, "misclassified", Subject{Network: oracle(none), Test: none}); r.Sheet != nil {
		t.Error("a sheet of no images")
	}
}

// The sheet of wrong images costs one draw more, of no image behind the last that is shown.
func TestWrongSheetPaintsOnce(t *testing.T) {
	ds := fakeSet(t, 40, 1, 2, 7)
	var painted []int
	p := fakePainter{paint: func(a Answer, n Noise) metrics.Images {
		painted = append(painted, len(a.Classes()))
		return oracle(ds).Paint(a, n)
	}}
	r := run(t, "misclassified", Subject{Network: p, Test: ds})
	if diff := cmp.Diff([]int{40, 8}, painted); diff != "" {
		t.Errorf("images painted at a time (-want +got):\n%s", diff)
	}
	if len(r.Sheet.Rows) != 3 || len(r.Sheet.Rows[2].Images) != 3 {
		t.Errorf("sheet: %+v", r.Sheet)
	}
}

func TestMatchingIsByClassAndConfidence(t *testing.T) {
	z := mat.NewDense(5, 2, []float64{5, 0, 9, 0, 6, 0, 0, 4, 0, 7})
	l := &lab{labels: []int32{0, 0, 0, 1, 1}, answer: Answer{z, z}}
	got := l.matchConfidence([]int{0, 4}, []int{1, 2, 3})
	if diff := cmp.Diff([][2]int{{0, 2}, {4, 3}}, got); diff != "" {
		t.Error(diff)
	}
}

// Features that are the 8×8 means themselves explain everything, the label the class's quarter
// alone.
func TestProbeOfKnownCodes(t *testing.T) {
	if testing.Short() {
		t.Skip("short: fits probes to 300 images")
	}
	ds := fakeSet(t, 300)
	test := fakeSet(t, 60)
	r := run(t, "probe", Subject{Network: seer{}, Test: test, Train: ds})
	label, features := stat(t, r, "R², label").Estimate.Value, stat(t, r,
		"R², features").Estimate.Value
	if features < 0.99 || label > 0.5 {
		t.Errorf("R² %v from label, %v from the means themselves", label, features)
	}
	if v := stat(t, r, "retrieval, median, features").Estimate.Value; v != 0 {
		t.Errorf("retrieval from the means themselves: %v", v)
	}
	if v := stat(t, r, "retrieval, mean, label").Estimate.Value; !near(v, 50, 1) {
		t.Errorf("retrieval from the label: %v, expected 50", v)
	}
}

func TestMatchGivesMeanAndSpread(t *testing.T) {
	ds := fakeSet(t, 4)
	a, _ := Load(ds, 0, 2)
	b, _ := Load(ds, 2, 4)
	for i := range b.Pix { // a narrow range, so that nothing is cut
		b.Pix[i] = 0.4 + 0.1*b.Pix[i]
	}
	m := match(a, b)
	for i := range m.N {
		for c := range 3 {
			got, want := moments(m.At(i)[c:], 3), moments(b.At(i)[c:], 3)
			if !near(got[0], want[0], 1e-6) || !near(got[1], want[1], 1e-6) {
				t.Errorf("image %d channel %d: %v, want %v", i, c, got, want)
			}
		}
	}
}

func TestCompareIsPaired(t *testing.T) {
	mk := func(v ...float64) *Result {
		return &Result{Stats: []Stat{{Name: "x", Values: v}, {Name: "y", Values: v, Ratio: true},
			{Name: "median", Values: v, Median: true}, {Name: "z"}}}
	}
	got := Compare(mk(2, 4, math.NaN(), 12), mk(1, 2, 9, 6), 1)
	if len(got) != 3 || got[0].Estimate.Value != 3 || got[1].Estimate.Value != 2 ||
		got[1].Unit != "ratio" || got[0].Estimate.N != 3 || got[2].Estimate.Value != 2 {
		t.Errorf("%+v", got)
	}
}

func TestResultsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	ds := fakeSet(t, 12)
	r := run(t, "shift", Subject{Name: "grey", Network: fakePainter{paint: stripes}, Test: ds,
		Pictures: 3})
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Open(dir, "shift", "grey")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(r)
	b, _ := json.Marshal(back)
	if string(a) != string(b) {
		t.Errorf("written %s\nread %s", a, b)
	}
	if !equalPictures(r.Sheet, back.Sheet) {
		t.Error("the sheet's pictures changed")
	}
	if _, err := Open(dir, "scale", "grey"); !os.IsNotExist(unwrap(err)) {
		t.Errorf("a missing result: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	ds := fakeSet(t, 12)
	for name, s := range map[string]Subject{
		"nonsense": {Network: oracle(ds), Test: ds},
		"noise":    {Network: seer{}, Test: ds},
		"probe":    {Network: seer{}, Test: ds},
		"shift":    {Network: oracle(ds), Test: data.First(ds, 2)},
		// whose labels nobody knows, and whose classes have no name
		"misclassified": {Network: oracle(ds), Test: unlabelled(t, ds)},
	} {
		if _, err := Run(name, s); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	_, err := Run("misclassified", Subject{Network: oracle(ds), Test: classes(t, ds, 3)})
	wantOtherClasses(t, err)
}

func TestJitterDependsOnElementAlone(t *testing.T) {
	key := tensor.NewKey(1, "t")
	long, short := mat.NewDense(6, 2, nil), mat.NewDense(3, 2, nil)
	a, b := jitter(long, []float64{1, 2}, 1, key, 0), jitter(short, []float64{1, 2}, 1, key, 0)
	if !mat.Equal(a.Slice(0, 3, 0, 2), b) {
		t.Error("more images changed the noise of the first")
	}
	if mat.Equal(b, jitter(short, []float64{1, 2}, 1, key, 1)) {
		t.Error("two levels share their noise")
	}
}

func equalPictures(a, b *report.Sheet) bool {
	for r, row := range a.Rows {
		for c, img := range row.Images {
			size := img.Bounds().Size()
			for y := range size.Y {
				for x := range size.X {
					if rgba(img, x, y) != rgba(b.Rows[r].Images[c], x, y) {
						return false
					}
				}
			}
		}
	}
	return len(a.Rows) == len(b.Rows) && cmp.Equal(a.Columns, b.Columns)
}

func rgba(m image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
}

func unwrap(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}
