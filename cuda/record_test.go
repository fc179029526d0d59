//go:build linux && amd64 && cgo

package cuda

import (
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/tensor"
)

// TestRecord replays a step that reads a device tensor which changes in between, and wants the same
// bits as the step run call by call; temporaries of other work must not disturb it.
func TestRecord(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	key := tensor.NewKey(3, "test")
	counter := tensor.FromSlice(s, []int32{0}, 1)
	eager, state := s.Zeros(tensor.F32, 1000), s.Zeros(tensor.F32, 1000)
	step := func(acc *tensor.Tensor) {
		in := s.Child()
		defer in.Close()
		noise, square := in.Like(acc), in.Like(acc)
		b.Random(tensor.Normal, key, noise, counter)
		b.Unary(tensor.Square, tensor.Attr{}, square, noise)
		b.Binary(tensor.Add, acc, acc, square)
	}
	at := func(i int32) { tensor.CopyFromHost(counter, []int32{i}) }
	for i := range int32(5) {
		at(i)
		step(eager)
	}
	at(0)
	g, err := b.Record(func() { step(state) })
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes() != 3 {
		t.Errorf("the graph holds %d launches, want 3", g.Nodes())
	}
	for i := int32(1); i < 5; i++ {
		at(i)
		g.Replay()
		s.Full(tensor.F32, 9, 1000).Free() // would be where the noise lies, if memory were shared
	}
	want, got := eager.Floats(), state.Floats()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("element %d: replayed %v, eager %v", i, got[i], want[i])
		}
	}
	before := b.Memory().Held
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if now := b.Memory().Held; now >= before {
		t.Errorf("the graph's memory was not given back: %d bytes held, %d before", now, before)
	}
}

// TestRecordRefuses wants a step that reads back, waits or uploads to be refused by name, and the
// device to go on.
func TestRecordRefuses(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F32, 1, 4)
	for name, f := range map[string]func(){
		"Download": func() { x.Floats() },
		"Upload":   func() { x.SetFloats([]float64{1, 2, 3, 4}) },
		"Sync":     func() { b.Sync() },
		"Alloc":    func() { s.New(tensor.F32, 1<<40) },
	} {
		_, err := b.Record(func() {
			b.Unary(tensor.Neg, tensor.Attr{}, x, x)
			f()
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a step with %s: %v", name, err)
		}
		b.Fill(x, 7)
		if x.Floats()[3] != 7 || b.Sync() != nil {
			t.Fatalf("the device does not go on after %s", name)
		}
	}
}

// TestRecordWithout wants a driver that cannot capture to say so in one line. The step has run.
func TestRecordWithout(t *testing.T) {
	t.Setenv("AFTERIMAGE_LIBCUDA", fake.Old)
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F32, 1, 4)
	_, err := b.Record(func() { b.Binary(tensor.Add, x, x, x) })
	if err == nil || !strings.Contains(err.Error(), "cuStreamBeginCapture") {
		t.Errorf("got %v", err)
	}
	if x.Floats()[0] != 2 {
		t.Error("the step has not run once")
	}
}

// A stepper is a whole training step of a small classifier: forward, gradients, SGD, running
// statistics. All that changes between steps lies in device tensors.
type stepper struct {
	b      *Backend
	scope  *tensor.Scope
	model  *models.Classifier
	opt    *optim.SGD
	x      *tensor.Tensor
	labels *tensor.Tensor
	loss   *tensor.Tensor
}

func newStepper(t *testing.T, b *Backend) *stepper {
	t.Helper()
	m, err := models.New("resnet2b", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(b)
	nn.Init(s, m, 3)
	return &stepper{b: b, scope: s, model: m, x: s.New(tensor.F32, 2, 32, 32, 3),
		labels: s.New(tensor.I32, 2), loss: s.New(tensor.F32),
		opt: optim.NewSGD(s, nn.Trainable(m), optim.SGDConfig{Momentum: 0.9, WeightDecay: 5e-4})}
}

// feed writes step i's batch, rate and number.
func (p *stepper) feed(i int) {
	r := tensor.NewRNG(tensor.NewKey(1, "feed"), uint32(i))
	v := make([]float64, p.x.Size())
	for k := range v {
		v[k] = r.Float64()
	}
	p.x.SetFloats(v)
	p.labels.SetFloats([]float64{float64(i % 10), float64((i + 5) % 10)})
	p.opt.Begin(i+1, 0.1/float64(i+1))
}

func (p *stepper) step() {
	g := autodiff.NewGraph(p.b)
	defer g.Close()
	params := p.opt.Targets()
	c := nn.NewCtx(g, true, params)
	c.Updates = nn.NewUpdates(p.b)
	defer c.Updates.Discard()
	l := loss.CrossEntropy(p.model.Forward(c, g.Const(p.x)), p.labels, 0.1)
	grads := autodiff.Grad(l, c.Values(params))
	p.opt.Update(grads)
	c.Updates.Apply()
	p.loss.Assign(l.Tensor())
}

// TestRecordTraining replays a recorded training step and wants the very bits of the same steps
// made call by call, losses and weights.
func TestRecordTraining(t *testing.T) {
	b := open(t, Options{})
	eager, recorded := newStepper(t, b), newStepper(t, b)
	defer eager.scope.Close()
	defer recorded.scope.Close()
	recorded.feed(0)
	g, err := b.Record(recorded.step)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const steps = 3
	for i := range steps {
		eager.feed(i)
		eager.step()
		if i > 0 {
			recorded.feed(i)
			g.Replay()
		}
		if e, r := eager.loss.Item(), recorded.loss.Item(); e != r {
			t.Errorf("step %d: loss %v replayed, %v eager", i, r, e)
		}
	}
	for name, p := range nn.Prefixed("model", recorded.model).Params() {
		want := param(t, eager.model, name).T.Floats()
		for i, v := range p.T.Floats() {
			if v != want[i] {
				t.Fatalf("%s, element %d: %v replayed, %v eager", name, i, v, want[i])
			}
		}
	}
	t.Logf("%d launches and copies a step", g.Nodes())
}

func param(t *testing.T, m nn.Module, name string) *nn.Param {
	t.Helper()
	for n, p := range nn.Prefixed("model", m).Params() {
		if n == name {
			return p
		}
	}
	t.Fatalf("no parameter %s", name)
	return nil
}
