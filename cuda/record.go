package cuda

import (
	"errors"
	"fmt"

	"afterimage/tensor"
)

// A Graph is recorded work: one launch runs all of it. It is a tensor.Recording.
type Graph struct {
	b      *Backend
	exec   uint64
	nodes  int
	fault  string // what the work did that cannot be recorded
	closed bool
}

var (
	_ tensor.Recorder  = (*Backend)(nil)
	_ tensor.Recording = (*Graph)(nil)
)

// Record calls f once and records what it launches instead of running it; see tensor.Recorder for
// what f must keep to. What f allocates comes from memory that all recordings share and nothing
// else uses, in the order of a stack: work that is replayed in the order in which it was recorded
// takes no more than the same work call by call.
func (b *Backend) Record(f func()) (tensor.Recording, error) {
	g := &Graph{b: b}
	if err := b.beginRecording(g); err != nil {
		return nil, fmt.Errorf("cuda: Record: %w", err)
	}
	failure := tensor.Try(f)
	if err := b.endRecording(g); err != nil && failure == nil {
		failure = err
	}
	if g.fault != "" { // comes first: what failed later may follow from it
		failure = fmt.Errorf("%s: %w", g.fault, errRecording)
	}
	if failure != nil {
		g.Close()
		return nil, fmt.Errorf("cuda: Record: %w", failure)
	}
	return g, nil
}

// beginRecording makes allocations come from the recordings' memory, for which it makes room: what
// the same work left in the main pool when it ran call by call is not needed twice.
func (b *Backend) beginRecording(g *Graph) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.settle(); err != nil {
		return err
	}
	if b.mem.recordings == 0 {
		b.mem.trim()
		b.mem.recorded = &pool{}
	}
	if err := b.x.beginCapture(); err != nil {
		return err
	}
	b.graph = g
	b.lent[g] = true
	b.mem.recordings++
	b.mem.current = b.mem.recorded
	return nil
}

// endRecording makes the recorded launches executable.
func (b *Backend) endRecording(g *Graph) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	b.graph = nil
	b.mem.current = &b.mem.main
	raw, failure := b.x.endCapture()
	if raw == 0 {
		return failure
	}
	b.x.do(func() error { // what fails here fails the graph, not the device
		defer b.ctx.DestroyGraph(raw)
		if failure != nil {
			return nil
		}
		if g.nodes, failure = b.ctx.GraphNodes(raw); failure == nil {
			g.exec, failure = b.ctx.Instantiate(raw)
		}
		return nil
	})
	return failure
}

// fail notes the first thing in a step that cannot be recorded.
func (g *Graph) fail(what string) {
	if g.fault == "" {
		g.fault = what
	}
}

// Nodes returns how many launches and copies the graph holds.
func (g *Graph) Nodes() int { return g.nodes }

// Replay runs the work, after everything before it.
func (g *Graph) Replay() {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	if g.closed {
		panic(&tensor.Error{Op: "Replay", Reason: "the recording is closed"})
	}
	g.b.command("graph")
	g.b.batch.Graph(g.exec)
	g.b.flush() // it is long: start it now
}

// Close waits for the device and gives the graph back, and the recordings' memory with the last
// one. Tensors that the work left behind are gone with it.
func (g *Graph) Close() error {
	b := g.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.closed {
		return nil
	}
	return errors.Join(b.settle(), g.giveBack())
}

// giveBack closes the graph.
func (g *Graph) giveBack() (err error) {
	b := g.b
	g.closed = true
	delete(b.lent, g)
	if g.exec != 0 {
		err = b.x.do(func() error { return b.ctx.DestroyExec(g.exec) })
	}
	if b.mem.recordings--; b.mem.recordings == 0 {
		b.mem.drop(b.mem.recorded)
	}
	return err
}
