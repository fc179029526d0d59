package main

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/nn/train"
	"afterimage/tensor"
)

// A use is what this process holds at one moment, in bytes.
type use struct {
	Device   int        `json:"device_used"` // of the device, by the driver; other programs' too
	Held     int        `json:"held"`        // of it, by the backend's own books
	InUse    int        `json:"in_use"`      // in live tensors
	Resident int        `json:"resident"`    // of the host's memory
	Heap     int        `json:"go_heap"`     // in live objects of Go
	Alive    cuda.Alive `json:"alive"`       // streams, events, graphs, modules, … by number
}

// What may grow between two looks without being a leak. A step that left the least of either
// behind, a page or a word of Go's, would leave more than that in nine thousand.
const (
	deviceSlack   = 2 << 20  // what the driver takes at a time
	residentSlack = 16 << 20 // pages that the driver's and Go's allocators keep for later
	heapSlack     = 64 << 10 // what Go's runtime does besides
)

// using looks at the process once the device has done its work.
func using(b *cuda.Backend) (u use, err error) {
	if err := b.Sync(); err != nil {
		return u, err
	}
	debug.FreeOSMemory()
	free, total, err := b.DeviceMemory()
	if err != nil {
		return u, err
	}
	m := b.Memory()
	u = use{Device: total - free, Held: m.Held, InUse: m.InUse, Alive: b.Alive()}
	u.Resident, u.Heap = resident(), heap()
	return u, nil
}

// resident returns the process's resident memory, 0 where the system does not tell.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize()
}

// growth lists what a process holds more of than before.
func growth(from, to use) []string {
	grew := []string{}
	for _, m := range []struct {
		name              string
		from, to, allowed int
	}{
		{"the device's memory", from.Device, to.Device, deviceSlack},
		{"memory that the backend holds", from.Held, to.Held, 0},
		{"memory in tensors", from.InUse, to.InUse, 0},
		{"resident memory", from.Resident, to.Resident, residentSlack},
		{"Go's heap", from.Heap, to.Heap, heapSlack},
	} {
		if m.to > m.from+m.allowed {
			grew = append(grew, fmt.Sprintf("%s, by %d bytes", m.name, m.to-m.from))
		}
	}
	if from.Alive != to.Alive {
		grew = append(grew, fmt.Sprintf("objects of the driver, from %+v to %+v", from.Alive, to.Alive))
	}
	return grew
}

// watch makes steps until there are enough or the time is over, looks after the first tenth and at
// the end, and says what has grown. Fewer steps than wanted are no failure, but told.
func (c *check) watch(b *cuda.Backend, name string, want int, most time.Duration,
	step func(i int) error,
) error {
	begin := time.Now()
	var first, last use
	made, early := 0, max(want/10, 2)
	for ; made < want && (made <= early || time.Since(begin) < most); made++ {
		if err := step(made); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if made+1 == early {
			var err error
			if first, err = using(b); err != nil {
				return err
			}
		}
	}
	last, err := using(b)
	if err != nil {
		return err
	}
	grew := growth(first, last)
	l := line{Stage: "leak", Name: name, OK: len(grew) == 0, Values: map[string]any{"wanted": want,
		"made": made, "seconds": time.Since(begin).Seconds(), "first_look_after": early,
		"first": first, "last": last, "grew": grew}}
	if made < want {
		l.Values["fewer"] = fmt.Sprintf("%d of %d in %v", made, want, most)
	}
	c.say(l)
	return nil
}

// leak makes ten thousand replayed steps of a small classifier with its loader, some call by call,
// some of a small BigGAN, and opens and closes the backend, and looks for what stays behind.
func leak(c *check) error {
	b, err := c.open(cuda.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	many, some, few := 10000, 300, 5
	if c.tiny {
		many, some, few = 12, 4, 3
	}
	for _, w := range []struct {
		name string
		on   tensor.Backend
		want int
		most time.Duration
		run  func(*check, tensor.Backend) (training, error)
	}{{"classifier, replayed", b, many, 20 * time.Second, loaded},
		{"classifier, call by call", callByCall{b}, some, 5 * time.Second, loaded},
		{"BigGAN-32, replayed", b, some, 5 * time.Second, painted}} {
		if c.tiny && w.name == "BigGAN-32, replayed" {
			continue // minutes under the emulator
		}
		if c.tiny {
			w.most = time.Hour // a busy machine must not make the rehearsal another
		}
		t, err := w.run(c, w.on)
		if err == nil {
			err = c.watch(b, w.name, w.want, w.most, t.step)
			t.done()
		}
		if err != nil {
			return err
		}
	}
	return c.watch(b, "opened and closed", few, 10*time.Second, func(int) error { return c.visit() })
}

// loaded trains a small classifier as a run does, loader and all.
func loaded(c *check, b tensor.Backend) (training, error) {
	cfg := train.ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
		TrainImages: 512, ValImages: 2, TestImages: 2, Batch: 8, Epochs: 1e4, LR: 1e-4,
		Momentum: 0.9, Schedule: "constant", Seed: 3, Best: 1}
	if c.tiny {
		cfg.Arch, cfg.TrainImages, cfg.Batch = "lenet5", 4, 2
	}
	t, err := train.NewClassifier(b, cfg)
	if err != nil {
		return training{}, err
	}
	next, stop := iter.Pull2(t.Batches(0))
	step := func(int) error {
		i, batch, _ := next()
		_, err := t.Step(i, batch)
		return err
	}
	return training{step, t.Replayed, func() { stop(); t.Close() }}, nil
}

// painted trains both players of a small BigGAN.
func painted(c *check, b tensor.Backend) (training, error) {
	return playerSteps(gan.Slim32(8, 10))(b, 8, c.tiny)
}

// visit opens a second backend on the card, computes a product, records it and closes the backend.
func (c *check) visit() error {
	b, err := c.open(cuda.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	s := tensor.NewScope(b)
	x, y := s.Full(tensor.F32, 1, 64, 64), s.New(tensor.F32, 64, 64)
	product := func() { b.MatMul(y, x, x, tensor.MatMulParams{}) }
	product()
	r, err := b.Record(product)
	if err != nil {
		return err
	}
	r.Replay()
	if err := firstOf(b.Sync(), r.Close()); err != nil {
		return err
	}
	s.Close()
	b.Close()
	if left := b.Alive(); left != (cuda.Alive{}) {
		return fmt.Errorf("a closed backend has left %+v", left)
	}
	return nil
}

// heap returns the bytes of live objects of Go.
func heap() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
