package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"testing"
)

// run holds lines of a run on a card, as far as a verdict looks at them.
//
//go:embed testdata/verdict.jsonl
var run string

// verdicts returns the findings of a run by what was asked.
func verdicts(t *testing.T, text string, tiny bool) map[string]line {
	t.Helper()
	lines, err := parseResults(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out, says bytes.Buffer
	verdict(lines, tiny, &out, &says)
	found, err := parseResults(&out)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]line{}
	for _, l := range found {
		all[l.Name] = l
	}
	if len(all) != len(found) || !strings.Contains(says.String(), "ResNet-50") {
		t.Errorf("%d findings, of which %d are different:\n%s", len(found), len(all), says.String())
	}
	return all
}

// TestVerdict wants each question answered from its own lines: yes, no, or why nothing was
// measured.
func TestVerdict(t *testing.T) {
	all := verdicts(t, run, false)
	for asked, want := range map[string]string{
		"ResNet-50 in bf16, batch 128: 1.2 times PyTorch's eager": "yes: 3000 and 2000 images/s " +
			"(eager): 1.50 times",
		"ResNet-50 in bf16, batch 128: 1.0 times PyTorch's captured, default, reduce-overhead": "" +
			"no: 3000 and 3125 images/s (captured): 0.96 times; of PyTorch's only captured were measured",
		"ResNet-50: the GPU idle for less than 3 % of a step": "yes: 2.0 % by the kernels' times",
		"ResNet-50: memory reserved, at most PyTorch's": "no: 9.00 and 8.00 GB (captured, its least); " +
			"with all that driver and libraries keep 11.00 and 12.00",
		"BigGAN-128 in bf16, batch 32: 1.5 times PyTorch's eager": "why: the stage steps",
		"backendtest on the card, every family":                   "no: 1 of 2 good; not conv",
		"ResNet-20, F32: every step in the band of five perturbed CPU runs": "no: loss, own: 150 of " +
			"200 (CPU runs left out [140 130])",
		"ResNet-20, F32: every step in the band of all CPU runs, widened by its own width": "yes: " +
			"loss, own: 200 of 200",
		"ResNet-20, F32: as near as twice the worst of the CPU's own runs, left out": "yes: 1 of 1 good",
		"no leak over 10000 steps":                       "yes: 2 of 2 good; 10000 replayed steps",
		"killed and resumed, the same bytes":             "no: 0 of 1 good; not stage",
		"out of memory: one line, and the device works":  "yes: 1 of 1 good",
		"lost device: one line":                          "no: 0 of 1 good",
		"driver too old: one line":                       "why: a card's driver cannot be made old",
		"compute-sanitizer finds nothing":                "why: no tool",
		"BigGAN-128: memory reserved, at most PyTorch's": "why: the stage steps has no such line",
	} {
		l, ok := all[asked]
		got := "no: "
		if l.Values["reached"] == true {
			got = "yes: "
		}
		if why, missing := l.Values["not_measured"].(string); missing {
			got = "why: " + why
		} else if ok {
			got += l.Values["measured"].(string)
		}
		if !ok || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", asked, got, want)
		}
	}
	fewer := strings.Replace(run, `"made":10000`, `"made":9000`, 1)
	if l := verdicts(t, fewer, false)["no leak over 10000 steps"]; l.Values["reached"] != false {
		t.Errorf("fewer steps: %+v", l)
	}
	for finished, want := range map[string]bool{"true": true, "false": false} {
		tools := run + `{"stage":"sanitize","name":"memcheck","ok":true,"values":{"finished":true}}
			{"stage":"sanitize","name":"racecheck","ok":true,"values":{"finished":` + finished +
			`,"cases":1}}` + "\n"
		l := verdicts(t, tools, false)["compute-sanitizer finds nothing"]
		ended := strings.Contains(fmt.Sprint(l.Values["measured"]), "racecheck was ended after 1 cases")
		if l.Values["reached"] != want || ended == want {
			t.Errorf("finished %s: %+v", finished, l)
		}
	}
	for asked, l := range verdicts(t, run, true) {
		if strings.Contains(asked, "PyTorch") && l.Values["not_measured"] == nil {
			t.Errorf("a rehearsal says %q: %v", asked, l.Values)
		}
	}
}
