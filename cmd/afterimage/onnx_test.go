package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/bench/figures"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"
	"afterimage/tensor/ref"
)

// sameNetwork writes an untrained network for scenes in three forms: this program's file, ONNX with
// the normalisation inside, and ONNX as others write it, without normalisation and without a word
// about it.
func sameNetwork(t *testing.T, dir string) (own, inside, bare string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(ref.New())
	defer s.Close()
	o := models.Options{Classes: 10, InputSize: 32, Channels: 3}
	o.Mean, o.Std = customary("")
	m, err := models.New("convnet-mnist", o)
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	if own, err = m.Save(filepath.Join(dir, "own"), tensor.F32); err != nil {
		t.Fatal(err)
	}
	inside = exportTo(t, m, filepath.Join(dir, "inside.onnx"))
	o.Mean, o.Std = nil, nil
	naked, err := models.New("convnet-mnist", o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := naked.Load(s, f); err != nil {
		t.Fatal(err)
	}
	bare = exportTo(t, naked, filepath.Join(dir, "bare.onnx"))
	raw := read(t, bare) // its metadata stands at the end
	const key = "afterimage.classifier"
	at := strings.LastIndex(string(raw), key)
	return own, inside, write(t, bare, append(raw[:at], strings.Replace(string(raw[at:]), key,
		"some.other.program.ok", 1)...))
}

func exportTo(t *testing.T, m *models.Classifier, path string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := onnx.Export(m, f); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestShippedClassifier: the shipped inverters' classifiers are there wherever one is expected.
func TestShippedClassifier(t *testing.T) {
	text := mustCall(t, "evaluate", "classifier", "--weights", "shipped:scenes-standard", "--count",
		"20")
	if !strings.Contains(text, "on scenes test, 20 images") {
		t.Error(text)
	}
}

// A classifier is evaluated and attacked alike in all its forms; what is assumed of a file that
// says nothing is printed, and flags change it.
func TestEvaluateONNX(t *testing.T) {
	own, inside, bare := sameNetwork(t, t.TempDir())
	evaluate := func(more ...string) (classifierResult, string) {
		t.Helper()
		code, out, errOut := call(append(strings.Fields("evaluate classifier --count 60 --threads 1 "+
			"--attack fgsm,pgd-2,square-3 --json --classifier"), more...)...)
		if code != exitOK {
			t.Fatalf("%v: %s", more, errOut)
		}
		var r classifierResult
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r, errOut
	}
	want, _ := evaluate(own)
	for _, file := range []string{inside, bare} {
		got, note := evaluate(file)
		// single precision, in other orders of summation
		if math.Abs(float64(got.CrossEntropy-want.CrossEntropy)) > 1e-5 || got.Correct != want.Correct {
			t.Errorf("%s: %+v, expected %+v", file, got, want)
		}
		for i, a := range got.Attacks {
			if a.Correct != want.Attacks[i].Correct {
				t.Errorf("%s: %s leaves %d, expected %d", file, a.Name, a.Correct,
					want.Attacks[i].Correct)
			}
		}
		says := "as the file says"
		if file == bare {
			says = "mean [0.485 0.456 0.406] std [0.229 0.224 0.225] (customary for ImageNet's images)"
		}
		if strings.Count(note, "\n") != 1 || !strings.Contains(note, says) ||
			!strings.Contains(note, "32×32 RGB in [0, 1], N C H W") {
			t.Errorf("%s: printed %q", file, note)
		}
	}
	got, note := evaluate(bare, "--mean", "0,0,0", "--std", "1,1,1", "--input-scale", "255", "--bgr")
	if got.CrossEntropy == want.CrossEntropy || !strings.Contains(note, "BGR in [0, 255]") ||
		!strings.Contains(note, "(as given)") {
		t.Errorf("with other flags: %+v, printed %q", got, note)
	}
	scaled, note := evaluate(bare, "--input-scale", "255", "--bgr")
	if scaled.CrossEntropy != got.CrossEntropy ||
		!strings.Contains(note, "BGR in [0, 255], N C H W; normalisation: none (pixels in a range") {
		t.Errorf("with a scale alone: %+v, printed %q", scaled, note)
	}
}

// Where the channels stand is seen from the shape; what the file leaves open is the data set's.
func TestGuessOfLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.onnx")
	w := onnx.NewWriter()
	x := w.Node("Transpose", "t", []string{w.Input("x", -1, -1, -1, 3)},
		onnx.IntsAttr("perm", 0, 3, 1, 2))
	x = w.Node("Flatten", "f", []string{w.Node("GlobalAveragePool", "p", []string{x})})
	v := make([]float64, 30)
	for i := range v {
		v[i] = float64(i%7) - 3
	}
	w.Node("Gemm", "y", []string{x, w.Floats("w", []int{3, 10}, v...)})
	w.Output("y", -1, 10)
	if err := atomicfile.Write(path, w.Write); err != nil {
		t.Fatal(err)
	}
	code, _, note := call("evaluate", "classifier", "--count", "8", "--classifier", path)
	if code != exitOK || !strings.Contains(note, "32×32 RGB in [0, 1], N H W C") {
		t.Errorf("exit code %d, printed %q", code, note)
	}
}

// An inverter of an ONNX file is trained, stopped, resumed without the file, and used by every
// command that takes an inverter.
func TestInverterOfONNX(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains a small run")
	}
	dir := t.TempDir()
	_, _, bare := sameNetwork(t, dir)
	run := filepath.Join(dir, "run")
	mustCall(t, tinyInverter(bare, "--out", run, "--input-size", "32")...)
	if err := os.Remove(bare); err != nil {
		t.Fatal(err)
	}
	before := digest(t, filepath.Join(run, train.CheckpointDir))
	mustCall(t, "train", "inverter", "--resume", run)
	if digest(t, filepath.Join(run, train.CheckpointDir)) != before {
		t.Error("resuming a finished run changed its checkpoints")
	}
	cat, out := picture(t, filepath.Join(dir, "cat.png"), 40, 40), filepath.Join(dir, "out")
	mustCall(t, "invert", "--inverter", run, "--draws", "2", "--out", out, cat)
	_, inside, _ := sameNetwork(t, dir)
	ev := mustCall(t, "evaluate", "inverter", run, "--images", "16", "--gallery", "32",
		"--independent", inside, "--json")
	if !strings.Contains(ev, `"retrieval_feature"`) {
		t.Error("the independent network's features were not used")
	}
	mustCall(t, "explore", "noise", run, "--images", "8", "--out", out)
	mustCall(t, "export", run, "--out", filepath.Join(dir, "files"))
	if _, err := os.Stat(gan.ClassifierFile(filepath.Join(dir, "files"))); err != nil {
		t.Error(err)
	}
}

