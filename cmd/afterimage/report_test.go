package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/train"
)

// TestRunPage makes the page of a small log and refuses a folder that is no run.
func TestRunPage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := runPage(dir); err == nil {
		t.Error("a folder without a log was taken for a run")
	}
	write(train.ConfigFile, "arch: resnet8\nattack:\n  eps: 0.5\nlr: 0.1\n")
	write(train.MetricsFile,
		`{"loss":2.3,"step":50}`+"\n"+`{"loss":1.1,"step":100,"val_accuracy":0.7}`+"\n")
	path, err := runPage(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Loss", "resnet8", "attack.eps", "<dt>lr</dt>",
		"afterimage report"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(string(page), "Accuracy on held-out") {
		t.Error("one value was drawn as a curve")
	}
}

// A page is for others: it does not say where this machine keeps what the run was made of.
func TestPageWithoutPaths(t *testing.T) {
	for setting, want := range map[string]string{"/home/me/data": "data", "data": "data",
		"folder:/home/me/photos": "folder:photos", "folder:photos": "folder:photos", "1:2": "1:2",
		"[0.1, 0.2]": "[0.1, 0.2]"} {
		if got := shownPath(setting); got != want {
			t.Errorf("%s is shown as %s, expected %s", setting, got, want)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, train.ConfigFile),
		[]byte("kind: inverter\ndataset: folder:/home/me/photos\ndata: /home/me/data\n"))
	write(t, filepath.Join(dir, train.MetricsFile), nil)
	path, err := runPage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if page := string(read(t, path)); strings.Contains(page, "/home/me") ||
		!strings.Contains(page, "folder:photos") {
		t.Error("the page says where this machine keeps its data")
	}
}

// The newest sheet is that of the last step, also beyond a million of them and in a folder whose
// name means something to a shell.
func TestLastSamples(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run [a-c]?")
	if _, ok := lastSamples(dir); ok {
		t.Error("a sheet of a run that has none")
	}
	for _, step := range []int{500, 999500, 1000000} {
		writePicture(t, filepath.Join(dir, train.SampleDir, train.SampleFile(step)), 4, 4, flatGrey(9))
	}
	if fig, ok := lastSamples(dir); !ok || fig.Title != "Step 1000000" {
		t.Errorf("got %q, %v", fig.Title, ok)
	}
}

// A page speaks of the losses that its run has.
func TestRunPageProse(t *testing.T) {
	for kind, says := range map[string]string{"classifier": "running mean", "inverter": "Hinge"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, train.ConfigFile), []byte("kind: "+kind+"\n"))
		write(t, filepath.Join(dir, train.MetricsFile),
			[]byte(`{"step":1,"loss":2,"d_loss":1}`+"\n"+`{"step":2,"loss":1,"d_loss":1}`+"\n"))
		path, err := runPage(dir)
		if err != nil {
			t.Fatal(err)
		}
		page := string(read(t, path))
		if strings.Contains(page, "running mean") != (kind == "classifier") ||
			!strings.Contains(page, says) {
			t.Errorf("the page of a run of kind %s does not say %q alone", kind, says)
		}
	}
}
