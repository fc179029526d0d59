package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"afterimage/nn/train"
)

// TestFullLog lets the run's log lie on a device that is always full: exit code 1 and one line. It
// needs no rights, unlike TestFullDisk.
func TestFullLog(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skipf("no device that is always full: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	mustCall(t, tinyClassifier("--out", dir)...)
	for _, name := range []string{train.MetricsFile,
		filepath.Join(train.CheckpointDir, train.LatestFile),
		filepath.Join(train.CheckpointDir, train.FinalFile)} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, train.MetricsFile)); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := call("train", "classifier", "--resume", dir)
	_, errOut, _ = strings.Cut(errOut, "\n") // that it begins anew
	checkMessage(t, badCase{"a full log", nil, []string{"metrics", "no space left"}}, out, errOut)
	if code != exitOther {
		t.Errorf("exit code %d, expected %d", code, exitOther)
	}
}

// TestFullDisk trains on a file system that has room for one checkpoint and not for two: exit code
// 1, one line, the first checkpoint intact, nothing half-written. With more room the run goes on to
// the same end as an undisturbed one.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	mount := func(options string) error {
		return exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk).Run()
	}
	if err := mount("size=1m"); err != nil {
		t.Skipf("cannot mount a small file system here (needs root): %v; "+
			"TestFullLog covers the exit code", err)
	}
	defer func() {
		if err := exec.Command("umount", disk).Run(); err != nil {
			t.Errorf("umount: %v", err)
		}
	}()
	args := tinyClassifier("--epochs", "2", "--save-every", "1")
	dir, whole := filepath.Join(disk, "run"), filepath.Join(t.TempDir(), "whole")
	code, out, errOut := call(append(args, "--out", dir)...)
	checkMessage(t, badCase{"a full disk", nil,
		[]string{"latest.safetensors", "no space left", "the disk is full", "free space"}}, out, errOut)
	if code != exitOther {
		t.Errorf("exit code %d, expected %d", code, exitOther)
	}
	if left := halfWritten(t, dir); len(left) > 0 {
		t.Errorf("half-written files were left: %s", strings.Join(left, ", "))
	}
	if err := mount("remount,size=8m"); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "train", "classifier", "--resume", dir)
	mustCall(t, append(args, "--out", whole)...)
	if diff, err := train.Diff(whole, dir); err != nil || len(diff) > 0 {
		t.Errorf("after a full disk the run differs: %v, error %v", diff, err)
	}
}

// A refusing writer stands for standard output on a full disk.
type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestLostResults: a command whose results could not be written has failed, and says so once.
func TestLostResults(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"--version"}, {"models"}, {"models", "--json"},
		{"doctor"}, {"study", "--list"}, {"bench", "rows"}} {
		var said bytes.Buffer
		if code := run(args, refusing{}, &said); code != exitOther {
			t.Errorf("%v: exit code %d, expected %d", args, code, exitOther)
		}
		if strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "no space left") {
			t.Errorf("%v: said %q", args, &said)
		}
	}
}
