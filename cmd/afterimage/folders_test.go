package main

import (
	"fmt"
	"path/filepath"
	"testing"
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

// labelStudy writes a study of a folder of images.
func labelStudy(t *testing.T, dir string) string {
	return write(t, filepath.Join(t.TempDir(), "study.yaml"), []byte("name: x\ndataset: folder:"+dir+
		"\nclassifiers:\n- {name: a, arch: resnet8, epochs: 1, lr: 0.1}\n"+
		"inverters:\n- {classifier: a, condition: logits}\n"))
}
