package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"afterimage/cuda"
	"afterimage/tensor"
	"afterimage/tensor/backendtest"
)

// report says what is there: GPUs, libraries, the system, telemetry.
func report(c *check) error {
	r := cuda.Find()
	c.say(line{Stage: "report", Name: "find", OK: r.Problem == "", Error: r.Problem,
		Values: map[string]any{"devices": r.Devices, "libraries": r.Libraries}})
	for _, command := range []string{"uname -sr", "ldd --version", "nvidia-smi -L"} {
		out, err := ask(strings.Fields(command)...)
		first, _, _ := strings.Cut(string(out), "\n")
		v := map[string]any{"says": first}
		if err != nil {
			v["problem"] = err.Error()
		}
		c.say(line{Stage: "report", Name: command, OK: true, Values: v}) // for information
	}
	told, known := energy(firstUUID(r))
	c.say(line{Stage: "report", Name: "gpumon", OK: true,
		Values: map[string]any{"program": gpumon(), "tells_joules": known, "joules": told}})
	b, err := c.open(cuda.Options{})
	if err != nil {
		c.unopened = true
		return err
	}
	defer b.Close()
	c.say(line{Stage: "report", Name: "open", OK: true,
		Values: map[string]any{"kernels": b.Kernels(), "memory": b.Memory()}})
	return nil
}

// ask returns what a program prints; one that hangs, a tool that waits for its driver for example,
// is ended before it costs a stage the rest of its time.
func ask(command ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	endAll(cmd)
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

func firstUUID(r cuda.Report) string {
	if len(r.Devices) == 0 {
		return ""
	}
	return r.Devices[0].UUID
}

// compile compiles every kernel that is not in the cache yet and looks for spilled registers.
func compile(c *check) error {
	b, err := c.open(cuda.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	begin := time.Now()
	ks, err := b.CompiledKernels()
	if err != nil {
		return err
	}
	spilled := []cuda.Kernel{}
	for _, k := range ks {
		if k.Local > 0 {
			spilled = append(spilled, k)
		}
	}
	c.say(line{Stage: "compile", Name: "all", OK: len(ks) > 0, Values: map[string]any{
		"seconds": time.Since(begin).Seconds(), "kernels": len(ks), "spilled": spilled}})
	return nil
}

// conformance runs the suite for backends on the card, with our own kernels and with NVIDIA's
// libraries. The suite is made for package testing, whose entry point ends the process: each family
// says its line itself.
func conformance(c *check) error {
	b, err := c.open(cuda.Options{})
	if err != nil { // said once, and not by every family
		return err
	}
	b.Close()
	tests := c.suites(true)
	if !c.tiny { // the rehearsal has no libraries
		tests = append(tests, c.suites(false)...)
	}
	os.Stdout = os.Stderr // the suite's words; lines go where they went
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, tests, nil, nil)
	return nil
}

// suites makes one test of each kernel family.
func (c *check) suites(own bool) []testing.InternalTest {
	names := backendtest.Families()
	if c.tiny {
		names = names[:1]
	}
	var tests []testing.InternalTest
	for _, f := range names {
		tests = append(tests, testing.InternalTest{Name: f, F: func(t *testing.T) {
			var opened []*cuda.Backend
			defer func() {
				for _, b := range opened {
					b.Close()
				}
				c.say(line{Stage: "conformance", Name: f, OK: !t.Failed(),
					Values: map[string]any{"own_kernels_alone": own}})
			}()
			backendtest.Run(t, backendtest.Options{Families: []string{f},
				PaddingMultiplied: "the weight gradient is an implicit GEMM over zeros",
				Open: func(int) tensor.Backend {
					b, err := c.open(cuda.Options{Own: own})
					if err != nil {
						t.Fatal(err)
					}
					opened = append(opened, b)
					return b
				}})
		}})
	}
	return tests
}

// script is PyTorch doing the same.
//
//go:embed pytorch.py
var script string

// pytorch runs the same steps in PyTorch, where Python has it; its script prints lines like ours,
// which are passed on as they come.
func pytorch(c *check) error {
	dir, err := os.MkdirTemp("", "gpucheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pytorch.py")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		return err
	}
	args := []string{"-u", path, "--networks", c.pytorch, "--gpumon", gpumon()}
	if c.tiny {
		args = append(args, "tiny")
	}
	cmd := exec.Command("python3", args...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err = cmd.Start(); errors.Is(err, exec.ErrNotFound) {
		c.say(line{Stage: "pytorch", Name: "skipped", OK: true,
			Values: map[string]any{"why": "there is no python3 on PATH"}})
		return nil
	}
	if err == nil {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l line
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Name != "" {
				l.Stage = "pytorch"
				c.say(l)
			}
		}
		err = cmd.Wait()
	}
	if err != nil {
		last := strings.Split(strings.TrimSpace(problem.String()), "\n")
		c.say(line{Stage: "pytorch", Name: "stage", OK: c.tiny,
			Error: fmt.Sprintf("%v: %s", err, last[len(last)-1])})
	}
	return nil
}
