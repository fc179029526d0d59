package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/gan/study"
	"afterimage/nn/checkpoint"
	"afterimage/nn/train"
)

// badAttacks asks for trainings and evaluations that would quietly be others than their names say.
func badAttacks(r runs) (cases []badCase) {
	for flags, says := range map[string][]string{
		"--adversary linf --attack-steps 0": {"--attack-steps 0", "expected 1 or more", "ordinary"},
		"--adversary l2 --attack-steps 0":   {"--attack-steps 0", "--adversary l2"},
		"--eps 4":                           {"--eps", "give --adversary linf or l2"},
		"--attack-steps 3":                  {"--attack-steps", "--adversary"},
		"--step-size 2":                     {"--step-size", "--adversary"},
		"--ramp 0.5":                        {"--ramp", "--adversary"},
		"--adversary none --eps 8":          {"--eps", "leave it out"},
	} {
		cases = append(cases, badCase{"classifier " + flags,
			append(tinyClassifier("--out", r.path("x")), strings.Fields(flags)...), says})
	}
	evaluate := []string{"evaluate", "classifier", "--count", "8", "--weights",
		r.path("good", "classifier")}
	for _, name := range []string{"pgd-5abc", "pgd-5x2x9", "pgd-5x", "pgd-x2", "pgd-0", "pgd-05",
		"pgd-5x0", "pgd--5", "pgd-+5", "pgd", "square-10x3", "square", "fgsm-", "fgsm-1",
		"pgd-99999999999999999999"} {
		cases = append(cases, badCase{"attack " + name,
			append(evaluate[:len(evaluate):len(evaluate)], "--attack", name),
			[]string{name, "expected fgsm, pgd-K"}})
	}
	for flags, says := range map[string][]string{
		"--norm l7 --attack fgsm":              {"l7", "expected linf or l2"},
		"--norm l2":                            {"--norm", "add --attack"},
		"--eps 4":                              {"--eps", "add --attack"},
		"--step-size 1":                        {"--step-size", "add --attack"},
		"--mean 0.5,0.5,0.5 --std 1,1,1":       {"says all of itself", "leave out", "--mean"},
		"--arch lenet5":                        {"says all of itself", "resnet8"},
		"--norm l2 --attack pgd-1,square-3":    {"square-3", "--norm linf"},
		"--count -1":                           {"--count -1: expected 0"},
		"--batch -3":                           {"--batch -3: expected 1 or more"},
		"--batch 0":                            {"--batch 0: expected 1 or more"},
		"--attack fgsm --eps -8":               {"--eps -8: expected more than 0"},
		"--attack pgd-2 --step-size -0.5":      {"--step-size -0.5: expected 0"},
		"--count many":                         {"--count: expected a whole number, got \"many\""},
		"--eps big":                            {"--eps: expected a number, got \"big\""},
		"--weights --json":                     {"--weights", "got the flag \"--json\""},
		"--data":                               {"--data: expected a value behind it"},
		"--norm l7 --attack fgsm --data x":     {"l7", "expected linf or l2"}, // before any work
		"--attack pgd-y --weights nowhere.pth": {"pgd-y", "expected fgsm"},
		"--classifier=nowhere.pth":             {"--weights and --classifier", "give one"},
	} {
		cases = append(cases, badCase{"evaluate " + flags,
			append(evaluate[:len(evaluate):len(evaluate)], strings.Fields(flags)...), says})
	}
	return cases
}

// otherDataset rewrites what an inverter's file says of the data set it was trained on.
func otherDataset(t *testing.T, from, to string) {
	t.Helper()
	copyTree(t, from, to)
	path := filepath.Join(to, train.CheckpointDir, "inverter.safetensors")
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	was := f.Metadata["config"]
	f.Metadata["config"] = strings.Replace(was, "dataset: scenes", "dataset: cifar-10", 1)
	if f.Metadata["config"] == was {
		t.Fatal("the metadata does not say the data set")
	}
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
}

