package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// builtProgram builds the program that a user runs, once for all tests that kill or interrupt it.
var builtProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "afterimage-program")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "afterimage")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// programWanted says that a test has asked for the program, so that it must be removed.
var programWanted atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if programWanted.Load() {
		if path, err := builtProgram(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// binary returns the path of the built program.
func binary(t *testing.T) string {
	t.Helper()
	programWanted.Store(true)
	path, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// call runs a command line inside the test's process.
func call(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

// mustCall is call for command lines that have to work.
func mustCall(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := call(args...)
	if code != exitOK {
		t.Fatalf("afterimage %s: exit code %d: %s", strings.Join(args, " "), code, errOut)
	}
	return out
}

// digest returns a digest of every name and byte under dir.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, d.IsDir())
		if d.IsDir() {
			return nil
		}
		raw, err := os.ReadFile(path)
		h.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// copyTree copies the files of a run.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// tinyClassifier and tinyInverter are the shortest trainings that still write everything a run
// can hold.
func tinyClassifier(more ...string) []string {
	return append(strings.Fields("train classifier --arch resnet8 --train-images 16 --val-images 8 "+
		"--batch 4 --epochs 1 --best 2 --threads 1"), more...)
}

func tinyInverter(classifier string, more ...string) []string {
	return append(append(strings.Fields("train inverter --train-images 16 --batch 4 --steps 2 --ch "+
		"2 --save-every 1 --sample-every 2 --threads 1 --classifier"), classifier), more...)
}
