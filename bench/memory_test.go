package bench

import (
	"runtime"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/loss"
	"afterimage/nn/models"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// heapSlack is how much the Go heap may differ between two moments after a collection: some pages
// of the runtime's own. A leak of one Value (100 bytes) a step would exceed it.
const heapSlack = 64 << 10

// TestThousandStepsKeepTheirMemory trains a tiny network for a thousand steps with two batch sizes
// in turn, and looks at three things: live tensor memory is the same after every step, what the
// backend took from the system stops growing, and so does the Go heap.
func TestThousandStepsKeepTheirMemory(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	n := newTinyNet(t, b)
	defer n.scope.Close()
	rest := b.Memory().InUse
	const settle, steps = 50, 1000
	for i := range settle {
		n.step(i, 8-i%2*3)
	}
	early, heap := b.Memory(), liveHeap()
	for i := settle; i < steps; i++ {
		n.step(i, 8-i%2*3)
		if got := b.Memory().InUse; got != rest {
			t.Fatalf("step %d left %d bytes of tensors, weights and optimizer are %d", i, got, rest)
		}
	}
	late := b.Memory()
	if late.Peak != early.Peak || late.Cached != early.Cached {
		t.Errorf("memory grew: peak %d and %d cached after %d steps, then %d and %d after %d",
			early.Peak, early.Cached, settle, late.Peak, late.Cached, steps)
	}
	if now := liveHeap(); now > heap+heapSlack {
		t.Errorf("the Go heap grew from %d to %d bytes between steps %d and %d", heap, now, settle,
			steps)
	}
}

// TestStepAllocations: of the Go heap a step takes the tape alone, which no image makes longer.
func TestStepAllocations(t *testing.T) {
	// 1,675 objects were counted; a tenth more is left to versions of Go. Six images more took 800
	// to 1,400 bytes, for tasks handed to threads; a tensor of the first stage would take 6 KiB.
	const most, slack = 1850, 4 << 10
	b := cpu.Open(1)
	defer b.Close()
	n := newTinyNet(t, b)
	defer n.scope.Close()
	perStep := func(batch int) (count, size float64) {
		const steps = 10
		var before, after runtime.MemStats
		n.step(0, batch)
		n.step(1, batch)
		runtime.ReadMemStats(&before)
		for i := range steps {
			n.step(2+i, batch)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / steps,
			float64(after.TotalAlloc-before.TotalAlloc) / steps
	}
	_, small := perStep(2)
	count, large := perStep(8)
	if count > most {
		t.Errorf("a step of 8 images allocates %g objects, more than %d", count, most)
	}
	if large > small+slack {
		t.Errorf("a step of 8 images allocates %g bytes, one of 2 images %g", large, small)
	}
}

// liveHeap is the size of what a collection leaves.
func liveHeap() int {
	runtime.GC()
	runtime.GC() // the second sweeps what finalisers and pools of the first let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// tinyNet is a ResNet-8 on 4-pixel images.
type tinyNet struct {
	scope *tensor.Scope
	model *models.Classifier
	opt   *optim.SGD
	x     []float32
}

const tinySize = 4

func newTinyNet(t *testing.T, b tensor.Backend) *tinyNet {
	m, err := models.New("resnet8", models.Options{InputSize: tinySize})
	if err != nil {
		t.Fatal(err)
	}
	n := &tinyNet{scope: tensor.NewScope(b), model: m, x: random(8*tinySize*tinySize*3, "tiny")}
	nn.Init(n.scope, m, seed)
	n.opt = optim.NewSGD(n.scope, nn.Trainable(m), optim.SGDConfig{Momentum: 0.9,
		WeightDecay: 1e-4})
	return n
}

// step trains on the first images of n.x.
func (n *tinyNet) step(i, batch int) {
	b := n.scope.Backend()
	g := autodiff.NewGraph(b)
	defer g.Close()
	params := n.opt.Targets()
	c := nn.NewCtx(g, nn.Train, params)
	c.Updates = nn.NewUpdates(b)
	x := tensor.FromSlice(g.Scope(), n.x[:batch*tinySize*tinySize*3], batch, tinySize, tinySize, 3)
	labels := tensor.FromSlice(g.Scope(), make([]int32, batch), batch)
	grads := autodiff.Grad(loss.CrossEntropy(n.model.Forward(c, g.Const(x)), labels, 0),
		c.Values(params))
	n.opt.Begin(i+1, 1e-3)
	n.opt.Update(grads)
	c.Updates.Apply()
}