// badONNX lists ONNX files and flags that cannot work.
func badONNX(t *testing.T, r runs) []badCase {
	t.Helper()
	_, inside, bare := sameNetwork(t, r.path("onnx"))
	lstm := onnx.NewWriter()
	lstm.Input("x", -1, 3, 32, 32)
	lstm.Node("LSTM", "recur", []string{"x"})
	lstm.Output("recur", -1, 10)
	f, err := os.Create(r.path("onnx", "lstm.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := lstm.Write(f); err != nil {
		t.Fatal(err)
	}
	good := read(t, inside)
	evaluate := func(file string, more ...string) []string {
		return append([]string{"evaluate", "classifier", "--count", "8", "--classifier", file}, more...)
	}
	squeeze := untrained(t, "squeezenet1_1", r.path("onnx", "squeeze.onnx"))
	return []badCase{
		{"a truncated ONNX file", evaluate(write(t, r.path("cut.onnx"), good[:len(good)/2])),
			[]string{"cut.onnx", "damaged"}},
		{"an empty ONNX file", evaluate(write(t, r.path("empty.onnx"), nil)),
			[]string{"empty.onnx", "no graph"}},
		{"a picture as ONNX", evaluate(write(t, r.path("png.onnx"), read(t, r.path("cat.png")))),
			[]string{"png.onnx"}},
		{"no such ONNX file", evaluate(r.path("nowhere.onnx")),
			[]string{"nowhere.onnx", "no such file"}},
		{"an unsupported operator", evaluate(f.Name()),
			[]string{"lstm.onnx", `"recur" (LSTM)`, "recurrent", "unroll"}},
		{"an architecture for an ONNX file", evaluate(inside, "--arch", "resnet8"),
			[]string{"--arch", "leave it out"}},
		{"two means for three channels", evaluate(bare, "--mean", "1,2", "--std", "1,2"),
			[]string{"3 channels", "one number for each channel"}},
		{"a standard deviation of 0", evaluate(bare, "--mean", "0,0,0", "--std", "0,1,1"),
			[]string{"must be positive"}},
		{"a scale of 0", evaluate(bare, "--input-scale", "0"), []string{"must be positive"}},
		{"channels last that are not", evaluate(bare, "--layout", "nhwc"), []string{"square images",
			"give --layout"}},
		{"an unknown layout", evaluate(bare, "--layout", "chwn"), []string{"--layout", "auto"}},
		{"--bgr for weights", evaluate(r.path("good", "classifier"), "--bgr"),
			[]string{"--bgr", "ONNX"}},
		{"features of a network without", tinyInverter(squeeze, "--out", r.path("x"),
			"--condition", "features"), []string{"no features", "use logits"}},
		{"an ONNX file to export", []string{"export", inside, "--out", r.path("x")},
			[]string{"ONNX file already"}},
		{"nothing to export", []string{"export", r.path("nowhere"), "--out", r.path("x")},
			[]string{"nowhere", "no such folder"}},
		{"half an ONNX file", []string{"export", r.path("good", "inverter"), "--out", r.path("x"),
			"--format", "onnx", "--half"}, []string{"--half", "native"}},
		{"an unknown format", []string{"export", r.path("good", "inverter"), "--out", r.path("x"),
			"--format", "tflite"}, []string{"--format", "native"}},
		{"foreign weights to export, no architecture", []string{"export",
			r.path("foreign.safetensors"), "--out", r.path("x")}, []string{"--arch"}},
		{"a judge without features", []string{"evaluate", "inverter", r.path("good", "inverter"),
			"--independent", squeeze}, []string{"no features", "another network"}},
	}
}

// An attack that a network has no gradient for is refused with a reason, behind what was measured
// before.
func TestAttackWithoutGradient(t *testing.T) {
	w := onnx.NewWriter()
	x := w.Input("x", -1, 3, 32, 32)
	mean := w.Node("Flatten", "mean", []string{w.Node("GlobalAveragePool", "pool", []string{x})})
	sum := w.Node("Add", "sum", []string{mean, w.Node("Det", "det", []string{x})})
	y := w.Node("Gather", "logits", []string{sum, w.Longs("ten", 0, 1, 2, 0, 1, 2, 0, 1, 2, 0)},
		onnx.IntAttr("axis", 1))
	w.Output(y, -1, 10)
	var b bytes.Buffer
	if err := w.Write(&b); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "det.onnx"), b.Bytes())
	code, out, errOut := call("evaluate", "classifier", "--count", "60", "--classifier", file,
		"--attack", "square-2,fgsm")
	if code != exitUsage || !strings.Contains(errOut, "Det has no derivative here") ||
		!strings.Contains(out, "clean") || !strings.Contains(out, "square-2") ||
		strings.Contains(out, "fgsm") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

