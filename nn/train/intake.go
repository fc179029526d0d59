package train

import (
	"afterimage/nn/data"
	"afterimage/tensor"
)

// An Intake takes batches to the device, into tensors that stay where they are from step to step,
// as recorded steps need them. Where the device can fetch from the host's memory by itself
// (tensor.Stager), the batches that Batch makes lie in such memory, so that a loader writes images
// where they leave from, and the device fetches them while it computes the step before.
type Intake struct {
	X      *tensor.Tensor // images [N H W C], F32
	Labels *tensor.Tensor // I32 [N]
	Step   *tensor.Tensor // I32 [1]: what random numbers of the step are drawn with

	device tensor.Stager // nil: batches lie in Go's memory
	homes  map[*data.Batch]tensor.Staged
}

// NewIntake allocates the tensors in s for batches of the given shape. It is the one place that
// asks a backend for staged memory.
func NewIntake(s *tensor.Scope, shape ...int) *Intake {
	d, _ := s.Backend().(tensor.Stager)
	return &Intake{X: s.New(tensor.F32, shape...), Labels: s.New(tensor.I32, shape[0]),
		Step: s.Zeros(tensor.I32, 1), device: d, homes: map[*data.Batch]tensor.Staged{}}
}

// Batch returns an empty batch with room for the images. Without room in staged memory it lies in
// Go's, which costs a copy of the images a step and nothing else.
func (n *Intake) Batch() *data.Batch {
	b := new(data.Batch)
	if n.device == nil {
		return b
	}
	if home, err := n.device.Stage(n.X.Size() * n.X.DType().Size()); err == nil {
		n.homes[b] = home
		b.X, b.Filled = tensor.StagedFloats(home), home.Start
	}
	return b
}

// Feed copies a batch's images and labels to the device. The batch may be filled again once the
// step has read something back. Panics with *tensor.Error if its shape is not the intake's.
func (n *Intake) Feed(b *data.Batch) {
	tensor.CopyFromHost(n.Labels, b.Labels)
	home, ok := n.homes[b]
	if ok && len(b.X) == n.X.Size() {
		home.Send(n.X.Buffer())
		return
	}
	tensor.CopyFromHost(n.X, b.X)
}

// Count writes the number that the step's random numbers are drawn with.
func (n *Intake) Count(i int) { tensor.CopyFromHost(n.Step, []int32{int32(i)}) }

// Close gives staged memory back; batches of Batch are gone with it.
func (n *Intake) Close() {
	for _, home := range n.homes {
		home.Close() // at the end nothing can be done about a failure
	}
	clear(n.homes)
}
