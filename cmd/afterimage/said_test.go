package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/nn/onnx"
)

// TestCommonFlags: nonsense is refused also where a command has no use for the flag.
func TestCommonFlags(t *testing.T) {
	for flag, says := range map[string]string{"--device=cpux": "expected auto, cpu or cuda:0",
		"--device=cudax": "expected auto", "--threads=-1": "--threads -1", "--memory=-1": "--memory -1"} {
		code, out, errOut := call("models", flag)
		if code != exitUsage || out != "" || !strings.Contains(errOut, says) {
			t.Errorf("%s: exit code %d: %s", flag, code, errOut)
		}
	}
}

// TestImagesAndCount: one notion goes by either name.
func TestImagesAndCount(t *testing.T) {
	for _, args := range [][]string{
		{"evaluate", "classifier", "--images=-1", "--classifier", "x"},
		{"evaluate", "inverter", "shipped:scenes-robust", "--count=-1"},
		{"explore", "probe", "shipped:scenes-robust", "--count=-1"},
	} {
		code, _, errOut := call(args...)
		if code != exitUsage || !strings.Contains(errOut, " -1: expected ") {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
	}
}

// TestCommandRepeats: a record has the command as it was typed, but for records made to be shown.
func TestCommandRepeats(t *testing.T) {
	args := []string{"evaluate", "classifier", "--weights", "/home/me/net 1.th"}
	want := "afterimage evaluate classifier --weights '/home/me/net 1.th'"
	if got := typed(args); got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	want = "afterimage evaluate classifier --weights 'net 1.th'"
	if got := published(args); got != want {
		t.Errorf("published %s, expected %s", got, want)
	}
}

// TestOrphanedInverter: the file that is missing is the one that is named.
func TestOrphanedInverter(t *testing.T) {
	dir := t.TempDir()
	if code, _, errOut := call("export", "shipped:scenes-robust", "--format", "native", "--out",
		dir); code != exitOK {
		t.Fatal(errOut)
	}
	if err := os.Remove(filepath.Join(dir, "classifier.safetensors")); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := call("invert", "--inverter", dir, "x.png")
	if code != exitUsage || !strings.Contains(errOut, "has lost its classifier") ||
		!strings.Contains(errOut, "classifier.safetensors or classifier.onnx") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestDigitsNote says what is done to digits before a network sees them.
func TestDigitsNote(t *testing.T) {
	for _, c := range []struct {
		dataset        string
		size, channels int
		fit            data.Fit
		want           string
	}{
		{"mnist", 28, 1, "", ""},
		{"cifar-10", 32, 3, "", ""},
		{"mnist", 32, 3, "", "are padded to 32×32 and repeated in 3 channels"},
		{"fashion-mnist", 32, 1, data.FitResize, "are resized to 32×32, as"},
		{"mnist", 64, 1, "", "are resized to 64×64"},
		{"mnist", 28, 3, "", "are repeated in 3 channels"},
	} {
		got := digitsNote(c.dataset, c.size, c.channels, c.fit)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestFitIsForDigits: it is refused where it would have no effect.
func TestFitIsForDigits(t *testing.T) {
	code, _, errOut := call("evaluate", "classifier", "--fit", "resize", "--classifier", "x")
	if code != exitUsage || !strings.Contains(errOut, "--fit resize is for digits") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestONNXAdvice: every option that an error of package onnx may name has a flag, and is an option.
func TestONNXAdvice(t *testing.T) {
	options := reflect.TypeFor[onnx.ClassifierOptions]()
	for option, says := range onnxAdvice() {
		if _, ok := options.FieldByName(option); !ok {
			t.Errorf("%s is no option", option)
		}
		err := withFlags(&onnx.Error{File: "a.onnx", Op: "NewClassifier", Reason: "r", Next: "set it",
			Option: option})
		if want := "onnx: a.onnx: r; " + says; err.Error() != want {
			t.Errorf("%s: %q, expected %q", option, err, want)
		}
	}
}

// TestStudyKey: a wrong key is named with its place, without the text around it.
func TestStudyKey(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "mine.yaml"),
		[]byte("name: x\ntitle: T\ndataset: scenes\nclassifers: []\n"))
	code, _, errOut := call("study", "--preset", path)
	if code != exitUsage || !strings.Contains(errOut, "[4:1]") || strings.Contains(errOut, ">") ||
		!strings.Contains(errOut, "classifers") || len(errOut) > 200+len(path) {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestOtherSize: weights that do not say the size of their images may be of the data set's.
func TestOtherSize(t *testing.T) {
	m, err := models.New("resnet18", models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := evaluateClassifierCmd{}
	if got := c.otherSize(m, 32, 3); got != "" {
		t.Errorf("weights that say all of themselves: %q", got)
	}
	c.Arch = "resnet18"
	if got := c.otherSize(m, 32, 3); !strings.Contains(got, "--input-size 32") ||
		!strings.Contains(got, "224 is usual for resnet18") {
		t.Errorf("resnet18: %q", got)
	}
}

// TestRadius: a radius is said in the unit in which it is typed.
func TestRadius(t *testing.T) {
	for want, a := range map[string]attackResult{"2/255": {Norm: "linf", Eps: 2. / 255},
		"0.5": {Norm: "l2", Eps: 0.5}} {
		if got := a.radius(); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}
