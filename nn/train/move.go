package train

import (
	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// A Move is one optimizer's part of a training step, in two halves, because the host looks in
// between: Measure computes losses and gradients, Check stops a training that went wrong before an
// update spoils its parameters, and Update moves them.
//
// Where the device can record work (tensor.Recorder), the second step with one key is recorded and
// every later one is replayed: then the functions given to Measure and Update are not called again.
// So they must launch the same work each time, and what changes from step to step must reach it in
// tensors that outlive the step. Replayed or not, the bytes are the same. Where recording fails
// they are called once more in the same step: so they must leave what they were given as it was.
//
// Several moves make a step: always in the same order. The zero Move computes call by call.
type Move struct {
	device tensor.Recorder // nil: cannot record
	key    any
	made   bool  // a step with this key
	pass   *Pass // whose tensors the last Measure wrote; nil if it is over
	halves [2]tensor.Recording
	err    error
}

// NewMove returns a move that records where b can. It is the one place that asks a backend for it.
func NewMove(b tensor.Backend) *Move {
	r, _ := b.(tensor.Recorder)
	return &Move{device: r}
}

// A Pass is one forward and backward pass of a move.
type Pass struct {
	Graph *autodiff.Graph
	Ctx   *nn.Ctx // in training mode; its updates are applied by Update

	params nn.Params
	grads  []*autodiff.Value
	report *tensor.Tensor
}

// Scope returns where tensors may be allocated that live as long as the pass.
func (p *Pass) Scope() *tensor.Scope { return p.Graph.Scope() }

// Gradients returns the gradients of the move's parameters, in their order.
func (p *Pass) Gradients() []*autodiff.Value { return p.grads }

// Minimise computes the gradients of loss, a value of one element. What Measure returns are the
// loss, the sum of the squares of all gradients, and then the elements of the values in more.
func (p *Pass) Minimise(loss *autodiff.Value, more ...*autodiff.Value) {
	size := 2
	for _, v := range more {
		size += v.Keep().Shape().Size()
	}
	p.grads = autodiff.Grad(loss, p.Ctx.Values(p.params))
	p.report = p.Scope().New(loss.DType(), size)
	at := p.tell(0, loss.Tensor())
	at = p.tell(at, optim.SquaredNorm(p.grads).Tensor())
	for _, v := range more {
		at = p.tell(at, v.Tensor())
	}
}

// tell copies t's elements into the report at a position and returns the one behind them.
func (p *Pass) tell(at int, t *tensor.Tensor) int {
	n, one := t.Size(), []int{1}
	flat := p.Scope().Reshape(t, n)
	p.report.Backend().CopyRegion(p.report, flat, tensor.Region{DstStart: []int{at}, DstStep: one,
		SrcStart: []int{0}, SrcStep: one, Size: []int{n}})
	flat.Free()
	return at + n
}

// close drops the updates that were not applied and frees the pass.
func (p *Pass) close() {
	if p != nil {
		p.Ctx.Updates.Discard()
		p.Graph.Close()
	}
}

// Measure makes the first half of a step: f runs the network on the pass's graph and calls
// Minimise. params are those whose gradients are wanted. key holds whatever of the host's numbers
// goes into the work; when it changes, what was recorded is forgotten. It returns what Minimise
// says, read back once.
func (m *Move) Measure(b tensor.Backend, key any, params nn.Params, f func(p *Pass)) []float64 {
	if key != m.key || m.err != nil {
		m.forget()
		m.key = key
	}
	m.half(0, func() {
		m.pass.close() // of a step that was broken off
		g := autodiff.NewGraph(b)
		m.pass = &Pass{Graph: g, Ctx: nn.NewCtx(g, nn.Train, params), params: params}
		m.pass.Ctx.Updates = nn.NewUpdates(b)
		f(m.pass)
	})
	if m.halves[0] == nil { // what a recording allocates it would take along
		m.pass.Ctx.KeepRounded()
	}
	return m.pass.report.Floats()
}

// Check returns an error if the loss or the squared norm of all gradients together is NaN or
// infinite: an update would spoil the parameters, and the next loss would be blamed. It names the
// step, counted from 1, and the first tensor at fault: among the move's parameters, then among
// others, which the loss depends on too, then among the gradients.
func (m *Move) Check(step int, loss, norm float64, others ...nn.Named) error {
	return checkFinite(step, loss, norm, m.pass.params, m.pass.grads, others)
}

// Update makes the second half: f hands the pass's gradients to an optimizer, and what the pass
// changes besides is applied.
func (m *Move) Update(f func(p *Pass)) {
	m.half(1, func() {
		f(m.pass)
		m.pass.Ctx.Updates.Apply()
	})
	if m.halves[1] == nil { // a recorded pass is written again by the next replay
		m.pass.close()
		m.pass = nil
	}
	m.made = true
}

// half runs one half of the step, by the fastest way there is.
func (m *Move) half(i int, work func()) {
	switch {
	case m.halves[i] != nil:
		m.halves[i].Replay()
		return
	case m.device != nil && m.made && m.err == nil:
		if m.halves[i], m.err = m.device.Record(work); m.err == nil {
			m.halves[i].Replay()
			return
		}
		m.halves[i] = nil
		if i == 1 {
			m.pass.Ctx.Updates.Rewind() // what could not be recorded has not run
		}
	}
	work()
}

// Replayed reports whether steps are replayed, and, if the device could but the work cannot be
// recorded, why not.
func (m *Move) Replayed() (bool, error) { return m.halves[1] != nil, m.err }

// Made reports whether a step was made with the key of the last one.
func (m *Move) Made() bool { return m.made }

// forget drops what was recorded: the next step is made call by call. A failure is remembered: it
// would come again.
func (m *Move) forget() {
	m.pass.close()
	m.pass, m.made = nil, false
	for i, r := range m.halves {
		if r != nil {
			r.Close() // a device that fails says so at the next read
			m.halves[i] = nil
		}
	}
}

// Close gives what was recorded back.
func (m *Move) Close() { m.forget() }
