package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/nn/train"
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
		badRuns(t, r), endedRuns(t, r), badUsage(r), badONNX(t, r), badAttacks(r),
		badInverters(t, r), badPlaces(t, r), badFiles(t, r)}
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

// endedRuns resumes runs that have ended and of which somebody removed a file, or what a file says.
func endedRuns(t *testing.T, r runs) []badCase {
	kind := r.path("kind")
	copyTree(t, r.path("good", "classifier"), kind)
	write(t, filepath.Join(kind, train.ConfigFile), []byte("epochs: 1\n"))
	cases := []badCase{{"config.yaml without its kind",
		[]string{"train", "classifier", "--resume", kind}, []string{"config.yaml", "kind: classifier"}}}
	for run, final := range map[string]string{"classifier": train.FinalFile,
		"inverter": gan.FinalInverter} {
		dir := r.path("ended-" + run)
		copyTree(t, r.path("good", run), dir)
		if err := os.Remove(filepath.Join(dir, train.CheckpointDir, train.LatestFile)); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, badCase{"an ended " + run + " without its latest checkpoint",
			[]string{"train", run, "--resume", dir}, []string{"the run has ended", final, train.LatestFile}})
	}
	return cases
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
