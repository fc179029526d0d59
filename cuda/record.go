package cuda

import (
	"fmt"

	"afterimage/tensor"
)

// A Graph is a recorded step: one launch runs all of it. What the step allocates stays reserved for
// it; a tensor that the step leaves behind is overwritten by the next Replay.
type Graph struct {
	b     *Backend
	pool  *pool
	exec  uint64
	nodes int
	fault string // what the step did that cannot be recorded
}

// Record runs step once, which compiles its kernels and finds its memory, then calls it again and
// records what it launches instead of running it. So step's effect has happened once when Record
// returns. Everything that changes from one step to the next must lie in device tensors made before
// Record; write them between replays. Inside step nothing may be uploaded, read back or waited
// for: Record then returns an error, and the step has run once all the same.
func (b *Backend) Record(step func()) (*Graph, error) {
	g := &Graph{b: b, pool: &pool{}}
	b.mu.Lock()
	was := b.mem.use(g.pool)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.mem.use(was)
		b.graph = nil
		b.mu.Unlock()
	}()
	if err := tensor.Try(step); err != nil {
		return nil, b.abandon(g, err)
	}
	if err := b.beginRecording(g); err != nil {
		return nil, b.abandon(g, err)
	}
	stepErr := tensor.Try(step)
	if err := b.endRecording(g); err != nil {
		return nil, b.abandon(g, err)
	}
	switch {
	case g.fault != "":
		return nil, b.abandon(g, fmt.Errorf("%s: %w", g.fault, errRecording))
	case stepErr != nil:
		return nil, b.abandon(g, stepErr)
	}
	return g, nil
}

// abandon frees a graph that did not come to be.
func (b *Backend) abandon(g *Graph, err error) error {
	b.mu.Lock()
	b.graph = nil
	b.mu.Unlock()
	g.Close()
	return fmt.Errorf("cuda: Record: %w", err)
}

func (b *Backend) beginRecording(g *Graph) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.settle(); err != nil {
		return err
	}
	err := b.x.do(func() error { return b.ctx.BeginCapture(b.x.stream) })
	if err == nil {
		b.graph = g
	}
	return err
}

// endRecording makes the recorded launches executable.
func (b *Backend) endRecording(g *Graph) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	b.graph = nil
	return b.x.do(func() error {
		raw, err := b.ctx.EndCapture(b.x.stream)
		if err != nil {
			return err
		}
		defer b.ctx.DestroyGraph(raw)
		if g.nodes, err = b.ctx.GraphNodes(raw); err != nil {
			return err
		}
		g.exec, err = b.ctx.Instantiate(raw)
		return err
	})
}

// fail notes the first thing in a step that cannot be recorded.
func (g *Graph) fail(what string) {
	if g.fault == "" {
		g.fault = what
	}
}

// Nodes returns how many launches and copies the graph holds.
func (g *Graph) Nodes() int { return g.nodes }

// Replay runs the step again, after everything before it.
func (g *Graph) Replay() {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	g.b.command("graph")
	g.b.batch.Graph(g.exec)
	g.b.flush() // it is long: start it now
}

// Close waits for the device and gives the graph and its memory back. Tensors that the step left
// behind are gone with it.
func (g *Graph) Close() error {
	b := g.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.pool == nil || b.closed {
		return nil
	}
	err := b.settle()
	if g.exec != 0 {
		if e := b.x.do(func() error { return b.ctx.DestroyExec(g.exec) }); err == nil {
			err = e
		}
	}
	b.mem.drop(g.pool)
	g.pool = nil
	return err
}
