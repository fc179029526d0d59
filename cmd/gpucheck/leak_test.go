package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"afterimage/cuda"
	"afterimage/cuda/cudatest"
	"afterimage/tensor"
)

// onFake makes the fake GPU this test's.
func onFake(t *testing.T) {
	t.Helper()
	fake, err := cudatest.Build(t.TempDir())
	if errors.Is(err, cudatest.ErrPlatform) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range fake.Env {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

// What the cases leave behind.
var (
	leakedBytes [][]byte
	leakScope   *tensor.Scope
)

// leakCases are steps, and what is to be said of them; "" if nothing.
var leakCases = map[string]struct {
	step func(b *cuda.Backend, i int) error
	want string
}{
	"nothing": {func(b *cuda.Backend, _ int) error {
		buf, err := b.Alloc(1000)
		b.Free(buf)
		return err
	}, ""},
	"a small tensor": {func(*cuda.Backend, int) error {
		leakScope.New(tensor.F32, 1)
		return nil
	}, "memory in tensors"},
	"a large block": {func(b *cuda.Backend, _ int) error {
		_, err := b.Alloc(8 << 20)
		return err
	}, "the device's memory"},
	"a recording": {func(b *cuda.Backend, _ int) error {
		x := leakScope.New(tensor.F32, 1)
		defer x.Free()
		_, err := b.Record(func() { b.Binary(tensor.Add, x, x, x) })
		return err
	}, "Execs:20"},
	"staged memory": {func(b *cuda.Backend, _ int) error {
		_, err := b.Stage(1000)
		return err
	}, "objects of the driver"},
	"objects of Go": {func(*cuda.Backend, int) error {
		leakedBytes = append(leakedBytes, make([]byte, 64<<10))
		return nil
	}, "Go's heap"},
}

// TestLeakIsSeen makes steps that leave something behind, and one that does not.
func TestLeakIsSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds the fake GPU")
	}
	onFake(t)
	for name, c := range leakCases {
		t.Run(name, func(t *testing.T) {
			b, err := cuda.Open("cuda:0", cuda.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			leakScope = tensor.NewScope(b)
			defer leakScope.Close()
			x := leakScope.Full(tensor.F32, 1, 1)
			b.Binary(tensor.Add, x, x, x) // its module is loaded once
			var out bytes.Buffer
			check := &check{out: json.NewEncoder(&out)}
			err = check.watch(b, name, 20, time.Minute, func(i int) error { return c.step(b, i) })
			if err != nil {
				t.Fatal(err)
			}
			lines, err := parseResults(&out)
			if err != nil {
				t.Fatal(err)
			}
			said := out.String()
			for _, g := range lines[0].Values["grew"].([]any) {
				said += g.(string) + "\n"
			}
			if lines[0].OK != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
	if len(leakedBytes) == 0 {
		t.Error("nothing was kept")
	}
}

// TestLeakTakesItsTime wants fewer steps than asked for told, and no failure, when time is over.
func TestLeakTakesItsTime(t *testing.T) {
	if testing.Short() {
		t.Skip("short: builds the fake GPU")
	}
	onFake(t)
	b, err := cuda.Open("cuda:0", cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	check := &check{out: json.NewEncoder(&out)}
	err = check.watch(b, "slow", 1000, 0, func(int) error { return nil })
	lines, _ := parseResults(&out)
	if err != nil || len(lines) != 1 || !lines[0].OK || lines[0].Values["made"] != 101.0 ||
		lines[0].Values["fewer"] == nil {
		t.Errorf("%v, %+v", err, lines)
	}
}
