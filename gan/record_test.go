package gan_test

import (
	"errors"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A forgetful recorder calls the host's function again for each replay; one of its recordings, the
// fault-th, counted from 1, fails.
type forgetful struct {
	*cpu.Backend
	fault, asked int
}

func (b *forgetful) Record(f func()) (tensor.Recording, error) {
	if b.asked++; b.asked == b.fault {
		return nil, errors.New("does not record")
	}
	return again(f), nil
}

type again func()

func (f again) Replay()    { f() }
func (again) Nodes() int   { return 0 }
func (again) Close() error { return nil }

// TestReplayedAsksAll wants one player's step that could not be recorded told, whichever it is.
func TestReplayedAsksAll(t *testing.T) {
	c := tinyInverter()
	c.Batch, c.DSteps = 2, 2
	host := cpu.Open(2)
	defer host.Close()
	const halves = 2 * 3 // of two discriminator steps and a generator step
	for _, fault := range []int{0, 1, 4, halves} {
		b := &forgetful{Backend: host, fault: fault}
		g, done := newTrainer(t, b, c)
		if yes, err := g.Replayed(); yes || err != nil {
			t.Errorf("before any step: replayed %v, %v", yes, err)
		}
		for i := range 2 {
			if _, err := g.Step(i); err != nil {
				t.Fatal(err)
			}
		}
		if yes, err := g.Replayed(); yes != (fault == 0) || (err != nil) != (fault > 0) {
			t.Errorf("recording %d of %d failed: replayed %v, %v", fault, b.asked, yes, err)
		}
		done()
	}
}
