package train_test

import (
	"errors"
	"slices"
	"testing"

	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A faultyRecorder is tensor/cpu that records: the fault-th time, counted from 1, it fails after
// the work has been called, and nothing of it has run.
type faultyRecorder struct {
	*cpu.Backend
	fault, asked int
	live         map[tensor.Buffer]bool
}

func (b *faultyRecorder) Alloc(bytes int) (tensor.Buffer, error) {
	buf, err := b.Backend.Alloc(bytes)
	if err == nil {
		b.live[buf] = true
	}
	return buf, err
}

func (b *faultyRecorder) Free(buf tensor.Buffer) {
	delete(b.live, buf)
	b.Backend.Free(buf)
}

func (b *faultyRecorder) Record(f func()) (tensor.Recording, error) {
	if b.asked++; b.asked != b.fault {
		return again(f), nil
	}
	before := map[tensor.Buffer][]byte{}
	for buf := range b.live {
		before[buf] = make([]byte, buf.Bytes())
		b.Download(before[buf], buf)
	}
	f()
	for buf, bytes := range before {
		if b.live[buf] {
			b.Upload(buf, bytes)
		}
	}
	return nil, errors.New("does not record")
}

// again is recorded work that calls the host's function once more.
type again func()

func (f again) Replay()    { f() }
func (again) Nodes() int   { return 0 }
func (again) Close() error { return nil }

// TestRecordingFails trains with an adversary where either half of the second step cannot be
// recorded, once its work was called, and wants the bytes of a training call by call.
func TestRecordingFails(t *testing.T) {
	cfg := tiny()
	cfg.Attack.Ramp, cfg.TrainImages, cfg.Batch = 0, 6, 2
	host := cpu.Open(2)
	defer host.Close()
	const steps = 3
	run := func(b tensor.Backend) (numbers []float64, failed error) {
		c, err := train.NewClassifier(b, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range steps {
			loss, err := c.Step(i, c.Loader().Batch(i))
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, loss)
		}
		for _, p := range c.State() {
			numbers = append(numbers, p.Param.T.Floats()...)
		}
		_, failed = c.Replayed()
		return numbers, failed
	}
	want, _ := run(host)
	for fault := range 3 { // 0: none
		b := &faultyRecorder{host, fault, 0, map[tensor.Buffer]bool{}}
		got, failed := run(b)
		if !slices.Equal(got, want) {
			t.Errorf("recording %d failed: other bytes than call by call", fault)
		}
		if (failed != nil) != (fault > 0) || b.asked == 0 {
			t.Errorf("recording %d of %d failed: %v", fault, b.asked, failed)
		}
		if left := len(b.live); left != 0 {
			t.Errorf("recording %d failed: %d buffers are left", fault, left)
		}
	}
}
