//go:build linux && amd64 && cgo

package cuda

import (
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/cuda/kernels"
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
	g, err := b.Record(func() { step(state) })
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes() != 3 {
		t.Errorf("the graph holds %d launches, want 3", g.Nodes())
	}
	for i := range int32(5) {
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

// TestRecordShares records two halves of a step that hand a tensor over, wants them to work in the
// memory of one, and the first one's tensor intact until the second is done.
func TestRecordShares(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	const n = 3 << 20 // large enough for an allocation of its own
	x, y := s.Full(tensor.F32, 1, n), s.New(tensor.F32, n)
	var left *tensor.Tensor
	work := func(f func(in *tensor.Scope, room *tensor.Tensor)) tensor.Recording {
		g, err := b.Record(func() {
			in := s.Child()
			defer in.Close()
			f(in, in.New(tensor.F32, n))
		})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := work(func(in *tensor.Scope, room *tensor.Tensor) {
		b.Unary(tensor.Affine, tensor.Attr{A: 2}, room, x)
		left = in.New(tensor.F32, n)
		b.Unary(tensor.Affine, tensor.Attr{A: 1, B: 1}, left, room)
		in.Keep(left)
	})
	held := b.Memory().Held
	second := work(func(_ *tensor.Scope, room *tensor.Tensor) {
		b.Unary(tensor.Affine, tensor.Attr{A: 10}, room, left)
		b.Unary(tensor.Affine, tensor.Attr{A: 1, B: 5}, y, room)
	})
	if now := b.Memory().Held; now != held {
		t.Errorf("the second recording took %d bytes of its own", now-held)
	}
	for i := range 3 {
		b.Fill(x, float64(i))
		first.Replay()
		if got := left.Floats()[n-1]; got != float64(2*i+1) {
			t.Errorf("round %d: handed over %v", i, got)
		}
		second.Replay()
		if got := y.Floats()[n-1]; got != float64(10*(2*i+1)+5) {
			t.Errorf("round %d: %v", i, got)
		}
	}
	first.Close()
	if b.Memory().Held < held {
		t.Error("memory that a recording works in was given back")
	}
	second.Close()
	if now := b.Memory().Held; now >= held {
		t.Errorf("%d bytes held with recordings, %d after the last", held, now)
	}
	left.Free() // late: its pool is gone
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}

// TestRecordBroken wants a launch that the driver refuses while it goes into a graph to fail the
// recording, by the kernel's name, and not the device.
func TestRecordBroken(t *testing.T) {
	b := open(t, Options{})
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F32, 3, 4)
	b.Unary(tensor.Neg, tensor.Attr{}, x, x)
	f, err := b.mods.function("fill_b4", 0)
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.Record(func() {
		b.run(func(*kernels.Encoder) {
			b.command("bogus")
			b.batch.Launch(f, [3]uint32{0, 1, 1}, [3]uint32{32, 1, 1}, 0, make([]byte, 64))
		})
		b.Unary(tensor.Neg, tensor.Attr{}, x, x)
	})
	if g != nil || err == nil || !strings.Contains(err.Error(), "kernel bogus") {
		t.Errorf("got %v", err)
	}
	if err := b.Sync(); err != nil || x.Floats()[3] != -3 {
		t.Errorf("afterwards: %v, %v", err, x.Floats())
	}
}

// TestRecordNewShape wants a convolution whose plan is not chosen yet refused in a recording, since
// a library may load code for it, and chosen when the work then runs call by call.
func TestRecordNewShape(t *testing.T) {
	b := openWithDNN(t, "")
	s := tensor.NewScope(b)
	defer s.Close()
	x, w := s.Full(tensor.F32, 1, 1, 4, 4, 3), s.Full(tensor.F32, 2, 5, 3, 3, 3)
	y := s.New(tensor.F32, 1, 2, 2, 5)
	work := func() {
		b.Conv2D(y, x, w, tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1})
	}
	if _, err := b.Record(work); err == nil || !strings.Contains(err.Error(), "new shape") {
		t.Errorf("got %v", err)
	}
	if work(); y.Floats()[0] != 54 || len(b.dnn.plans) != 1 {
		t.Errorf("call by call: %v, %d plans", y.Floats()[0], len(b.dnn.plans))
	}
	g, err := b.Record(work)
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
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

// TestRecordWithout wants a driver that cannot capture to say so in one line, nothing done.
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
	if x.Floats()[0] != 1 {
		t.Error("the work was done although it was not recorded")
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
	c := nn.NewCtx(g, nn.Train, params)
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
	if testing.Short() {
		t.Skip("short: seconds under the emulator")
	}
	b := open(t, Options{})
	eager, recorded := newStepper(t, b), newStepper(t, b)
	defer eager.scope.Close()
	defer recorded.scope.Close()
	g, err := b.Record(recorded.step)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const steps = 3
	for i := range steps {
		eager.feed(i)
		eager.step()
		recorded.feed(i)
		g.Replay()
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
