package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/bench/figures"
)

// Wrong use and a folder without cases end with 2, and say why.
func TestUsage(t *testing.T) {
	empty := t.TempDir()
	for _, args := range [][]string{{}, {empty}, {empty, empty}, {"-run", "(", empty}, {"-nope"},
		{filepath.Join(empty, "missing")}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != exitUsage || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

// A family of the shared cases, picked by a pattern, ends with 0 and the count as its last line.
func TestSharedCases(t *testing.T) {
	root := figures.Data(t, "no ONNX cases to run")
	var out, errs bytes.Buffer
	code := run([]string{"-v", "-run", "conv", filepath.Join(root, "onnx")}, &out, &errs)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if code != 0 || !strings.HasSuffix(lines[len(lines)-1], " passed, 0 failed, 0 unsupported") ||
		len(lines) < 10 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

// A case whose stored output is wrong ends with 1.
func TestFailureExits(t *testing.T) {
	root := figures.Data(t, "no ONNX case to damage")
	from, to := filepath.Join(root, "onnx", "node", "test_relu"), t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, "test_data_set_0", "output_0.pb")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 0x40 // the exponent of the last element
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{to}, &out, &errs); code != exitFailed ||
		!strings.HasSuffix(out.String(), "0 passed, 1 failed, 0 unsupported\n") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}
