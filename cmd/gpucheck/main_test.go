package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"afterimage/cuda/cudatest"
)

// TestBudget wants all stages together to take no more than ten minutes.
func TestBudget(t *testing.T) {
	sum := time.Duration(0)
	for _, s := range stages {
		sum += s.budget
	}
	if sum > 10*time.Minute {
		t.Errorf("the stages may take %v together", sum)
	}
}

// TestRehearsal runs every stage on the fake GPU with small shapes, as the program will be run on a
// real one: each line is JSON, each stage reports and ends well. Without a GPU a stage says why.
func TestRehearsal(t *testing.T) {
	if testing.Short() {
		t.Skip("every stage on emulated kernels takes ten seconds")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "gpucheck")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := cudatest.Build(filepath.Join(dir, "fake"))
	if errors.Is(err, cudatest.ErrPlatform) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(env []string, args ...string) (map[string][]line, int) {
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), env...)
		var problem bytes.Buffer
		cmd.Stderr = &problem
		out, _ := cmd.Output()
		t.Logf("%s", problem.Bytes())
		byStage := map[string][]line{}
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			var l line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Stage == "" {
				t.Errorf("no line of JSON: %q", lines.Text())
			}
			byStage[l.Stage] = append(byStage[l.Stage], l)
		}
		return byStage, cmd.ProcessState.ExitCode()
	}
	last := filepath.Join(dir, "last.jsonl")
	earlier := `{"stage":"ceilings","name":"own","ok":true,"values":{"product_tflops":1e-9}}` + "\n"
	if err := os.WriteFile(last, []byte(earlier), 0o666); err != nil {
		t.Fatal(err)
	}
	monitor := "#!/bin/sh\necho '{\"devices\":[{\"uuid\":" +
		"\"GPU-10111213-1415-1617-1819-1a1b1c1d1e1f\",\"energy_joules\":5}]}'\n"
	if err := os.WriteFile(filepath.Join(dir, "gpumon"), []byte(monitor), 0o755); err != nil {
		t.Fatal(err)
	}
	got, code := run(f.Env, "-tiny", "-last", last, "-pytorch", "../../bench/pytorch")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, s := range stages {
		if len(got[s.name]) < 2 && s.name != "pytorch" { // its result and "done"
			t.Errorf("%s said nothing", s.name)
		}
		for _, l := range got[s.name] {
			if !l.OK {
				t.Errorf("%s: %s: %s", s.name, l.Name, l.Error)
			}
		}
	}
	for _, l := range got["steps"] {
		for _, v := range []string{"eager_images_per_s", "replayed_images_per_s",
			"replayed_joules_per_image"} {
			if _, ok := l.Values[v]; !ok && l.Name != "done" {
				t.Errorf("the step of %s has no %s", l.Name, v)
			}
		}
	}
	if l := got["compare"]; len(l) != 1 || l[0].Values["compared"] != 1.0 {
		t.Errorf("compared with the last run: %+v", l)
	}
	got, code = run([]string{"AFTERIMAGE_LIBCUDA=none"}, "-tiny", "-only", "compile")
	if l := got["compile"]; code != 1 || len(l) != 2 || l[0].OK || l[0].Error == "" || l[1].OK {
		t.Errorf("without a driver: exit %d, %+v", code, l)
	}
}
