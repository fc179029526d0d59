package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"afterimage/cuda/driver"
)

// An executor owns one device: a goroutine on a thread of its own runs what is handed to it, in
// order. Launches, captures, which end on the thread where they began, and the calls of cuDNN and
// cuBLASLt thus stay on one thread. Whatever else the driver is asked for, memory, code or a
// loader's copy, is asked on the caller's: the driver takes calls from any thread, and on one that
// captures it gives no memory.
type executor struct {
	ctx    *driver.Context
	stream uint64
	jobs   chan job
	free   chan *batch // encoded and ready for reuse
	failed atomic.Pointer[failure]
	ended  chan struct{}

	over bool // closed; the backend's lock guards it

	// capturing and broken belong to the device's thread: whether launches go into a graph, and the
	// first that could not. Such a failure spoils the graph, not the device.
	capturing bool
	broken    error
}

// A job is a batch, or a function whose end somebody waits for.
type job struct {
	batch *batch
	run   func() error
	done  chan error
}

// A batch is a list of commands with the kernels' names for messages.
type batch struct {
	driver.Batch
	names []string // of launches; "" for other commands
}

// reset empties the batch.
func (b *batch) reset() {
	b.Reset()
	b.names = b.names[:0]
}

// failure is the device's first error.
type failure struct{ err error }

// errClosed is what a backend that was closed answers.
var errClosed = errors.New("the device was closed")

// batchesAhead is how many batches the caller may be ahead of the device's thread: enough to keep
// it busy, few enough to notice a failure soon.
const batchesAhead = 8

func newExecutor(ctx *driver.Context) (*executor, error) {
	x := &executor{ctx: ctx, jobs: make(chan job, batchesAhead), ended: make(chan struct{}),
		free: make(chan *batch, batchesAhead+2)}
	for range cap(x.free) {
		x.free <- &batch{}
	}
	var err error
	if x.stream, err = ctx.NewStream(); err != nil {
		return nil, err
	}
	go x.loop()
	return x, nil
}

// loop runs jobs until close. The thread ends with it.
func (x *executor) loop() {
	runtime.LockOSThread()
	defer close(x.ended)
	for j := range x.jobs {
		if j.batch != nil {
			x.runBatch(j.batch)
			continue
		}
		err := x.err()
		if err == nil {
			if err = j.run(); err != nil && !transient(err) {
				x.stick(err)
			}
		}
		j.done <- err
	}
}

// runBatch executes a batch unless the device, or the graph it goes into, has failed before.
func (x *executor) runBatch(b *batch) {
	if x.failed.Load() == nil && x.broken == nil {
		if at, err := x.ctx.Run(x.stream, &b.Batch); err != nil {
			if at < len(b.names) && b.names[at] != "" {
				err = fmt.Errorf("kernel %s: %w", b.names[at], err)
			}
			if x.capturing {
				x.broken = err
			} else {
				x.stick(err)
			}
		}
	}
	b.reset()
	x.free <- b
}

// transient reports whether the device is still whole after err, which a single call returned:
// memory that is not there, a function that this driver lacks, a library that is not there or
// refuses a plan.
func transient(err error) bool {
	switch driver.Code(err) {
	case 0, driver.OutOfMemory, driver.NotFound:
		return true
	}
	return false
}

// stick remembers the first failure.
func (x *executor) stick(err error) { x.failed.CompareAndSwap(nil, &failure{err}) }

// err returns the device's first failure.
func (x *executor) err() error {
	if f := x.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// submit hands a batch over and returns an empty one.
func (x *executor) submit(b *batch) *batch {
	if x.over {
		b.reset()
		return b
	}
	x.jobs <- job{batch: b}
	return <-x.free
}

// beginCapture makes launches go into a graph.
func (x *executor) beginCapture() (failure error) {
	err := x.do(func() error {
		failure = x.ctx.BeginCapture(x.stream)
		x.capturing = failure == nil
		return nil
	})
	return errors.Join(err, failure)
}

// endCapture returns the graph, or what broke it.
func (x *executor) endCapture() (raw uint64, failure error) {
	err := x.do(func() error {
		raw, failure = x.ctx.EndCapture(x.stream)
		if x.broken != nil { // comes first: the other follows from it
			failure = x.broken
		}
		x.capturing, x.broken = false, nil
		return nil
	})
	return raw, errors.Join(err, failure)
}

// do runs f on the device's thread after everything submitted so far, and waits for it. After close
// it returns what the device failed with, or that it was closed.
func (x *executor) do(f func() error) error {
	if x.over {
		return x.err()
	}
	done := make(chan error, 1)
	x.jobs <- job{run: f, done: done}
	return <-done
}

// close ends the goroutine and the stream.
func (x *executor) close() {
	x.over = true
	close(x.jobs)
	<-x.ended
	x.failed.CompareAndSwap(nil, &failure{errClosed})
	x.ctx.DestroyStream(x.stream) // at the end nothing can be done about a failure
}