// badInverters asks an inverter what it cannot answer, or measures it against what is no control.
func badInverters(t *testing.T, r runs) []badCase {
	label := r.path("told-label")
	mustCall(t, tinyInverter(r.path("good", "classifier"), "--condition", "label", "--out", label)...)
	otherDataset(t, label, r.path("foreign-label"))
	inverter := r.path("good", "inverter")
	control := func(dir string) []string {
		return []string{"evaluate", "inverter", inverter, "--images", "8", "--control", dir}
	}
	mustCall(t, control(label)...) // a good one is taken
	return []badCase{
		{"a control that is told logits", control(inverter),
			[]string{"--control", "told the logits", "--condition label"}},
		{"a control of another data set", control(r.path("foreign-label")),
			[]string{"foreign-label", "cifar-10", "scenes", "same data set"}},
		{"shifted logits for an inverter that is told the label", []string{"explore", "shift", label},
			[]string{"explore shift", "told the label", "told logits"}},
		{"scaled logits likewise", []string{"explore", "scale", label}, []string{"told the label"}},
		{"noisy logits likewise", []string{"explore", "perturb", label, "--json"},
			[]string{"told the label"}},
		{"a foreign judge", []string{"evaluate", "inverter", inverter, "--images", "8",
			"--independent", r.path("foreign.safetensors")},
			[]string{"--independent: ", "give --independent-arch one of"}},
		{"a foreign judge with a mean alone", []string{"explore", "noise", inverter, "--independent",
			r.path("foreign.safetensors"), "--independent-arch", "resnet8", "--independent-std", "1,1,1"},
			[]string{"--independent-std without --independent-mean", "give --independent-mean"}},
		{"a judge that is no ONNX file with an ONNX flag", []string{"explore", "noise", inverter,
			"--independent", r.path("good", "classifier"), "--independent-bgr"},
			[]string{"--independent-bgr, --independent-input-scale, --independent-layout and "}},
	}
}

// badFiles names pipes and devices as files, and sizes that a network's images cannot have.
func badFiles(t *testing.T, r runs) []badCase {
	pipe := filepath.Join(t.TempDir(), "pipe.onnx") // which nobody writes to
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Logf("no pipes: a folder stands for one: %v", err)
		pipe = filepath.Dir(pipe)
	}
	return []badCase{
		{"another size than an ONNX file's", []string{"evaluate", "classifier", "--classifier",
			r.path("onnx", "squeeze.onnx"), "--input-size", "33"},
			[]string{"--input-size 33", "32×32", "leave it out"}},
		{"a negative size", []string{"evaluate", "classifier", "--classifier",
			r.path("foreign.safetensors"), "--arch", "resnet8", "--input-size=-1"},
			[]string{"--input-size -1"}},
		{"a pipe as a network", []string{"evaluate", "classifier", "--classifier", pipe},
			[]string{"expected a regular file"}},
		{"a device as weights", []string{"evaluate", "classifier", "--classifier", os.DevNull},
			[]string{os.DevNull, "expected a regular file"}},
		{"pipes to compare", []string{"compare", pipe, pipe}, []string{"expected a regular file"}},
		{"a pipe to invert", []string{"invert", "--inverter", r.path("good", "inverter"), "--out",
			r.path("x"), pipe}, []string{"expected a regular file"}},
	}
}

// badPlaces names files and folders that are not what they are taken for, and would be written to.
func badPlaces(t *testing.T, r runs) []badCase {
	foreign := []string{"evaluate", "classifier", "--arch", "resnet8", "--weights",
		r.path("foreign.safetensors")}
	export := func(out string, more ...string) []string {
		return append([]string{"export", r.path("good", "inverter"), "--out", out}, more...)
	}
	link := filepath.Join(t.TempDir(), "link") // which a digest would follow
	if err := os.Symlink(r.path("good", "inverter", train.CheckpointDir), link); err != nil {
		t.Fatal(err)
	}
	return []badCase{
		{"a mean alone", append(foreign[:len(foreign):len(foreign)], "--mean", "0.5,0.5,0.5"),
			[]string{"--mean without --std", "both or neither"}},
		{"a study in a run", []string{"study", "--preset", "scenes-quick", "--out",
			r.path("good", "classifier")}, []string{"holds the run", "config.yaml", "--out"}},
		{"a study that is no file", []string{"study", "--preset", r.path("none.yaml")},
			[]string{"none.yaml", "no such file", "check the path", "scenes-quick"}},
		{"an unknown study", []string{"study", "--preset", "scenes"}, []string{"no preset", "scenes"}},
		{"an export over a run's checkpoints", export(r.path("good", "inverter", train.CheckpointDir)),
			[]string{"run's own files", "another folder"}},
		{"an export over another run's checkpoints",
			export(r.path("good", "classifier", train.CheckpointDir)+"/", "--format", "onnx"),
			[]string{"run's own files"}},
		{"an export over a link to them", export(link), []string{"run's own files"}},
		{"an export into a run", export(r.path("good", "inverter")), []string{"run's own files"}},
		{"a report of nothing", []string{"report", r.path("nowhere")},
			[]string{"nowhere", "not a run directory", "config.yaml"}},
		{"a report of a study", []string{"report", filepath.Dir(write(t, r.path("study", "study.yaml"),
			nil))}, []string{"is a study", "--preset"}},
		{"a report of a folder", []string{"report", r.path("good")}, []string{"not a run directory"}},
		{"a report of a file", []string{"report", r.path("cat.png")}, []string{"not a run directory"}},
		{"an export over a file", export(r.path("cat.png")),
			[]string{"--out", "cat.png: the folder cannot be made", "give another one"}},
		{"a study over a file", []string{"study", "--preset", "scenes-quick", "--out",
			r.path("cat.png")}, []string{"cannot hold a study", "give another --out"}},
		{"no shipped weights", []string{"evaluate", "classifier", "--weights", "shipped:none"},
			[]string{"none", "expected one of scenes-robust"}},
		{"shipped weights fed otherwise", []string{"train", "inverter", "--classifier",
			"shipped:scenes-robust", "--input-size", "64", "--out", r.path("x")},
			[]string{"shipped:scenes-robust says all of itself", "leave out"}},
		{"an inverter for a classifier", []string{"evaluate", "classifier", "--weights",
			r.path("good", "inverter")}, []string{"holds no trained classifier", "give the run of"}},
		{"an unknown device", []string{"doctor", "--device", "gpu"}, []string{"--device gpu", "auto"}},
		{"a sheet that is no PNG", []string{"data", "show", "--out", r.path("x.jpg")},
			[]string{"x.jpg", "ends in .png"}},
		{"a sheet without an ending", []string{"data", "show", "--out", r.path("x")},
			[]string{"ends in .png"}},
	}
}

