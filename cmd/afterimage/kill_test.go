package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"afterimage/nn/checkpoint"
	"afterimage/nn/train"
	"afterimage/tensor"
)

var (
	kills    = flag.Int("kills", 3, "how many times TestKillAndResume kills a training of each kind")
	killSeed = flag.Uint64("kill-seed", 1, "seed of the moments at which TestKillAndResume kills")
)

// TestKillAndResume kills trainings with SIGKILL at random moments, resumes them until they are
// done, and compares every file of the run with an undisturbed one's. A checkpoint at every step
// makes many of the kills hit a write. `make test-kill` does it 20 times for each kind.
func TestKillAndResume(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains for seconds")
	}
	dir := t.TempDir()
	classifier := tinyClassifier("--epochs", "3", "--save-every", "1", "--adversary", "linf", "--ramp",
		"0.5")
	t.Run("classifier", func(t *testing.T) {
		killAndResume(t, filepath.Join(dir, "classifier"), classifier)
	})
	t.Run("classifier on a GPU", func(t *testing.T) { // recorded steps, plans kept in the run
		for _, v := range fakeGPU(t) {
			name, value, _ := strings.Cut(v, "=")
			t.Setenv(name, value)
		}
		killAndResume(t, filepath.Join(dir, "gpu"), strings.Fields("train classifier --arch lenet5 "+
			"--train-images 8 --val-images 2 --batch 2 --epochs 2 --best 1 --save-every 1"))
		plans, err := os.ReadFile(filepath.Join(dir, "gpu", "killed-0", train.PlansFile))
		if err != nil || !bytes.Contains(plans, []byte("forward")) {
			t.Errorf("the run keeps no plans: %v, %s", err, plans)
		}
	})
	source := filepath.Join(dir, "classifier", "whole")
	t.Run("inverter", func(t *testing.T) {
		killAndResume(t, filepath.Join(dir, "inverter"),
			tinyInverter(source, "--steps", "8", "--sample-every", "3", "--d-steps", "2"))
	})
}

// killAndResume does it for one kind of training; it leaves the undisturbed run in dir/whole.
func killAndResume(t *testing.T, dir string, args []string) {
	bin, whole := binary(t), filepath.Join(dir, "whole")
	begin := time.Now()
	if out, err := exec.Command(bin, append(args, "--out", whole)...).CombinedOutput(); err != nil {
		t.Fatalf("undisturbed: %v\n%s", err, out)
	}
	lasts := time.Since(begin)
	rng := tensor.NewRNG(tensor.NewKey(*killSeed, "test/kill"), 0)
	killed, hits, starts := 0, 0, 0
	for k := 0; killed < *kills; k++ {
		run := filepath.Join(dir, "killed-"+strconv.Itoa(k))
		for done := false; !done; starts++ {
			limit := time.Duration(rng.Uniform(0, 1) * float64(lasts))
			if killed >= *kills {
				limit = time.Hour
			}
			inWrite := killed%2 == 1 // every second kill waits for a file that is being written
			if done = runFor(t, limit, inWrite, bin, args, run); !done {
				killed++
				hits += len(halfWritten(t, run))
			}
		}
		diff, err := train.Diff(whole, run)
		if err != nil {
			t.Fatal(err)
		}
		if len(diff) > 0 {
			t.Fatalf("after %d kills the run differs from an undisturbed one in %d things: %s", killed,
				len(diff), strings.Join(diff, "; "))
		}
	}
	t.Logf("%d kills in %d starts; %d half-written files left behind; all files equal", killed, starts,
		hits)
}

// resumed returns the command line that starts or goes on with a run: what a user would type, who
// sees whether there is a run.
func resumed(args []string, dir string) []string {
	if exists(filepath.Join(dir, train.ConfigFile)) {
		return []string{args[0], args[1], "--resume", dir, "--threads", "1"}
	}
	return append(args[:len(args):len(args)], "--out", dir)
}

// runFor starts or goes on with a run and kills it after the given time, or with inWrite at the
// first moment after it at which a file is being written. It reports whether the command ended well
// by itself.
func runFor(
	t *testing.T, limit time.Duration, inWrite bool, bin string, args []string, run string,
) bool {
	t.Helper()
	var out bytes.Buffer
	args = resumed(args, run)
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		ended <- err
	case <-time.After(limit):
	}
	for inWrite && len(ended) == 0 && len(halfWritten(t, run)) == 0 {
		time.Sleep(50 * time.Microsecond)
	}
	_ = cmd.Process.Kill() // an error says that it has ended
	err := <-ended
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return false
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	return true
}

// halfWritten returns the temporary files that a killed process left.
func halfWritten(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{".*", "*/.*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	return found
}

// TestInterrupt: the first signal saves a checkpoint and ends with exit code 1 and the command that
// goes on; a second one ends the program at once, however long the step is.
func TestInterrupt(t *testing.T) {
	if testing.Short() {
		t.Skip("short: trains for seconds")
	}
	dir := t.TempDir()
	once := filepath.Join(dir, "once")
	code, errOut := interrupt(t, 1, tinyClassifier("--epochs", "100000", "--save-every", "1000000",
		"--out", once))
	if code != exitOther || !strings.Contains(errOut, "--resume "+once) ||
		!strings.Contains(errOut, "stopped as asked at step") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	if f, err := checkpoint.Open(filepath.Join(once, train.CheckpointDir,
		train.LatestFile)); err != nil || f.Metadata["step"] == "0" {
		t.Errorf("no checkpoint to go on from: %v", err)
	}
	slow := tinyClassifier("--adversary", "linf", "--attack-steps", "100000", "--out",
		filepath.Join(dir, "twice"))
	if code, errOut := interrupt(t, 2, slow); code != -1 {
		t.Errorf("two signals: exit code %d, expected death by the signal: %s", code, errOut)
	}
}

// interrupt starts a training, signals it the given number of times and returns its exit code, -1
// when the signal ended it.
func interrupt(t *testing.T, times int, args []string) (int, string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary(t), args...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	text := func() string {
		raw, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	config := filepath.Join(args[len(args)-1], train.ConfigFile)
	wait := func(what string, ok func() bool) {
		for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s within 2 minutes: %s", what, text())
			}
		}
	}
	wait("run", func() bool { return exists(config) })
	for n := range times {
		if n > 0 {
			wait("answer to the signal", func() bool { return strings.Contains(text(), "second signal") })
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // its error is the exit code
	return cmd.ProcessState.ExitCode(), text()
}
