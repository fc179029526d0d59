package cuda

import (
	"slices"

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

// A convPlan is what computes one shape: a plan of cuDNN's, or our kernel for compute capability
// 9.0, as choice says. The descriptors behind a plan live as long as it does: the documentation
// does not say that the library copies them.
type convPlan struct {
	plan      uint64 // 0 for our kernel
	workspace int
	choice    choice
	behind    []uint64
}

// convolutions computes with cuDNN's graph interface; see Backend.choose for which of its
// plans a shape gets.
type convolutions struct {
	on    target                 // its handle is cuDNN's
	plans map[convSpec]*convPlan // nil: our own kernel computes it
	alone bool                   // our own kernel does not compete, for tests
}

// convWorkspace is the most device memory that a plan may use while it runs.
const convWorkspace = 256 << 20

// openConvolutions opens cuDNN if it is there; without it our own kernels convolve.
func (b *Backend) openConvolutions() {
	var h uint64
	err := b.x.do(func() (err error) {
		h, err = b.ctx.NewDNN(b.x.stream)
		return err
	})
	if err == nil {
		b.dnn = &convolutions{on: target{handle: h}, plans: map[convSpec]*convPlan{}}
	}
}

// Conv2D computes a cross-correlation, x [N H W C] with w [O KH KW C/groups], in the backend's
// arithmetic.
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	b.Conv2DBiasAct(y, x, w, nil, nil, false, p)
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res): our kernel at its store, a library's
// convolution followed by one pass over y.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		y, x, w := arr(y), b.operand(e, arr(x)), b.operand(e, arr(w))
		if !b.convolve(e, forward, x, w, y, p) {
			e.Conv2DBiasAct(y, x, w, arr(bias), arr(res), relu, p)
			return
		}
		e.BiasAct(y, arr(bias), arr(res), relu)
	})
}

// Conv2DInputGrad is the adjoint of Conv2D in x.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		dx, dy, w := arr(dx), b.operand(e, arr(dy)), b.operand(e, arr(w))
		if !b.convolve(e, inputGrad, dx, w, dy, p) {
			e.Conv2DInputGrad(dx, dy, w, p)
		}
	})
}

// Conv2DWeightGrad is the adjoint of Conv2D in w.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		dw, x, dy := arr(dw), b.operand(e, arr(x)), b.operand(e, arr(dy))
		if !b.convolve(e, weightGrad, x, dw, dy, p) {
			e.Conv2DWeightGrad(dw, x, dy, p)
		}
	})
}

// convolve reports whether a library takes a convolution over. Filters of one pixel that move by
// one make a matrix product. Where operands are bfloat16 and the result is F32, a weight's gradient
// for example, as cuBLASLt leaves it, cuDNN has no plan for it: its result is bfloat16, which a
// kernel of ours widens.
func (b *Backend) convolve(
	e *kernels.Encoder, dir direction, x, w, y kernels.Array, p tensor.ConvParams,
) bool {
	t := triple{x, w, y}
	result, operand := t[dir.result()], t[dir.operand()]
	if b.x.err() != nil || x.Shape.Size()*w.Shape.Size()*y.Shape.Size() == 0 {
		return false
	}
	s := convSpec{dir, operand.DType, operand.DType, [4]int(x.Shape), [4]int(w.Shape),
		[4]int(y.Shape), p}
	if s.product() {
		if dst, l, r, p := t.product(dir); b.product(e, dst, l, r, p) {
			return true
		}
	}
	if b.dnn == nil {
		return false
	}
	widen := func() {}
	if s.result != result.DType {
		narrow := result
		narrow.DType, narrow.Ptr = s.result, e.Scratch(result.Shape.Size()*s.result.Size())
		t[dir.result()] = narrow
		widen = func() { e.Cast(result, narrow) }
	}
	execute := func(plan *convPlan, room uint64) {
		b.command("cudnnBackendExecute")
		b.batch.DNN(b.dnn.on.handle, plan.plan, room, []int64{idX, idW, idY},
			[]uint64{t[0].Ptr, t[1].Ptr, t[2].Ptr})
		widen()
	}
	own := convolveOwn(dir, x, w, y, p)
	plan, known := b.dnn.plans[s]
	if !known {
		plan = b.choosePlan(s, execute, own)
	}
	switch {
	case plan == nil:
		return false
	case plan.choice.Mode == hopperMode:
		own.onHopper(e)
	default:
		execute(plan, b.workspace(plan.workspace))
	}
	return true
}

