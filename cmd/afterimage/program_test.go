package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram, in the environment of this test, makes it the program that it tests: what it starts of
// itself parses its command line, catches signals and dies as the built program does, and no test
// waits for a build.
const asProgram = "AFTERIMAGE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if err := os.Setenv(asProgram, "1"); err != nil { // for the children
		panic(err)
	}
	os.Exit(m.Run())
}

// binary returns the path of a program that a test starts, signals and kills as a user would.
func binary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
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
