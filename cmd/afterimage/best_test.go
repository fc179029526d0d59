package main

import (
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
