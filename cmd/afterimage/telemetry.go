package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// telemetryProgram tells about GPUs. It is another program because the library behind it may keep a
// program from starting (cmd/gpumon says more).
const telemetryProgram = "gpumon"

// A gpuSample is one GPU at one time, as gpumon writes it; what the card does not tell is nil.
type gpuSample struct {
	Time        float64  `json:"time"` // seconds since 1970
	UUID        string   `json:"uuid"`
	Utilisation *float64 `json:"utilisation"`   // 0..1
	MemoryUsed  *float64 `json:"memory_used"`   // bytes
	Power       *float64 `json:"power_watts"`   //
	Energy      *float64 `json:"energy_joules"` // since the driver was loaded
	SMClock     *float64 `json:"sm_clock_mhz"`
	MemoryClock *float64 `json:"memory_clock_mhz"`
	Temperature *float64 `json:"temperature"`
}

// telemetry collects what gpumon says of one GPU. A nil telemetry is off and says nothing. If
// gpumon ends early, what it has said until then stays.
type telemetry struct {
	uuid  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu          sync.Mutex
	first, last gpuSample
	busy, watts float64 // sums
	nBusy, nW   int
	memory      float64 // largest
	samples     int
	log         *os.File
}

// findTelemetry returns gpumon beside the program, else on PATH, else "".
func findTelemetry() string {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), telemetryProgram)
		if info, err := os.Stat(beside); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
			return beside
		}
	}
	path, err := exec.LookPath(telemetryProgram)
	if err != nil {
		return ""
	}
	return path
}

// startTelemetry starts gpumon for the GPU with that UUID. Without gpumon, or if it does not
// start, telemetry is off.
func startTelemetry(uuid string) *telemetry {
	path := findTelemetry()
	if path == "" {
		return nil
	}
	t := &telemetry{uuid: uuid, cmd: exec.Command(path), ended: make(chan struct{})}
	var err error
	if t.stdin, err = t.cmd.StdinPipe(); err != nil {
		return nil
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil || t.cmd.Start() != nil {
		return nil
	}
	go t.read(out)
	return t
}

// read takes lines until gpumon ends; a line that is no sample is left out.
func (t *telemetry) read(out io.Reader) {
	defer close(t.ended)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var s struct {
			Time    float64     `json:"time"`
			Devices []gpuSample `json:"devices"`
		}
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue
		}
		for _, d := range s.Devices {
			if d.UUID == t.uuid {
				d.Time = s.Time
				t.add(d)
			}
		}
	}
	io.Copy(io.Discard, out) // a line too long: let gpumon go on writing until it is told to end
}

func (t *telemetry) add(s gpuSample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.samples == 0 {
		t.first = s
	}
	t.last = s
	t.samples++
	if s.Utilisation != nil {
		t.busy, t.nBusy = t.busy+*s.Utilisation, t.nBusy+1
	}
	if s.Power != nil {
		t.watts, t.nW = t.watts+*s.Power, t.nW+1
	}
	if s.MemoryUsed != nil {
		t.memory = max(t.memory, *s.MemoryUsed)
	}
	t.write(s)
}

// write appends a sample to the log, if there is one. A full disk ends the log, not the training.
func (t *telemetry) write(s gpuSample) {
	if t.log != nil && json.NewEncoder(t.log).Encode(s) != nil {
		t.log.Close()
		t.log = nil
	}
}

// keep appends the last sample and all from now on to the run directory's log.
func (t *telemetry) keep(path string) error {
	if t == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = f
	if t.samples > 0 {
		t.write(t.last)
	}
	return nil
}

// close tells gpumon to end and returns a summary in one line, "" if there was nothing.
func (t *telemetry) close() string {
	if t == nil {
		return ""
	}
	t.stdin.Close()
	const patience = 2 * time.Second
	select {
	case <-t.ended:
	case <-time.After(patience):
		t.cmd.Process.Kill()
		<-t.ended
	}
	t.cmd.Wait() // how it ended does not matter
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log != nil {
		t.log.Close()
		t.log = nil
	}
	return t.summary()
}

// summary says what was seen.
func (t *telemetry) summary() string {
	if t.samples == 0 {
		return ""
	}
	s := fmt.Sprintf("GPU over %.0f s", t.last.Time-t.first.Time)
	if t.nBusy > 0 {
		s += fmt.Sprintf(": %.0f %% busy", 100*t.busy/float64(t.nBusy))
	}
	if t.memory > 0 {
		s += fmt.Sprintf(", at most %.1f GB used", t.memory/1e9)
	}
	if t.nW > 0 {
		s += fmt.Sprintf(", %.0f W on average", t.watts/float64(t.nW))
	}
	if a, b := t.first.Energy, t.last.Energy; a != nil && b != nil {
		s += fmt.Sprintf(", %.0f J", *b-*a)
	}
	return s
}
