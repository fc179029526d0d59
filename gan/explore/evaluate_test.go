package explore

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"afterimage/gan/metrics"
	"afterimage/nn/data"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/mat"
)

// rounding bounds what averaging float32 pictures may change in a number between 0 and 100.
const rounding = 1e-4

func TestThePainterOfTheTruthIsPerfect(t *testing.T) {
	ds := fakeSet(t, 80)
	e, err := Evaluate(oracle(ds), ds, Options{Name: "oracle", Images: 60, Draws: 3, Seed: 1,
		Train:       ds,
		Independent: seer{}, Space: "8×8 means", Control: averagePainter(ds)})
	if err != nil {
		t.Fatal(err)
	}
	s := e.OneDraw
	for name, got := range map[string][2]float64{
		"retrieval": {s.Retrieval.Median.Value, 0}, "by feature": {s.ByFeature.Mean.Value, 0},
		"mse8": {s.MSE8.Value, 0},
		"ssim": {s.SSIM.Value, 1}, "agreement": {s.Agreement.Value, 1},
		"elsewhere": {s.Elsewhere.Value, 1},
		"logits":    {s.Logits.Value, 0}, "noise": {e.Noise.Ratio.Value, 0},
		"frechet":      {s.Frechet.Value, 0},
		"precision":    {s.Sets.Prec, 1},
		"recall":       {s.Sets.Recall, 1},
		"mean picture": {e.MeanDraw.Retrieval.Median.Value, 0}, "accuracy": {e.Accuracy.Value, 1},
		"rivals": {e.Rivals, 19},
	} {
		if !near(got[0], got[1], rounding) {
			t.Errorf("%s is %v, want %v", name, got[0], got[1])
		}
	}
	if !math.IsInf(s.PSNR.Value, 1) {
		t.Errorf("PSNR of equal images is %v", s.PSNR.Value)
	}
	for _, d := range e.OverLabel {
		if d.Name == "retrieval, mean" && !(d.Estimate.Hi < 0) {
			t.Errorf("the truth does not beat the class mean: %v", d.Estimate)
		}
	}
}

// squares is a distance whose values are known.
type squares struct{}

func (squares) Distance(a, b metrics.Images) []float64 { return metrics.MSE(a, b) }

// A perceptual distance is measured for every set of pictures and paired with the label control's;
// without one nothing is reported.
func TestPerceptualDistance(t *testing.T) {
	ds := fakeSet(t, 40)
	o := Options{Images: 40, Draws: 2, Seed: 1, Train: ds, Control: averagePainter(ds)}
	for _, name := range []string{"", "squares"} {
		if o.LPIPSName = name; name != "" {
			o.LPIPS = squares{}
		}
		e, err := Evaluate(oracle(ds), ds, o)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(e)
		if err != nil || strings.Contains(string(raw), "lpips") != (name != "") {
			t.Errorf("%q: JSON %s, %v", name, raw, err)
		}
		pairs := slices.ContainsFunc(e.OverLabel, func(d Difference) bool {
			return d.Name == "LPIPS" && d.Better == "lower" && d.Estimate.Hi < 0
		})
		label := e.Control(ControlLabel)
		if name == "" {
			if pairs || label.LPIPS != nil {
				t.Error("no distance was given, but one is reported")
			}
			continue
		}
		if e.LPIPS != name || !pairs || e.OneDraw.LPIPS.Value > rounding ||
			e.MeanDraw.LPIPS.Value > rounding || e.Control(ControlOther).LPIPS == nil ||
			!(label.LPIPS.Value > 0.001) {
			t.Errorf("%s: truth %v, label control %v, differences %v", e.LPIPS, e.OneDraw.LPIPS,
				label.LPIPS, e.OverLabel)
		}
	}
}

