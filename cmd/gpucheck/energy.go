package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"afterimage/cuda"
)

// gpumon returns the program that tells joules: beside this one, else on PATH, else "".
func gpumon() string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "gpumon")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	path, err := exec.LookPath("gpumon")
	if err != nil {
		return ""
	}
	return path
}

// energy returns the joules that a card has taken since its driver was loaded, if something tells.
func energy(uuid string) (joules float64, ok bool) {
	program := gpumon()
	if program == "" {
		return 0, false
	}
	out, err := ask(program, "-once")
	var sample struct {
		Devices []struct {
			UUID   string   `json:"uuid"`
			Energy *float64 `json:"energy_joules"`
		} `json:"devices"`
	}
	if err != nil || json.Unmarshal(out, &sample) != nil {
		return 0, false
	}
	for _, d := range sample.Devices {
		if d.UUID == uuid && d.Energy != nil {
			return *d.Energy, true
		}
	}
	return 0, false
}

// joules returns what one call of f takes, which lasts about that many seconds: by the card's
// counter over a window that is long beside the tenth of a second between its updates.
func (c *check) joules(b *cuda.Backend, seconds float64, f func()) (float64, bool) {
	window := 3.0 // seconds
	if c.tiny {
		window = 0
	}
	before, ok := energy(b.Info().UUID)
	if !ok {
		return 0, false
	}
	calls := 0
	for begin := time.Now(); calls == 0 || time.Since(begin).Seconds() < window; {
		for range max(1, int(0.1/seconds)) { // the host runs ahead of the device: wait now and then
			f()
			calls++
		}
		if b.Sync() != nil {
			return 0, false
		}
	}
	after, ok := energy(b.Info().UUID)
	return (after - before) / float64(calls), ok
}
