package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"afterimage/nn/train"
)

// pictureFolder writes n 32-pixel images into each of the given subfolders of a new folder; "" is
// the folder itself.
func pictureFolder(t *testing.T, n int, subfolders ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range subfolders {
		for i := range n {
			writePicture(t, filepath.Join(dir, sub, fmt.Sprintf("%d.png", i)), 32, 32,
				flatGrey(uint8(10*i)))
		}
	}
	return dir
}

// TestFoldersThatCannotBeJudged: without labels there is nothing to learn or to be right about, and
// of no image no share is right. Neither is reported as 0 %.
func TestFoldersThatCannotBeJudged(t *testing.T) {
	net := resnet8(t, filepath.Join(t.TempDir(), "net.safetensors"), 2, false, false)
	plain, few := pictureFolder(t, 20, ""), pictureFolder(t, 3, "a", "b")
	evaluate := func(dir string, more ...string) []string {
		return append([]string{"evaluate", "classifier", "--weights", net, "--dataset",
			"folder:" + dir}, more...)
	}
	for _, c := range []badCase{
		{"training without labels", tinyClassifier("--out", filepath.Join(t.TempDir(), "x"),
			"--dataset", "folder:"+plain), []string{"no labels", "subfolder"}},
		{"accuracy without labels", evaluate(plain), []string{"no labels", "subfolder"}},
		{"no test images", evaluate(few), []string{"--split test", "no image"}},
		{"no held-out images, as JSON", evaluate(few, "--split", "val", "--json"),
			[]string{"--split val", "no image"}},
		{"a study without labels", []string{"study", "--preset", labelStudy(t, plain), "--out",
			filepath.Join(t.TempDir(), "x")}, []string{"labels"}},
		{"wrong answers without labels", []string{"explore", "misclassified",
			"shipped:scenes-robust", "--dataset", "folder:" + pictureFolder(t, 45, ""), "--json"},
			[]string{"has no label", "labelled images", "folder of its class"}},
	} {
		code, out, errOut := call(c.args...)
		if code != exitUsage {
			t.Errorf("%s: exit code %d, expected %d: %s", c.name, code, exitUsage, errOut)
		}
		checkMessage(t, c, out, errOut)
	}
	mustCall(t, evaluate(few, "--split", "train")...)
}

// TestFolderChangesUnderARun: a resume is refused while the folder holds other images than the
// training began with, and its log is left as it is.
func TestFolderChangesUnderARun(t *testing.T) {
	dir, run := pictureFolder(t, 12, "a", "b"), filepath.Join(t.TempDir(), "run")
	mustCall(t, "train", "classifier", "--arch", "resnet8", "--dataset", "folder:"+dir, "--epochs",
		"1", "--batch", "4", "--out", run)
	log := filepath.Join(run, train.MetricsFile)
	before := string(read(t, log))
	picture, aside := filepath.Join(dir, "a", "3.png"), filepath.Join(t.TempDir(), "3.png")
	if err := os.Rename(picture, aside); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := call("train", "classifier", "--resume", run)
	checkMessage(t, badCase{"an image less", nil, []string{"folder:" + dir, "not those"}}, out, errOut)
	if code != exitUsage || string(read(t, log)) != before {
		t.Errorf("exit code %d, log %q", code, read(t, log))
	}
	if err := os.Rename(aside, picture); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "train", "classifier", "--resume", run)
}

// labelStudy writes a study of a folder of images.
func labelStudy(t *testing.T, dir string) string {
	return write(t, filepath.Join(t.TempDir(), "study.yaml"), []byte("name: x\ndataset: folder:"+dir+
		"\nclassifiers:\n- {name: a, arch: resnet8, epochs: 1, lr: 0.1}\n"+
		"inverters:\n- {classifier: a, condition: logits}\n"))
}