// The ranks of all members of a class by distance to one picture are 0, 1, …, m−1: their mean is 50
// %.
func TestTheClassMeanIsChance(t *testing.T) {
	ds := fakeSet(t, 80)
	for _, trueClass := range []bool{false, true} {
		e, err := Evaluate(averagePainter(ds), ds, Options{Images: 80, Seed: 1, Train: ds,
			TrueClass: trueClass})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.OneDraw.Retrieval.Mean.Value; !near(got, 50, rounding) {
			t.Errorf("mean rank is %v, want 50", got)
		}
		if got := e.Control(ControlMean).Retrieval.Mean.Value; !near(got, 50, rounding) {
			t.Errorf("the control's mean rank is %v, want 50", got)
		}
		if e.OneDraw.Agreement.Value != 1 {
			t.Errorf("the class mean keeps the class in %v of images", e.OneDraw.Agreement.Value)
		}
		if e.MeanDraw != nil || e.Noise != nil || e.OneDraw.ByFeature != nil {
			t.Error("one draw and no independent network gave more than they can")
		}
	}
}

// With true classes the rivals follow the labels, not the verdicts.
func TestProtocolsDifferWhereTheClassifierErrs(t *testing.T) {
	ds := fakeSet(t, 40, 0, 4, 8)
	by := func(trueClass bool) *Evaluation {
		e, err := Evaluate(averagePainter(ds), ds, Options{Images: 40, Seed: 1,
			TrueClass: trueClass})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := by(false); !near(e.Rivals, 9, 1e-9) || e.Protocol != "predicted class" ||
		!near(e.Accuracy.Value, 37.0/40, 1e-9) {
		t.Errorf("predicted: %v rivals, %q, accuracy %v", e.Rivals, e.Protocol, e.Accuracy.Value)
	}
	if e := by(true); near(e.Rivals, 9, 1e-9) || e.Protocol != "true class" {
		t.Errorf("true: %v rivals, %q", e.Rivals, e.Protocol)
	}
}

func TestOtherImagesAreOthersOfTheClass(t *testing.T) {
	ds := fakeSet(t, 24)
	j := &jury{lineup: metrics.FirstN(24, seer{}.Ask(first(ds, 24)).Classes())}
	all := first(ds, 24)
	m := otherImages(j, ds, Options{Gallery: 24, Seed: 3})
	if diff := cmp.Diff(seer{}.Ask(all).Classes(), seer{}.Ask(m).Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	for i, d := range metrics.MSE(m, all) {
		if d == 0 {
			t.Errorf("image %d stands for itself", i)
		}
	}
}

func TestEvaluationSurvivesJSON(t *testing.T) {
	ds := fakeSet(t, 20)
	e, err := Evaluate(oracle(ds), ds, Options{Images: 8, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Evaluation
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(raw) {
		t.Errorf("read and written again: %v\n%s\n%s", err, raw, again)
	}
	if !math.IsNaN(back.OneDraw.PSNR.Value) {
		t.Errorf("an infinite PSNR came back as %v", back.OneDraw.PSNR.Value)
	}
}

// On scenes the truth's factors are recovered as well as the regressor can, those of a
// constant picture not at all.
func TestFactors(t *testing.T) {
	set, err := data.Open("scenes", "", data.Options{Size: 16, Train: 300, Test: 60})
	if err != nil {
		t.Fatal(err)
	}
	grey := fakePainter{paint: func(a Answer, _ Noise) metrics.Images {
		n, _ := a.Logits.Dims()
		return metrics.NewImages(n, 16, 16, 3, metrics.Signed, make([]float32, n*16*16*3))
	}}
	o := Options{Images: 60, Seed: 1, Train: set.Train, Control: grey}
	e, err := Evaluate(tenfold{oracle(set.Test)}, set.Test, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Factors) < 10 {
		t.Fatalf("%d factors", len(e.Factors))
	}
	for _, f := range e.Factors {
		if f.Real != f.Recovered {
			t.Errorf("%s: %v from the image, %v from an equal one", f.Name, f.Real, f.Recovered)
		}
		if f.Linked.Real != f.Linked.Recovered {
			t.Errorf("%s: correlations %v and %v from equal images", f.Name, f.Linked.Real,
				f.Linked.Recovered)
		}
		if f.Linked.Label.Value > 1e-6 {
			t.Errorf("%s: a grey picture correlates, %v", f.Name, f.Linked.Label.Value)
		}
		if f.Label.Value > 0.05 {
			t.Errorf("%s: R² %v from a grey picture", f.Name, f.Label.Value)
		}
		if f.Name == "position" && f.Real.Value < 0.5 {
			t.Errorf("position is read with R² %v only", f.Real.Value)
		}
	}
}

func TestWholeFactors(t *testing.T) {
	got := wholeFactors([]string{"position.x", "position.y", "size", "light.sin", "light.cos",
		"light.brightness"})
	want := []wholeFactor{{"position", []int{0, 1}}, {"size", []int{2}}, {"light", []int{3, 4}},
		{"light.brightness", []int{5}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wholeFactor{})); diff != "" {
		t.Error(diff)
	}
}

// A rescaled reading is perfectly linked, one of the wrong sign or of another image not at all.
func TestSquaredCorrelation(t *testing.T) {
	y := mat.NewDense(4, 1, []float64{1, 2, 3, 4})
	for _, c := range []struct {
		read []float64
		want float64
	}{
		{[]float64{10, 20, 30, 40}, 1}, {[]float64{4, 3, 2, 1}, 0},
		{[]float64{5, 5, 5, 5}, 0}, {[]float64{1, 3, 2, 4}, 0.64},
	} {
		e := squaredCorrelation(mat.NewDense(4, 1, c.read), y, []int{0}, (&jury{}).key("x"))
		if !near(e.Value, c.want, 1e-12) {
			t.Errorf("%v: %v, want %v", c.read, e.Value, c.want)
		}
	}
}

func TestEvaluateRefuses(t *testing.T) {
	ds := fakeSet(t, 20)
	if _, err := Evaluate(oracle(ds), ds, Options{Images: 1}); err == nil {
		t.Error("one image was accepted")
	}
	small, err := data.NewMemory(data.Images{Name: "small", H: 8, W: 8, C: 3,
		Pixels: make([]uint8, 4*8*8*3), Labels: []int32{-1, -1, -1, -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Evaluate(oracle(small), small, Options{}); err == nil {
		t.Error("8-pixel images were accepted")
	}
	if _, err := Evaluate(oracle(ds), unlabelled(t, ds), Options{TrueClass: true}); err == nil {
		t.Error("rivals of a true class that nobody knows were accepted")
	}
	_, err = Evaluate(oracle(ds), classes(t, ds, 3), Options{})
	wantOtherClasses(t, err)
}

// classes returns the images of ds with labels of n classes, all of the first.
func classes(t testing.TB, ds data.Dataset, n int) data.Dataset {
	t.Helper()
	h, w, c := ds.Size()
	pix := make([]uint8, ds.Len()*h*w*c)
	for i := range ds.Len() {
		ds.Read(i, pix[i*h*w*c:(i+1)*h*w*c])
	}
	m, err := data.NewMemory(data.Images{Name: "other", Classes: strings.Split("abcdefgh", "")[:n],
		H: h, W: w, C: c, Pixels: pix, Labels: make([]int32, ds.Len())})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantOtherClasses checks the error about images of 3 classes for a classifier of 4.
func wantOtherClasses(t *testing.T, err error) {
	t.Helper()
	const says = "images of the classifier's 4 classes, other has 3: give the data set"
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("images of other classes: %v, expected %q", err, says)
	}
}

// Without labels nothing is said of the classifier's accuracy, and all else is measured.
func TestEvaluateWithoutLabels(t *testing.T) {
	ds := fakeSet(t, 20)
	e, err := Evaluate(oracle(ds), unlabelled(t, ds), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(e.Accuracy.Value) || e.OneDraw.Retrieval.Mean.Value != 0 {
		t.Errorf("accuracy %v, mean rank %v: expected none, and 0", e.Accuracy, e.OneDraw.Retrieval.Mean)
	}
}

func first(ds data.Dataset, n int) metrics.Images {
	m, _ := Load(ds, 0, n)
	return m
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol }
