package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// runs are the good runs that bad input must leave alone, and files made from them.
type runs struct{ dir string }

func (r runs) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

// weights is a file of the good runs' checkpoints.
func (r runs) weights(run, file string) string {
	return r.path("good", run, train.CheckpointDir, file)
}

// makeRuns trains a classifier and an inverter of it.
func makeRuns(t *testing.T) runs {
	t.Helper()
	r := runs{t.TempDir()}
	mustCall(t, tinyClassifier("--out", r.path("good", "classifier"))...)
	mustCall(t, tinyInverter(r.path("good", "classifier"), "--out", r.path("good", "inverter"))...)
	return r
}

// A badCase is a command line that cannot work.
type badCase struct {
	name string
	args []string
	says []string // what the message has to contain
}

// TestBadInput gives the program every kind of bad input. Each gets one line that says what is
// wrong, what was expected and what to do, and exit code 2; nothing is written, and existing runs
// are unharmed.
func TestBadInput(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains two small runs")
	}
	r := makeRuns(t)
	lists := [][]badCase{badWeights(t, r), badImages(t, r), badConfigs(r), badData(t, r),
		badRuns(t, r), badUsage(r), badONNX(t, r), badAttacks(r), badInverters(t, r), badPlaces(t, r)}
	before := digest(t, r.dir)
	for _, list := range lists {
		for _, c := range list {
			code, out, errOut := call(c.args...)
			if code != exitUsage {
				t.Errorf("%s: exit code %d, expected %d: %s", c.name, code, exitUsage, errOut)
			}
			checkMessage(t, c, out, errOut)
		}
		if after := digest(t, r.dir); after != before {
			t.Fatalf("files were changed between %q and %q", list[0].name, list[len(list)-1].name)
		}
	}
}

// checkMessage wants one line, or one and the hint at the help text.
func checkMessage(t *testing.T, c badCase, out, errOut string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	if len(lines) == 2 && strings.HasPrefix(lines[1], "Try: afterimage") {
		lines = lines[:1]
	}
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "afterimage: ") || out != "" {
		t.Errorf("%s: expected one line of error, got %q and output %q", c.name, errOut, out)
	}
	for _, s := range c.says {
		if !strings.Contains(errOut, s) {
			t.Errorf("%s: %q does not say %q", c.name, errOut, s)
		}
	}
	for _, s := range []string{"panic", "goroutine", "internal error", "runtime error", "%!"} {
		if strings.Contains(errOut, s) {
			t.Errorf("%s: %q says %q", c.name, errOut, s)
		}
	}
}

