package cuda

import (
	"afterimage/cuda/driver"
	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// A direction is one member of the convolution triple.
type direction int

const (
	forward direction = iota
	inputGrad
	weightGrad
)

// A convSpec is everything that decides a plan.
type convSpec struct {
	dir             direction
	operand, result tensor.DType
	x, w, y         [4]int // NHWC, OHWI, NHWC
	p               tensor.ConvParams
}

// A convPlan is what cuDNN computes one shape with. The descriptors behind a plan live as long as
// it does: the documentation does not say that the library copies them.
type convPlan struct {
	plan      uint64
	workspace int
	choice    choice
	behind    []uint64
}

// convolutions computes with cuDNN's graph interface; see choose for which of its plans a shape
// gets.
type convolutions struct {
	handle uint64
	plans  map[convSpec]*convPlan // nil: the library has none
	book   *planBook
}

// convWorkspace is the most device memory that a plan may use while it runs.
const convWorkspace = 256 << 20

// openConvolutions opens cuDNN if it is there; without it our own kernels convolve.
func (b *Backend) openConvolutions(o Options) {
	var h uint64
	err := b.x.do(func() (err error) {
		h, err = b.ctx.NewDNN(b.x.stream)
		return err
	})
	if err == nil {
		b.dnn = &convolutions{h, map[convSpec]*convPlan{}, openPlanBook(b.card(), o.Cache)}
	}
}

// Conv2D computes a cross-correlation, x [N H W C] with w [O KH KW C/groups], in the backend's
// arithmetic.
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	b.Conv2DBiasAct(y, x, w, nil, nil, false, p)
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res): our kernel at its store, cuDNN's plan
// followed by element-wise kernels.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		y, x, w := arr(y), b.operand(e, x), b.operand(e, w)
		if !b.convolve(forward, x, w, y, p) {
			e.Conv2DBiasAct(y, x, w, arr(bias), arr(res), relu, p)
			return
		}
		if bias != nil {
			e.Binary(tensor.Add, y, y, arr(bias))
		}
		if res != nil {
			e.Binary(tensor.Add, y, y, arr(res))
		}
		if relu {
			e.Unary(tensor.ReLU, tensor.Attr{}, y, y)
		}
	})
}

// Conv2DInputGrad is the adjoint of Conv2D in x.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		dx, dy, w := arr(dx), b.operand(e, dy), b.operand(e, w)
		if !b.convolve(inputGrad, dx, w, dy, p) {
			e.Conv2DInputGrad(dx, dy, w, p)
		}
	})
}

// Conv2DWeightGrad is the adjoint of Conv2D in w.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		dw, x, dy := arr(dw), b.operand(e, x), b.operand(e, dy)
		if !b.convolve(weightGrad, x, dw, dy, p) {
			e.Conv2DWeightGrad(dw, x, dy, p)
		}
	})
}

// convolve reports whether cuDNN takes a convolution over.
func (b *Backend) convolve(dir direction, x, w, y kernels.Array, p tensor.ConvParams) bool {
	result := [...]kernels.Array{forward: y, inputGrad: x, weightGrad: w}[dir]
	operand := [...]kernels.Array{forward: x, inputGrad: y, weightGrad: y}[dir]
	if b.dnn == nil || b.x.err() != nil || x.Shape.Size()*w.Shape.Size()*y.Shape.Size() == 0 ||
		result.DType != tensor.F32 && result.DType != tensor.F64 {
		return false
	}
	s := convSpec{dir, operand.DType, result.DType, [4]int(x.Shape), [4]int(w.Shape),
		[4]int(y.Shape), p}
	operands := []uint64{x.Ptr, w.Ptr, y.Ptr}
	plan, known := b.dnn.plans[s]
	if !known {
		b.flush()
		plan = b.choose(s, operands)
		b.dnn.plans[s] = plan
	}
	if plan == nil {
		return false
	}
	b.command("cudnnBackendExecute")
	b.batch.DNN(b.dnn.handle, plan.plan, b.workspace(plan.workspace),
		[]int64{idX, idW, idY}, operands)
	return true
}

// workspace returns scratch memory for a plan, 0 if it needs none.
func (b *Backend) workspace(bytes int) uint64 {
	if bytes == 0 {
		return 0
	}
	return b.takeScratch(bytes)
}

// The names of the three tensors in a graph.
const (
	idX = 'x'
	idW = 'w'
	idY = 'y'
)

// ConvolutionsBy returns how many different convolutions so far were computed by plans of cuDNN and
// how many by our own kernels, since the library had none that serves; both are 0 without cuDNN.
func (b *Backend) ConvolutionsBy() (library, own int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dnn == nil {
		return 0, 0
	}
	for _, p := range b.dnn.plans {
		if p != nil {
			library++
		} else {
			own++
		}
	}
	return library, own
}

// close gives the plans back.
func (c *convolutions) close(ctx *driver.Context) {
	for _, p := range c.plans {
		p.close(ctx)
	}
	ctx.CloseDNN(c.handle)
}

// close gives a plan and what is behind it back; nil is none.
func (p *convPlan) close(ctx *driver.Context) {
	if p != nil {
		ctx.DestroyDescriptor(p.plan)
		(&describing{ctx: ctx, made: p.behind}).close()
	}
}