// TestJSONAndFiles: --json prints JSON alone and keeps no --out from being written; without --out
// it writes nothing; --list knows it, too.
func TestJSONAndFiles(t *testing.T) {
	var presets []listedStudy
	if err := json.Unmarshal([]byte(mustCall(t, "study", "--list", "--json")), &presets); err != nil {
		t.Fatal(err)
	}
	if len(presets) != len(study.Presets()) || presets[0].Name == "" || presets[0].Title == "" ||
		presets[0].BudgetSeconds <= 0 {
		t.Errorf("presets %+v", presets)
	}
	if testing.Short() {
		t.Skip("short: trains two small runs")
	}
	r := makeRuns(t)
	t.Chdir(r.path()) // where a default folder would be made
	args := []string{"explore", "noise", r.path("good", "inverter"), "--images", "8", "--json"}
	before := digest(t, r.dir)
	plain := mustCall(t, args...)
	if digest(t, r.dir) != before {
		t.Error("--json alone wrote files")
	}
	out := r.path("explored-here")
	if got := mustCall(t, append(args, "--out", out)...); got != plain ||
		!json.Valid([]byte(got)) {
		t.Errorf("with --out the output is %q, without %q", got, plain)
	}
	for _, name := range []string{"noise.json", "noise.png"} {
		if !exists(filepath.Join(out, name)) {
			t.Errorf("no %s", name)
		}
	}
}

// TestOneOfAThing: what happened once is told in the singular.
func TestOneOfAThing(t *testing.T) {
	for n, want := range map[int]string{0: "0 steps", 1: "1 step", 2: "2 steps"} {
		if got := counting(n, "step"); got != want {
			t.Errorf("%d: %q, expected %q", n, got, want)
		}
	}
	if testing.Short() {
		t.Skip("short: trains a small run")
	}
	dir := filepath.Join(t.TempDir(), "run")
	out := mustCall(t, tinyClassifier("--train-images", "4", "--out", dir)...)
	page := string(read(t, filepath.Join(dir, train.ReportFile)))
	if !strings.Contains(out, "trained 1 step,") || !strings.Contains(page, ": 1 line of its log") {
		t.Errorf("%q, and the page of one step's log does not say 1 line", out)
	}
}

// TestAttackRecord: a result says the step and the seed that repeat it, in the radius's unit, and a
// name with all its parts is understood.
func TestAttackRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("short: attacks a network")
	}
	file := resnet8(t, filepath.Join(t.TempDir(), "net.safetensors"), 10, false, false)
	for flags, want := range map[string][]float64{
		"--eps 8 --attack fgsm,pgd-2,pgd-1x2,margin-2,square-2": {8. / 255, 10. / 255, 20. / 255,
			10. / 255, 0},
		"--eps 8 --attack pgd-2 --step-size 2":        {2. / 255},
		"--norm l2 --eps 1 --attack pgd-2":            {1.25},
		"--norm l2 --eps 1 --attack fgsm --seed 1234": {1},
	} {
		var got classifierResult
		out := mustCall(t, append([]string{"evaluate", "classifier", "--count", "4", "--json",
			"--weights", file}, strings.Fields(flags)...)...)
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Attacks) != len(want) {
			t.Fatalf("%s: %v: %s", flags, err, out)
		}
		if got.Command == "" || got.Revision != revision() || !strings.Contains(got.Kernels, "gemm") {
			t.Errorf("%s: made by %+v: expected a command, a revision and kernels", flags, got.origin)
		}
		seed := uint64(1)
		if strings.Contains(flags, "--seed") {
			seed = 1234
		}
		for i, a := range got.Attacks {
			if d := a.StepSize - want[i]; d > 1e-12 || d < -1e-12 || a.Seed != seed {
				t.Errorf("%s: %s: step %g and seed %d, expected %g and %d", flags, a.Name, a.StepSize,
					a.Seed, want[i], seed)
			}
		}
	}
}