// choosePlan returns the plan for a convolution that was not computed before, nil for our kernel.
func (b *Backend) choosePlan(
	s convSpec, execute func(*convPlan, uint64), own ownWork,
) *convPlan {
	var plans []*convPlan
	m, n := s.extents()
	won := b.choose(contest{shape: s.String(), own: func() { own.plain(&b.enc) },
		hopper: func() (offer, bool) { return b.hopperOffer(own, m, n) }, alone: b.dnn.alone,
		list: func(kept choice, known bool) (found []offer, failed error) {
			plans, failed = b.listPlans(s, kept, known)
			for _, p := range plans {
				found = append(found, offer{p.choice, p.workspace,
					func(room uint64) { execute(p, room) }, func() { p.close(b.ctx) }})
			}
			return found, failed
		}})
	var plan *convPlan
	if won != nil && won.choice.Mode == hopperMode {
		plan = &convPlan{choice: won.choice}
	} else if won != nil {
		plan = plans[slices.IndexFunc(plans, func(p *convPlan) bool { return p.choice == won.choice })]
	}
	if b.graph == nil {
		b.dnn.plans[s] = plan
	}
	return plan
}

// A triple holds the tensors of a convolution, x, w and y, of which its direction makes one the
// result.
type triple [3]kernels.Array

func (d direction) result() int  { return [...]int{forward: 2, inputGrad: 0, weightGrad: 1}[d] }
func (d direction) operand() int { return [...]int{forward: 0, inputGrad: 2, weightGrad: 0}[d] }

// product reports whether the convolution is a matrix product of its pixels.
func (s convSpec) product() bool {
	return s.w[1] == 1 && s.w[2] == 1 && s.p == tensor.ConvParams{StrideH: 1, StrideW: 1,
		DilH: s.p.DilH, DilW: s.p.DilW, Groups: 1}
}

// product returns the matrices whose product such a convolution is: y = x·wᵀ, dx = dy·w or
// dw = dyᵀ·x, with a row for each pixel and, of w, for each output channel.
func (t triple) product(dir direction) (dst, a, b kernels.Array, p tensor.MatMulParams) {
	for i := range t {
		c := t[i].Shape[3]
		t[i].Shape = tensor.Shape{t[i].Shape.Size() / c, c}
	}
	switch dir {
	case forward:
		return t[2], t[0], t[1], tensor.MatMulParams{TransB: true}
	case inputGrad:
		return t[0], t[2], t[1], tensor.MatMulParams{}
	}
	return t[1], t[2], t[0], tensor.MatMulParams{TransA: true}
}

// extents returns the rows and columns of the matrix product that our own kernel makes of it, in
// each group.
func (s convSpec) extents() (m, n int) {
	switch s.dir {
	case forward:
		return s.y[0] * s.y[1] * s.y[2], s.y[3] / s.p.Groups
	case inputGrad:
		return s.x[0] * s.x[1] * s.x[2], s.x[3] / s.p.Groups
	}
	return s.w[0] / s.p.Groups, s.w[1] * s.w[2] * s.w[3]
}

// convolveOwn is a convolution by our own kernel.
func convolveOwn(dir direction, x, w, y kernels.Array, p tensor.ConvParams) ownWork {
	none := kernels.Array{}
	switch dir {
	case forward:
		return ownWork{y, x, w, func(e *kernels.Encoder, y, x, w kernels.Array) {
			e.Conv2DBiasAct(y, x, w, none, none, false, p)
		}}
	case inputGrad:
		return ownWork{x, y, w, func(e *kernels.Encoder, x, y, w kernels.Array) {
			e.Conv2DInputGrad(x, y, w, p)
		}}
	}
	return ownWork{w, x, y, func(e *kernels.Encoder, w, x, y kernels.Array) {
		e.Conv2DWeightGrad(w, x, y, p)
	}}
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
// how many by our own kernels, because they were faster or the library has no plan that serves;
// both are 0 without cuDNN. Those that are matrix products are not among them.
func (b *Backend) ConvolutionsBy() (library, own int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dnn == nil {
		return 0, 0
	}
	for _, p := range b.dnn.plans {
		if p != nil && p.choice.Mode != hopperMode {
			library++
		} else {
			own++
		}
	}
	return library, own
}

// giveUp closes plans that differ from what they should be.
func (c *convolutions) giveUp(ctx *driver.Context, differs func(string, *choice) bool) {
	for s, p := range c.plans {
		var used *choice
		if p != nil {
			used = &p.choice
		}
		if differs(s.String(), used) {
			p.close(ctx)
			delete(c.plans, s)
		}
	}
}

// close gives the plans back.
func (c *convolutions) close(ctx *driver.Context) {
	for _, p := range c.plans {
		p.close(ctx)
	}
	ctx.CloseDNN(c.on.handle)
}

// close gives a plan and what is behind it back; nil is none.
func (p *convPlan) close(ctx *driver.Context) {
	if p != nil && p.plan != 0 {
		ctx.DestroyDescriptor(p.plan)
		(&describing{ctx: ctx, made: p.behind}).close()
	}
}
