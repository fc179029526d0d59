package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/nn/checkpoint"
	"afterimage/nn/train"

	"github.com/alecthomas/kong"
)

// TestBestCheckpoint: a run without its final file offers the checkpoint that does best on the
// held-out images, of equal ones the earlier, and not the last.
func TestBestCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "of [brackets]*")
	for step, score := range map[string]string{"000100": "0.7", "000200": "0.9", "000300": "0.9",
		"1000000": "0.9", "000400": "0.8"} {
		f := checkpoint.NewFile()
		f.Metadata["val_accuracy"] = score
		path := filepath.Join(dir, train.CheckpointDir, "best-"+step+".safetensors")
		write(t, path, nil)
		if err := checkpoint.SaveSafetensors(path, f); err != nil {
			t.Fatal(err)
		}
	}
	got, err := bestCheckpoint(dir)
	if err != nil || filepath.Base(got) != "best-000200.safetensors" {
		t.Errorf("got %s, %v", got, err)
	}
	if err := checkpoint.SaveSafetensors(got, checkpoint.NewFile()); err != nil {
		t.Fatal(err)
	}
	if got, err := bestCheckpoint(dir); err == nil || !strings.Contains(err.Error(), "held-out") {
		t.Errorf("a checkpoint without its accuracy: %s, %v", got, err)
	}
}

// TestRepeatingCommand: the page's command has what was given and no path of this machine alone.
func TestRepeatingCommand(t *testing.T) {
	t.Setenv("AFTERIMAGE_DATA", "/here/only")
	for want, args := range map[string][]string{
		"afterimage study --preset scenes-quick --data DATA": {"--preset", "scenes-quick"},
		"afterimage study --preset mine.yaml --data sets --out runs/a --no-winograd": {"--preset",
			"/here/mine.yaml", "--data", "sets", "--out", "runs/a", "--no-winograd"},
		"afterimage study --preset x --data DATA --out OUT": {"--preset", "x", "--data", "/a/b", "--out",
			"/a/c"},
	} {
		var c cli
		parser, err := kong.New(&c, kong.Name("afterimage"))
		if err != nil {
			t.Fatal(err)
		}
		k, err := parser.Parse(append([]string{"study"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Study.command(newEnv(&c, k, nil, nil)); got != want {
			t.Errorf("%v: %q, expected %q", args, got, want)
		}
	}
}

// TestWordsOfARecordedCommand: a shell that is given the line hands the program what it was given.
func TestWordsOfARecordedCommand(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell to ask")
	}
	args := []string{"", "a b", "it's", "^(machine|sgemm)$", "runs/[a]*", "--eps=8", "~/x", "$HOME",
		"folder:/p", "é"}
	line := "printf '<%s>'"
	for _, a := range args {
		line += " " + shellWord(a)
	}
	out, err := exec.Command(sh, "-c", line).Output()
	if want := "<" + strings.Join(args, "><") + ">"; err != nil || string(out) != want {
		t.Errorf("%s: %s, %v, expected %s", line, out, err, want)
	}
	if got := shellWord("--preset=scenes-quick"); got != "--preset=scenes-quick" {
		t.Errorf("quoted without need: %s", got)
	}
}