func write(t *testing.T, path string, raw []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// resnet8 writes weights of an untrained network of the given number of classes; NaN in place of
// one of them if asked for, and without the metadata that says what they are if foreign.
func resnet8(t *testing.T, path string, classes int, nan, foreign bool) string {
	t.Helper()
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := models.New("resnet8", models.Options{Classes: classes})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	if nan {
		p := nn.List(m)[3].Param.T
		v := p.Floats()
		v[1] = math.NaN()
		p.SetFloats(v)
	}
	f := m.Export()
	if foreign {
		f = models.Export(m, models.Mapping{}, models.OIHW)
	}
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

func badWeights(t *testing.T, r runs) []badCase {
	good := read(t, r.weights("classifier", train.FinalFile))
	evaluate := func(weights string, more ...string) []string {
		return append([]string{"evaluate", "classifier", "--count", "8", "--weights", weights}, more...)
	}
	foreign := resnet8(t, r.path("foreign.safetensors"), 10, false, true)
	nan := r.path("nan")
	copyTree(t, r.path("good", "inverter"), nan)
	damaged := filepath.Join(nan, train.CheckpointDir, "inverter.safetensors")
	raw := read(t, damaged)
	copy(raw[len(raw)-4:], "\x00\x00\xc0\x7f")
	write(t, damaged, raw)
	return []badCase{
		{"truncated weights", evaluate(write(t, r.path("cut.safetensors"), good[:len(good)/2])),
			[]string{"cut.safetensors", "damaged or cut short"}},
		{"empty weights", evaluate(write(t, r.path("empty.pth"), nil)),
			[]string{"empty.pth", "an empty file"}},
		{"a text as weights", evaluate(r.path("good", "classifier", train.ConfigFile)),
			[]string{"config.yaml", "expected safetensors"}},
		{"a checkpoint with optimizer as weights", evaluate(r.weights("classifier", train.LatestFile)),
			[]string{"latest.safetensors", "--arch"}},
		{"no such weights", evaluate(r.path("nowhere.pth")),
			[]string{"nowhere.pth", "no such file", "check the path"}},
		{"no weights", []string{"evaluate", "classifier"}, []string{"--classifier"}},
		{"weights of 7 classes", evaluate(resnet8(t, r.path("seven.safetensors"), 7, false, false)),
			[]string{"7 classes", "has 10"}},
		{"NaN in weights", evaluate(resnet8(t, r.path("nan.safetensors"), 10, true, false)),
			[]string{"nan.safetensors", "not finite at element 1"}},
		{"an inverter with a changed number", []string{"invert", "--inverter", nan, "--out", r.path("x"),
			r.path("cat.png")}, []string{"inverter.safetensors", "damaged or changed"}},
		{"foreign weights, no architecture", evaluate(foreign), []string{"--arch", "resnet20-cifar"}},
		{"foreign weights, another architecture", evaluate(foreign, "--arch", "resnet20-cifar"),
			[]string{"missing", "layer1.1.conv1.weight", "use a checkpoint of this network"}},
		{"foreign weights, unknown architecture", evaluate(foreign, "--arch", "resnet21"),
			[]string{"resnet21", "expected one of"}},
		{"means of one channel", evaluate(foreign, "--arch", "resnet8", "--mean", "1",
			"--std", "1"), []string{"expected 3 each"}},
		{"an unfinished run as an inverter", []string{"invert", "--inverter",
			r.path("good", "classifier"), r.path("cat.png")}, []string{"no finished inverter"}},
		{"a classifier to invert that is none", tinyInverter(r.path("good"), "--out", r.path("x")),
			[]string{"holds no trained classifier"}},
		{"no classifier to invert", tinyInverter("", "--out", r.path("x")),
			[]string{"which classifier?"}},
	}
}

func picture(t *testing.T, path string, w, h int) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, color.RGBA{uint8(i), uint8(3 * i), 200, 255})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func badImages(t *testing.T, r runs) []badCase {
	cat := picture(t, r.path("cat.png"), 40, 40)
	if err := os.Mkdir(r.path("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := picture(t, r.path("other", "cat.png"), 40, 40)
	invert := func(args ...string) []string {
		return append([]string{"invert", "--inverter", r.path("good", "inverter"), "--out", r.path("x")},
			args...)
	}
	whole := read(t, cat)
	return []badCase{
		{"a 1-pixel image", invert(picture(t, r.path("one.png"), 1, 1)),
			[]string{"one.png", "1×1 pixels", "expected at least 8×8", "larger"}},
		{"a good and a 1-pixel image", invert(cat, r.path("one.png")), []string{"one.png"}},
		{"half an image", invert(write(t, r.path("half.png"), whole[:len(whole)/2])),
			[]string{"half.png", "damaged"}},
		{"a text as image", invert(r.path("good", "inverter", train.ConfigFile)),
			[]string{"not a PNG or JPEG"}},
		{"a folder as image", invert(r.path("other")), []string{"other", "PNG or JPEG"}},
		{"no such image", invert(r.path("dog.png")), []string{"dog.png", "no such file"}},
		{"two images of one name", invert(cat, other), []string{"both be painted"}},
		{"an image over itself", invert(other, "--out", r.path("other")),
			[]string{"painted over", "--out"}},
		{"no draws", invert(cat, "--draws", "0"), []string{"--draws 0", "expected 1"}},
		{"enormous pictures", invert(cat, "--scale", "100000"), []string{"--scale 100000"}},
	}
}

func badConfigs(r runs) []badCase { return append(badClassifiers(r), badInverterConfigs(r)...) }

func badClassifiers(r runs) (cases []badCase) {
	for flags, says := range map[string][]string{
		"--epochs 0":                         {"epochs is 0", "expected more than 0"},
		"--epochs NaN":                       {"epochs is NaN"},
		"--epochs 1e300":                     {"epochs is 1e+300", "steps"},
		"--batch 1":                          {"batch is 1", "expected 2 or more"},
		"--batch 17":                         {"batch size", "expected 1 to 16", "got 17"},
		"--batch=-4":                         {"batch is -4"},
		"--lr=-0.1":                          {"lr is -0.1", "more than 0"},
		"--lr NaN":                           {"lr is NaN"},
		"--momentum 2":                       {"momentum is 2", "[0, 1)"},
		"--best=-1":                          {"best -1", "0 or more"},
		"--save-every=-1":                    {"save_every -1"},
		"--train-images=-1":                  {"train_images -1"},
		"--schedule warm":                    {"warm", "expected triangular"},
		"--schedule onecycle":                {"onecycle", "triangular", "one-cycle"},
		"--smoothing 1":                      {"label_smoothing is 1"},
		"--arch resnet21":                    {"resnet21", "expected one of"},
		"--arch lenet":                       {"lenet", "lenet5"},
		"--adversary l7":                     {"l7", "expected none, linf or l2"},
		"--dataset scene":                    {"unknown dataset", "scenes"},
		"--dataset cifar-11":                 {"unknown dataset", "cifar-10"},
		"--memory 1":                         {"more", "in use", "1.0 MB is the limit", "smaller batch"},
		"--adversary linf --eps NaN":         {"--eps NaN"},
		"--adversary linf --eps=-8":          {"--eps -8", "more than 0"},
		"--adversary linf --attack-steps=-1": {"steps -1"},
		"--adversary linf --eps 800":         {"--eps 800", "at most 255"},
		"--adversary linf --ramp 3":          {"ramp is 3"},
		"--device cuda:x":                    {"names no GPU", "cuda:0", "--device cpu"},
		"--device tpu":                       {"expected auto, cpu or cuda:0"},
		"--threads=-1":                       {"--threads -1"},
		"--memory=-1":                        {"--memory -1"},
		"--resume " + r.path("good", "classifier"): {"--out and --resume exclude each other"},
	} {
		args := append(tinyClassifier("--out", r.path("x")), strings.Fields(flags)...)
		cases = append(cases, badCase{"classifier " + flags, args, says})
	}
	return cases
}

func badInverterConfigs(r runs) (cases []badCase) {
	for flags, says := range map[string][]string{
		"--steps 0":        {"steps is 0", "expected 1"},
		"--batch 1":        {"batch is 1"},
		"--batch 17":       {"batch size", "got 17"},
		"--d-steps 0":      {"d_steps is 0"},
		"--lr-g=-1":        {"lr_g -1"},
		"--lr-d NaN":       {"lr_d NaN"},
		"--ema 1":          {"ema 1"},
		"--ch 0":           {"--ch 0"},
		"--ch 1000000000":  {"ch_g 1000000000", "at most"},
		"--save-every 0":   {"save_every 0"},
		"--sample-every 0": {"sample_every 0"},
		"--net wide":       {"expected slim, biggan, biggan64 or biggan128"},
		"--condition x":    {"expected label, logits or features"},
		"--memory 2":       {"in use", "2.0 MB is the limit", "smaller batch"},
		"--ch 512":         {"in use", "is the limit", "smaller network"},
	} {
		args := append(tinyInverter(r.path("good", "classifier"), "--out", r.path("x")),
			strings.Fields(flags)...)
		if flags == "--ch 512" {
			args = append(args, "--memory", "8")
		}
		cases = append(cases, badCase{"inverter " + flags, args, says})
	}
	return cases
}

// badData damages data sets: CIFAR-10 with a batch cut short, with a label that does not exist,
// without its files; folders without images.
func badData(t *testing.T, r runs) []badCase {
	const record = 3073
	cifar := func(name string, raw []byte) string {
		for i := 1; i <= 5; i++ {
			write(t, r.path(name, "cifar-10-batches-bin", fmt.Sprintf("data_batch_%d.bin", i)), raw)
		}
		write(t, r.path(name, "cifar-10-batches-bin", "test_batch.bin"), raw)
		return r.path(name)
	}
	label := make([]byte, 4*record)
	label[2*record] = 11
	few := cifar("few", make([]byte, record))
	folder := r.path("folder")
	write(t, filepath.Join(folder, "a", "x.txt"), nil)
	trainOn := func(dataset, dir string) []string {
		return append(tinyClassifier("--out", r.path("x")), "--dataset", dataset, "--data", dir)
	}
	show := func(dataset, dir string, more ...string) []string {
		return append([]string{"data", "show", "--dataset", dataset, "--data", dir}, more...)
	}
	return []badCase{
		{"no data folder", trainOn("cifar-10", r.path("nodata")),
			[]string{"nodata", "afterimage data get"}},
		{"no data in the folder", trainOn("mnist", r.path("good")),
			[]string{"mnist", "afterimage data get"}},
		{"CIFAR cut short", trainOn("cifar-10", cifar("short", make([]byte, 2*record-5))),
			[]string{"data_batch_1.bin", "expected", "got"}},
		{"CIFAR with a wrong label", trainOn("cifar-10", cifar("label", label)),
			[]string{"data_batch_1.bin", "11"}},
		{"too little data", trainOn("cifar-10", few), []string{"5 training images", "10 or more"}},
		{"a folder without images", trainOn("folder:"+folder, ""), []string{"folder"}},
		{"no such folder", trainOn("folder:"+r.path("nofolder"), ""),
			[]string{"nofolder", "no such file"}},
		{"fewer than no images", show("scenes", "", "--count=-1", "--out", r.path("x.png")),
			[]string{"--count -1"}},
		{"no such split", show("scenes", "", "--split", "dev"), []string{"dev", "train"}},
		{"unknown download", []string{"data", "get", "imagenet", "--data", r.path("x")},
			[]string{"imagenet", "cifar-10"}},
	}
}

// badRuns resumes what cannot be resumed and makes runs where there can be none.
func badRuns(t *testing.T, r runs) []badCase {
	copied := func(name, run string) string {
		copyTree(t, r.path("good", run), r.path(name))
		return r.path(name)
	}
	resume := func(kind, dir string) []string { return []string{"train", kind, "--resume", dir} }
	config := read(t, r.path("good", "classifier", train.ConfigFile))
	cut, field := copied("cut", "classifier"), copied("field", "classifier")
	write(t, filepath.Join(cut, train.ConfigFile),
		append(config[:len(config)/2:len(config)/2], "\nmean: ["...))
	write(t, filepath.Join(field, train.ConfigFile),
		append(config[:len(config):len(config)], "spede: 1\n"...))
	epochs := copied("epochs", "classifier")
	write(t, filepath.Join(epochs, train.ConfigFile),
		[]byte(strings.Replace(string(config), "epochs: 1.0", "epochs: 0", 1)))
	arch := copied("arch", "classifier")
	write(t, filepath.Join(arch, train.ConfigFile),
		[]byte(strings.Replace(string(config), "resnet8", "resnet20-cifar", 1)))
	half := copied("half", "inverter")
	latest := filepath.Join(half, train.CheckpointDir, train.LatestFile)
	write(t, latest, read(t, latest)[:5000])
	log := copied("log", "inverter")
	write(t, filepath.Join(log, train.MetricsFile), nil)
	lost := copied("lost", "inverter")
	if err := os.Remove(filepath.Join(lost, train.CheckpointDir,
		"classifier.safetensors")); err != nil {
		t.Fatal(err)
	}
	return []badCase{
		{"resume of nothing", resume("classifier", r.path("nowhere")),
			[]string{"nowhere", "not a run directory", "config.yaml"}},
		{"resume with a setting", append(resume("inverter", r.path("good", "inverter")), "--steps", "3"),
			[]string{"--steps", "keeps the settings"}},
		{"resume of a folder", resume("inverter", r.path("good")), []string{"not a run directory"}},
		{"resume of a file", resume("classifier", r.path("cat.png")),
			[]string{"cat.png", "not a run directory"}},
		{"resume of another kind", resume("classifier", r.path("good", "inverter")),
			[]string{"inverter", "afterimage train inverter --resume"}},
		{"config.yaml cut short", resume("classifier", cut), []string{"config.yaml", "undo the change"}},
		{"config.yaml with a new field", resume("classifier", field), []string{"config.yaml", "spede"}},
		{"config.yaml with no epochs", resume("classifier", epochs), []string{"epochs is 0"}},
		{"config.yaml of another network", resume("classifier", arch),
			[]string{"config.yaml was changed", "arch is resnet20-cifar: expected resnet8"}},
		{"a checkpoint cut short", resume("inverter", half),
			[]string{"latest.safetensors", "damaged or cut short"}},
		{"a log cut short", resume("inverter", log), []string{"metrics.jsonl", "shorter"}},
		{"a classifier lost", resume("inverter", lost),
			[]string{"classifier.safetensors", "no such file"}},
		{"a run over a run", tinyClassifier("--out", r.path("good", "classifier")),
			[]string{"already holds a run", "--resume"}},
		{"a run over files", tinyClassifier("--out", r.path("good")), []string{"not empty", "--out"}},
		{"a run over a file", tinyClassifier("--out", r.path("cat.png")),
			[]string{"cat.png", "not a directory"}},
		{"a run in a file", tinyClassifier("--out", r.path("cat.png", "run")),
			[]string{"cat.png", "not a directory"}},
	}
}

func badUsage(r runs) []badCase {
	return []badCase{
		{"unknown command", []string{"tarin"}, []string{"tarin"}},
		{"half a command", []string{"train"},
			[]string{"classifier", "inverter", "Try: afterimage train --help"}},
		{"unknown flag", []string{"train", "classifier", "--epoch", "3"},
			[]string{"--epoch", "Try: afterimage train classifier --help"}},
		{"a word for a number", []string{"train", "inverter", "--steps", "many"},
			[]string{"--steps", "many"}},
		{"no inverter", []string{"invert", r.path("cat.png")}, []string{"--inverter"}},
		{"unknown attack", []string{"evaluate", "classifier", "--weights", r.path("good", "classifier"),
			"--attack", "cw"}, []string{"cw", "expected fgsm"}},
		{"a negative radius", []string{"evaluate", "classifier", "--weights",
			r.path("good", "classifier"), "--attack", "fgsm", "--eps=-1"}, []string{"--eps -1"}},
		{"unknown experiment", []string{"explore", "magic", r.path("good", "inverter")},
			[]string{"magic", "probe"}},
		{"a classifier to explore", []string{"explore", "noise", r.path("good", "classifier")},
			[]string{"no finished inverter"}},
	}
}
