package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterimage/cuda/cudatest"
)

// TestBudget wants all stages but PyTorch's, the last, to leave it two of the nine minutes, three
// where there is no compute-sanitizer.
func TestBudget(t *testing.T) {
	sum := time.Duration(0)
	for i, s := range stages {
		if (s.budget == theRest) != (i == len(stages)-1) {
			t.Errorf("%s has a budget of %v", s.name, s.budget)
		}
		if s.budget != theRest {
			sum += s.budget
		}
	}
	if sum > 7*time.Minute {
		t.Errorf("the stages may take %v together", sum)
	}
}

// A rehearsal is the program as it will be run, on the fake GPU.
type rehearsal struct {
	t    *testing.T // of the case that runs
	dir  string
	bin  string
	fake cudatest.Fake
}

func rehearse(t *testing.T) *rehearsal {
	if testing.Short() {
		t.Skip("short: the program on emulated kernels takes seconds")
	}
	dir := t.TempDir()
	r := &rehearsal{t: t, dir: dir, bin: filepath.Join(dir, "gpucheck")}
	if out, err := exec.Command("go", "build", "-o", r.bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	if r.fake, err = cudatest.Build(filepath.Join(dir, "fake")); errors.Is(err, cudatest.ErrPlatform) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRehearsal runs the program, built once, in every situation that it must come through.
func TestRehearsal(t *testing.T) {
	r := rehearse(t)
	for name, f := range map[string]func(*testing.T, *rehearsal){"stages": rehearseStages,
		"libraries": rehearseLibraries, "pytorch": rehearsePyTorch, "sanitizer": rehearseSanitizer,
		"usage": rehearseUsage} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			f(t, r)
		})
	}
}

// run starts the program and returns its lines by stage, its exit code and what it says. Each line
// must be JSON.
func (r *rehearsal) run(env []string, args ...string) (map[string][]line, int, string) {
	cmd := exec.Command(r.bin, args...)
	cmd.Env = append(os.Environ(), env...)
	var says bytes.Buffer
	cmd.Stderr = &says
	out, _ := cmd.Output()
	r.t.Logf("%s", says.Bytes())
	byStage := map[string][]line{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Stage == "" {
			r.t.Errorf("no line of JSON: %q", lines.Text())
		}
		byStage[l.Stage] = append(byStage[l.Stage], l)
	}
	return byStage, cmd.ProcessState.ExitCode(), says.String()
}

