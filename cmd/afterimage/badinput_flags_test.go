package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

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
		"--norm l7":                            {"l7", "expected linf or l2"},
		"--norm l2 --attack pgd-1,square-3":    {"square-3", "--norm linf"},
		"--norm l7 --dataset mnist --data x":   {"l7", "expected linf or l2"}, // before any work
		"--attack pgd-y --weights nowhere.pth": {"pgd-y", "expected fgsm"},
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
	}
}

// TestAttackRecord: a result says the step and the seed that repeat it, in the radius's unit, and a
// name with all its parts is understood.
func TestAttackRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: attacks a network")
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