// untrained exports a network for scenes.
func untrained(t *testing.T, arch, path string) string {
	t.Helper()
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := models.New(arch, models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	return exportTo(t, m, path)
}

// The evaluation of an inverter measures LPIPS, with an interval, where its weights are; where not,
// one line says that it is left out and how to get it.
func TestEvaluateInverterLPIPS(t *testing.T) {
	if testing.Short() {
		t.Skip("short: looks at five thousand training images")
	}
	args := strings.Fields("evaluate inverter shipped:scenes-robust --images 8 --gallery 16 --json " +
		"--data")
	code, out, errOut := call(append(args, t.TempDir())...)
	if code != exitOK || strings.Contains(out, "lpips") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if strings.Count(errOut, "\n") != 1 || !strings.HasPrefix(errOut, "LPIPS is left out: ") ||
		!strings.Contains(errOut, "squeeze.pth") || !strings.Contains(errOut, "--lpips-weights") {
		t.Errorf("printed %q", errOut)
	}
	data := figures.Data(t, "no LPIPS weights")
	code, out, errOut = call(append(args, data)...)
	var e struct {
		LPIPS   string `json:"lpips"`
		OneDraw struct {
			LPIPS *struct{ Value, Lo, Hi float64 } `json:"lpips"`
		} `json:"one_draw"`
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v, %s", code, err, errOut)
	}
	if d := e.OneDraw.LPIPS; e.LPIPS != "LPIPS v0.1 squeeze" || d == nil ||
		!(0 < d.Lo && d.Lo < d.Value && d.Value < d.Hi && d.Hi < 1) {
		t.Errorf("%s: %+v", e.LPIPS, d)
	}
}