// write makes an executable file beside the program.
func (r *rehearsal) write(name, text string) string {
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// wantAll wants every line of every stage good.
func (r *rehearsal) wantAll(got map[string][]line, code int) {
	r.t.Helper()
	if code != 0 {
		r.t.Errorf("exit %d", code)
	}
	for name, lines := range got {
		for _, l := range lines {
			if !l.OK && name != "verdict" { // what a card is asked, nobody asks of a fake
				r.t.Errorf("%s: %s: %s", name, l.Name, l.Error)
			}
		}
	}
}

// rehearseStages runs every stage on the fake GPU with small shapes, as the program will be run on
// a real one: each line is JSON, each stage reports and ends well. Without a GPU a stage says why.
func rehearseStages(t *testing.T, r *rehearsal) {
	last := r.write("last.jsonl",
		`{"stage":"ceilings","name":"own","ok":true,"means":2,"values":{"product_tflops":1e-9}}`+"\n")
	r.write("gpumon", "#!/bin/sh\necho '{\"devices\":[{\"uuid\":"+
		"\"GPU-10111213-1415-1617-1819-1a1b1c1d1e1f\",\"energy_joules\":5}]}'\n")
	envelope := filepath.Join(r.dir, "envelope.json")
	if out, err := exec.Command(r.bin, "-tiny", "-record", "-envelope", envelope).
		CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, code, _ := r.run(r.fake.Env, "-tiny", "-total", "30m", "-last", last,
		"-pytorch", "../../bench/pytorch", "-envelope", envelope)
	r.wantAll(got, code)
	for _, s := range stages {
		if len(got[s.name]) < 2 && s.name != "pytorch" { // its result and "done"
			t.Errorf("%s said nothing", s.name)
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
	got, code, _ = r.run([]string{"AFTERIMAGE_LIBCUDA=none"}, "-tiny", "-only", "compile")
	if l := got["compile"]; code != 1 || len(l) != 2 || l[0].OK || l[0].Error == "" || l[1].OK {
		t.Errorf("without a driver: exit %d, %+v", code, l)
	}
}

// rehearseLibraries runs the stages that use cuDNN and cuBLASLt with their fakes, in a place
// without a folder for caches.
func rehearseLibraries(t *testing.T, r *rehearsal) {
	env := append(r.fake.Env, "AFTERIMAGE_CUDNN="+r.fake.DNN, "AFTERIMAGE_CUBLASLT="+r.fake.Lt,
		"XDG_CACHE_HOME=", "HOME=")
	env = append(env, "AFTERIMAGE_CUPTI=none")
	got, code, _ := r.run(env, "-tiny", "-total", "30m",
		"-only", "report,ceilings,convolutions,hopper,steps,idle")
	r.wantAll(got, code)
	if l := got["idle"]; len(l) != 2 || l[0].Name != "skipped" || l[0].Values["why"] == "" {
		t.Errorf("without a profiler: %+v", l)
	}
	libraries := false
	for _, l := range got["convolutions"] {
		n, ok := l.Values["by_cudnn"].(float64)
		own, _ := l.Values["by_own"].(float64)
		libraries = libraries || ok && n+own > 0
	}
	if !libraries {
		t.Error("cuDNN was not asked")
	}
}

// rehearsePyTorch wants the lines that PyTorch's script has printed before its time is over,
// the reason if it fails, and a line that it was left out if there is no PyTorch.
func rehearsePyTorch(t *testing.T, r *rehearsal) {
	r.write("slow/python3", "#!/bin/sh\necho '{\"name\":\"resnet50\",\"ok\":true}'\nsleep 60\n")
	r.write("broken/python3", "#!/bin/sh\necho 'no libtorch.so' >&2\nexit 1\n")
	path := func(dir string) []string {
		return append(r.fake.Env, "PATH="+filepath.Join(r.dir, dir)+":"+os.Getenv("PATH"))
	}
	got, code, _ := r.run(path("slow"), "-only", "pytorch", "-total", "6s")
	if l := got["pytorch"]; code != 1 || len(l) != 2 || l[0].Name != "resnet50" || !l[0].OK ||
		l[1].Error != "over its budget" {
		t.Errorf("slow: exit %d, %+v", code, l)
	}
	got, code, _ = r.run(path("broken"), "-only", "pytorch")
	if l := got["pytorch"]; code != 1 || len(l) != 2 || !strings.Contains(l[0].Error, "libtorch") {
		t.Errorf("a broken PyTorch: exit %d, %+v", code, l)
	}
	skips := []string{"PATH=" + filepath.Join(r.dir, "nothing")}
	if python, err := exec.LookPath("python3"); err == nil {
		r.write("none/python3", "#!/bin/sh\nexec "+python+" -S -E \"$@\"\n") // without any package
		skips = append(skips, path("none")[len(r.fake.Env)])
	}
	for _, env := range skips {
		got, code, _ = r.run(append(r.fake.Env, env), "-only", "pytorch")
		l := got["pytorch"]
		if code != 0 || len(l) != 2 || l[0].Name != "skipped" || l[0].Values["why"] == "" {
			t.Errorf("%s, without PyTorch: exit %d, %+v", env, code, l)
		}
	}
}

// rehearseSanitizer runs the stage under a program that stands for NVIDIA's and finds nothing, and
// under one that finds something; without any it says so.
func rehearseSanitizer(t *testing.T, r *rehearsal) {
	const start = "#!/bin/sh\necho '========= COMPUTE-SANITIZER'\nshift 6\n"
	r.write("clean/compute-sanitizer", start+"\"$@\"\necho '========= ERROR SUMMARY: 0 errors'\n")
	r.write("dirty/compute-sanitizer", start+
		"echo '========= Invalid __global__ write of size 4 bytes'\nexit 9\n")
	for dir, want := range map[string]int{"clean": 0, "dirty": 1, "nothing": 0} {
		env := append(r.fake.Env, "PATH="+filepath.Join(r.dir, dir)+":/usr/bin:/bin")
		got, code, _ := r.run(env, "-tiny", "-total", "30m", "-only", "sanitize")
		lines := got["sanitize"]
		if code != want || len(lines) < 2 {
			t.Fatalf("%s: exit %d, %+v", dir, code, lines)
		}
		switch first := lines[0]; dir {
		case "clean":
			if len(lines) != 7 || !strings.HasPrefix(first.Name, "memcheck: ") {
				t.Errorf("clean: %+v", lines)
			}
		case "dirty":
			if s, ok := first.Values["says"].([]any); !ok || len(s) != 1 || first.OK {
				t.Errorf("dirty: %+v", lines)
			}
		default:
			if first.Name != "skipped" {
				t.Errorf("without: %+v", lines)
			}
		}
	}
}

// rehearseUsage wants -help to name the flags and do nothing, stages for which no time is left to
// say so, one line where there is no GPU, and one for what cannot be asked.
func rehearseUsage(t *testing.T, r *rehearsal) {
	for _, args := range [][]string{{"-only", "steps,stepps"}, {"steps"}} {
		got, code, says := r.run(nil, args...)
		if code != 2 || len(got) != 0 || strings.Count(says, "\n") != 1 {
			t.Errorf("%v: exit %d, %v, %q", args, code, got, says)
		}
	}
	none, exit, said := r.run([]string{"AFTERIMAGE_LIBCUDA=none"})
	if exit != 1 || len(none) != 1 || strings.Count(said, "\n") != 1 ||
		!strings.Contains(said, "the GPU cannot be opened: ") {
		t.Errorf("without a GPU: exit %d, %v, %q", exit, none, said)
	}
	got, code, says := r.run(nil, "--help")
	if code != 0 || len(got) != 0 || !strings.Contains(says, "-total") {
		t.Errorf("-help: exit %d, %v, %q", code, got, says)
	}
	got, code, _ = r.run(r.fake.Env, "-total", "1ms")
	if code != 1 || len(got) != len(stages)+1 ||
		got["report"][0].Error != "no time is left for it" {
		t.Errorf("without time: exit %d, %v", code, got)
	}
	for _, l := range got["verdict"] {
		if why, _ := l.Values["not_measured"].(string); !strings.Contains(why, "no time is left") &&
			!strings.HasPrefix(l.Name, "driver too old") {
			t.Errorf("without time: %+v", l)
		}
	}
}

// TestStageEnds wants a stage that takes too long ended together with what it has started.
func TestStageEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("short: waits for what a stage has started")
	}
	dir := t.TempDir()
	script, alive := filepath.Join(dir, "stage"), filepath.Join(dir, "alive")
	text := "#!/bin/sh\n(sleep 1; touch " + alive + ") &\nsleep 60\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	r := runner{out: io.Discard, errOut: io.Discard}
	err := r.stage(script, "x", 100*time.Millisecond)
	if err == nil || err.Error() != "over its budget" {
		t.Errorf("got %v", err)
	}
	time.Sleep(1500 * time.Millisecond)
	if _, err := os.Stat(alive); err == nil {
		t.Error("what the stage had started went on")
	}
}
