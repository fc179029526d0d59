package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMessages: what is wrong, what was expected and what to do, of command lines that need no run;
// each names one flag.
func TestMessages(t *testing.T) {
	file := picture(t, filepath.Join(t.TempDir(), "file.png"), 32, 32)
	for _, c := range [][2]string{
		{"--precision bf17 doctor", `--precision: expected f32 or bf16, got "bf17"`},
		{"export SHIPPED --format onx --out x", "expected native, onnx or pytorch, got"},
		{"report", "expected <run> behind the command, got nothing"},
		{"invert --inverter SHIPPED", "expected <images> ... behind the command"},
		{"invert --inverter SHIPPED --draws -2 FILE", "--draws -2: expected 1 to 1024\n"},
		{"invert --inverter SHIPPED --scale 99 FILE", "--scale 99: expected 1 to 32\n"},
		{"invert --inverter SHIPPED FILE FILE", "file.png is given twice: leave"},
		{"invert --inverter FILE FILE", "file.png is a file: expected the run"},
		{"explore noise SHIPPED --images 3", "--images 3: expected 4 or more"},
		{"explore noise SHIPPED --out FILE", "--out "},
		{"evaluate inverter SHIPPED --draws -1", "--draws -1: expected 1 to 1024"},
		{"evaluate inverter SHIPPED --images 0", "--images 0: expected 2 or more"},
		{"evaluate inverter SHIPPED --gallery 1", "--gallery 1: expected 0, for all"},
		{"evaluate inverter SHIPPED --seed -1", "a whole number from 0 to 2^64 − 1"},
		{"evaluate classifier --weights FILE --attack pgd-0", "with K, R and Q from 1"},
		{"bench compare --python nosuch", "--python nosuch: executable file not found in $PATH"},
		{"explore misclassified SHIPPED --images=", "--images: expected"},
	} {
		names := strings.NewReplacer("FILE", file, "SHIPPED", "shipped:scenes-robust")
		args := strings.Fields(names.Replace(c[0]))
		code, out, errOut := call(args...)
		if code != exitUsage || out != "" || !strings.Contains(errOut, c[1]) {
			t.Errorf("%s: exit code %d, printed %q and %q, expected %q", c[0], code, out, errOut, c[1])
		}
	}
}

// TestNameAlone: who types nothing but the program's name is shown what there is.
func TestNameAlone(t *testing.T) {
	code, out, errOut := call()
	for _, want := range []string{"Exit codes: 0 done; 2 ", "demo ", "doctor ", "--device"} {
		if code != exitOK || errOut != "" || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q: the help lacks %q", code, errOut, want)
		}
	}
}

// TestFitting: of a line that would be broken, whole values are left out, the last first.
func TestFitting(t *testing.T) {
	const line = "train resnet8  loss 1.5710  val_accuracy 0.2344"
	for columns, want := range map[int]string{100: line, 47: line, 46: "train resnet8  loss 1.5710",
		26: "train resnet8  loss 1.5710", 25: "train resnet8", 3: "train resnet8"} {
		if got := fitting(line, columns); got != want {
			t.Errorf("%d columns: %q, expected %q", columns, got, want)
		}
	}
	if got := fitting("train resnet8  ", 80); got != "train resnet8" {
		t.Errorf("without values: %q", got)
	}
}

// TestRemaining: a duration does not overflow.
func TestRemaining(t *testing.T) {
	if d := remaining(90.4); d != 90*time.Second {
		t.Errorf("90.4 s left: %v", d)
	}
	if d := remaining(1e30); d < 99*365*24*time.Hour {
		t.Errorf("1e30 s left: %v, expected a century", d)
	}
}

// TestPace: a run that goes on at step 9,000 is not said to have made 9,000 steps in a second.
func TestPace(t *testing.T) {
	now := time.Now()
	p := &progress{total: 10000, first: 9000, start: now.Add(-5 * time.Second)}
	if got, want := p.pace(9010, now), "2.00 steps/s  8m15s left"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
}

// TestOwnFlagsFirst: the help of a command shows its own flags before those of every command.
func TestOwnFlagsFirst(t *testing.T) {
	_, out, _ := call("invert", "--help")
	own, all := strings.Index(out, "--draws=8"), strings.Index(out, "Flags of every command:")
	if own < 0 || all < own || strings.Index(out, "--device") < all {
		t.Errorf("--draws at %d, the common flags at %d:\n%s", own, all, out)
	}
}
