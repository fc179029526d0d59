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

	"afterimage/cuda/cudatest"
)

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
	got, code := run(f.Env, "-tiny")
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
	got, code = run([]string{"AFTERIMAGE_LIBCUDA=none"}, "-tiny", "-only", "compile")
	if l := got["compile"]; code != 1 || len(l) != 2 || l[0].OK || l[0].Error == "" || l[1].OK {
		t.Errorf("without a driver: exit %d, %+v", code, l)
	}
}
