package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/nn/onnx"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// TestRunInUse: a run that another process writes to cannot be resumed.
func TestRunInUse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("runs are locked on Linux only")
	}
	r, err := train.Create(filepath.Join(t.TempDir(), "run"),
		train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
			TrainImages: 16, Epochs: 1, Batch: 4, LR: 0.1, Schedule: "constant"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	code, out, errOut := call("train", "classifier", "--resume", r.Dir)
	checkMessage(t, badCase{"a run in use", nil, []string{"in use by another process"}}, out, errOut)
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

// TestResumeBeforeTheFirstCheckpoint: a resume that finds none says that it begins again.
func TestResumeBeforeTheFirstCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	mustCall(t, tinyClassifier("--out", dir)...)
	for _, pattern := range []string{train.LatestFile, train.FinalFile, "best-*"} {
		files, err := filepath.Glob(filepath.Join(dir, train.CheckpointDir, pattern))
		for _, f := range files {
			err = errors.Join(err, os.Remove(f))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	code, _, errOut := call("train", "classifier", "--resume", dir)
	if code != exitOK || !strings.Contains(errOut, "no checkpoint yet: its training starts from") {
		t.Errorf("exit code %d, printed %q", code, errOut)
	}
	if code, _, errOut := call("train", "classifier", "--resume", dir); code != exitOK ||
		strings.Contains(errOut, "no checkpoint") {
		t.Errorf("a second time: exit code %d, printed %q", code, errOut)
	}
}

// TestNaNFromTheCommandLine: exit code 1, one line, and a checkpoint that loads.
func TestNaNFromTheCommandLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, out, errOut := call(tinyClassifier("--lr", "1e25", "--schedule", "constant", "--save-every",
		"1", "--out", dir)...)
	checkMessage(t, badCase{"NaN", nil, []string{"step 2", "conv1.weight",
		"the checkpoint of step 1 is intact"}}, out, errOut)
	if code != exitOther {
		t.Errorf("exit code %d, expected %d", code, exitOther)
	}
	if _, err := checkpoint.Open(filepath.Join(dir, train.CheckpointDir,
		train.LatestFile)); err != nil {
		t.Error(err)
	}
}

// TestOtherKernelsOnResume: a resume on another instruction set says so and goes on.
func TestOtherKernelsOnResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	mustCall(t, tinyClassifier("--out", dir)...)
	code, _, errOut := call("train", "classifier", "--resume", dir)
	if code != exitOK || strings.Contains(errOut, "warning") {
		t.Errorf("the same kernels: exit code %d: %s", code, errOut)
	}
	record := filepath.Join(dir, train.EnvironmentFile)
	raw := read(t, record)
	write(t, record, append(raw, []byte(strings.Replace(lastLine(raw), "\"kernels\":\"gemm ",
		"\"kernels\":\"gemm other-", 1)+"\n")...))
	code, _, errOut = call("train", "classifier", "--resume", dir)
	if code != exitOK || !strings.Contains(errOut, "warning: this run was computed with gemm other-") {
		t.Errorf("other kernels: exit code %d: %s", code, errOut)
	}
	if n := strings.Count(string(read(t, record)), "\n"); n != 4 {
		t.Errorf("the record has %d lines: expected three starts and the one of this test", n)
	}
}

func lastLine(raw []byte) string {
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return lines[len(lines)-1]
}

// A mirrors answers every request, without a network.
type mirrors func(*http.Request) (*http.Response, error)

func (m mirrors) RoundTrip(r *http.Request) (*http.Response, error) { return m(r) }

// TestWhoseDownload: a network that is not there, and mirrors with other bytes, are nobody's
// mistake; a name that no set has is.
func TestWhoseDownload(t *testing.T) {
	get := func(name string, m mirrors) error {
		o := data.GetOptions{Client: &http.Client{Transport: m}}
		return data.Get(t.Context(), name, t.TempDir(), o)
	}
	offline := func(*http.Request) (*http.Response, error) { return nil, syscall.ENETUNREACH }
	wrong := func(*http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		rec.WriteString("not found, says the portal of this hotel")
		return rec.Result(), nil
	}
	if err := get("mnist", offline); exitCode(err) != exitOther {
		t.Errorf("no network: exit code %d: %v", exitCode(err), err)
	}
	if err := get("mnist", wrong); err == nil || exitCode(err) != exitOther {
		t.Errorf("other bytes: exit code %d: %v", exitCode(err), err)
	}
	if err := get("imagenet", offline); exitCode(err) != exitUsage {
		t.Errorf("an unknown name: exit code %d: %v", exitCode(err), err)
	}
}

// TestWhoseMemory: memory that ran out is the fault of who limited it, and of the machine without a
// limit; a scope that is closed is neither.
func TestWhoseMemory(t *testing.T) {
	full := &tensor.Error{Op: "Alloc", Reason: "needs 3 MB more", Err: errors.New("needs 3 MB more")}
	closed := &tensor.Error{Op: "Alloc", Reason: "the scope is closed"}
	if !isOutOfMemory(fmt.Errorf("run: %w", full)) || isOutOfMemory(closed) ||
		exitCode(full) != exitOther {
		t.Error("out of memory is not told from a closed scope")
	}
	s := tensor.NewScope(ref.New())
	s.Close()
	if err := tensor.Try(func() { s.New(tensor.F32, 1) }); isOutOfMemory(err) {
		t.Errorf("%v: taken for memory that ran out", err)
	}
	code, _, errOut := call("train", "classifier", "--memory", "4", "--train-images", "256",
		"--val-images", "2", "--out", filepath.Join(t.TempDir(), "run"))
	if code != exitUsage || !strings.Contains(errOut, "4.0 MB is the limit") {
		t.Errorf("a limit of 4 MB: exit code %d: %s", code, errOut)
	}
}

func TestExitCodes(t *testing.T) {
	for code, errs := range map[int][]error{
		exitOther: {errors.New("nobody knows this one"), tensor.Refuse("x: %w", syscall.ENOSPC),
			fmt.Errorf("x: %w", syscall.ENOSPC), syscall.EIO, train.ErrStopped,
			fmt.Errorf("x: %w", train.ErrDiverged), fmt.Errorf("x: %w", syscall.EPIPE),
			&os.PathError{Op: "write", Path: "x", Err: errors.New("unknown")},
			&os.PathError{Op: "read", Path: "x", Err: syscall.ESTALE},
			&tensor.Error{Op: "Tensor", Reason: "used after it was freed"},
			&tensor.Error{Op: "Alloc", Reason: "the scope is closed"},
			&tensor.Error{Op: "Alloc", Reason: "cpu: needs 3 MB more"}},
		exitUsage: {tensor.Refuse("x"), fmt.Errorf("x: %w", tensor.Refuse("y")), syscall.ENOENT,
			&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, &tensor.Error{Op: "x"},
			fmt.Errorf("x: %w", &data.FileError{}), &checkpoint.FormatError{},
			&checkpoint.MatchError{}, &onnx.Error{}},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != code {
				t.Errorf("%v gives %d, expected %d", err, got, code)
			}
		}
	}
}
