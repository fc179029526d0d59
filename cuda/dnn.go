package cuda

import (
	"slices"
	"unsafe"

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
	dir     direction
	double  bool
	x, w, y [4]int // NHWC, OHWI, NHWC
	p       tensor.ConvParams
}

// A convPlan is what cuDNN chose for one shape. The descriptors behind a plan live as long as it
// does: the documentation does not say that the library copies them.
type convPlan struct {
	plan      uint64
	workspace int
	behind    []uint64
}

// convolutions computes with cuDNN's graph interface. The plan of a shape is the first that the
// library's heuristics offer and that adds in a fixed order: it depends on the shape, the card and
// the library's version, never on a clock.
type convolutions struct {
	handle uint64
	plans  map[convSpec]*convPlan // nil: the library has none
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
		b.dnn = &convolutions{h, map[convSpec]*convPlan{}}
	}
}

// Conv2D computes a cross-correlation, x [N H W C] with w [O KH KW C/groups].
func (b *Backend) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		if !b.convolve(forward, x, w, y, p) {
			e.Conv2D(arr(y), arr(x), arr(w), p)
		}
	})
}

// Conv2DBiasAct computes y = act(Conv2D(x, w) + bias + res): our kernel at its store, cuDNN's plan
// followed by element-wise kernels.
func (b *Backend) Conv2DBiasAct(y, x, w, bias, res *tensor.Tensor, relu bool, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		if !b.convolve(forward, x, w, y, p) {
			e.Conv2DBiasAct(arr(y), arr(x), arr(w), arr(bias), arr(res), relu, p)
			return
		}
		if bias != nil {
			e.Binary(tensor.Add, arr(y), arr(y), arr(bias))
		}
		if res != nil {
			e.Binary(tensor.Add, arr(y), arr(y), arr(res))
		}
		if relu {
			e.Unary(tensor.ReLU, tensor.Attr{}, arr(y), arr(y))
		}
	})
}

// Conv2DInputGrad is the adjoint of Conv2D in x.
func (b *Backend) Conv2DInputGrad(dx, dy, w *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		if !b.convolve(inputGrad, dx, w, dy, p) {
			e.Conv2DInputGrad(arr(dx), arr(dy), arr(w), p)
		}
	})
}

// Conv2DWeightGrad is the adjoint of Conv2D in w.
func (b *Backend) Conv2DWeightGrad(dw, x, dy *tensor.Tensor, p tensor.ConvParams) {
	b.run(func(e *kernels.Encoder) {
		if !b.convolve(weightGrad, x, dw, dy, p) {
			e.Conv2DWeightGrad(arr(dw), arr(x), arr(dy), p)
		}
	})
}

// convolve reports whether cuDNN takes a convolution over.
func (b *Backend) convolve(dir direction, x, w, y *tensor.Tensor, p tensor.ConvParams) bool {
	dt := x.DType()
	if b.dnn == nil || b.x.err() != nil || x.Size()*w.Size()*y.Size() == 0 ||
		dt != tensor.F32 && dt != tensor.F64 {
		return false
	}
	s := convSpec{dir, dt == tensor.F64, [4]int(x.Shape()), [4]int(w.Shape()), [4]int(y.Shape()), p}
	plan, known := b.dnn.plans[s]
	if !known {
		b.flush()
		b.x.do(func() error { // a refusal leaves the device whole; our kernel does it then
			plan = b.planConvolution(s)
			return nil
		})
		b.dnn.plans[s] = plan
	}
	if plan == nil {
		return false
	}
	workspace := uint64(0)
	if plan.workspace > 0 {
		workspace = b.takeScratch(plan.workspace)
	}
	b.command("cudnnBackendExecute")
	b.batch.DNN(b.dnn.handle, plan.plan, workspace, []int64{idX, idW, idY},
		[]uint64{arr(x).Ptr, arr(w).Ptr, arr(y).Ptr})
	return true
}

// The names of the three tensors in a graph.
const (
	idX = 'x'
	idW = 'w'
	idY = 'y'
)

// planConvolution describes the convolution and takes the first plan that serves.
func (b *Backend) planConvolution(s convSpec) *convPlan {
	g := &describing{ctx: b.ctx}
	defer g.close()
	graph := g.convolution(b.dnn.handle, s)
	for _, mode := range []int64{heurModeA, heurModeFallback} {
		for _, config := range g.configs(graph, mode) {
			if g.err == nil && g.serves(config, s, b.tf32) {
				if p := g.plan(b.dnn.handle, config); p != nil {
					p.behind, g.made = g.made, nil
					return p
				}
			}
		}
	}
	return nil
}

// describing makes cuDNN descriptors; after the first failure it does nothing.
type describing struct {
	ctx  *driver.Context
	made []uint64
	err  error
}

// close gives all descriptors back.
func (g *describing) close() {
	for _, d := range slices.Backward(g.made) {
		g.ctx.DestroyDescriptor(d)
	}
}

func (g *describing) make(kind int) uint64 {
	if g.err != nil {
		return 0
	}
	d, err := g.ctx.NewDescriptor(kind)
	if g.err = err; err == nil {
		g.made = append(g.made, d)
	}
	return d
}

func (g *describing) finish(d uint64) uint64 {
	if g.err == nil {
		g.err = g.ctx.Finalize(d)
	}
	return d
}

// set writes an attribute whose elements are T, which must have the size that kind stands for.
func set[T int32 | int64 | uint64 | float32 | float64](g *describing, d uint64, name, kind int,
	v ...T,
) {
	if g.err == nil {
		g.err = g.ctx.SetAttribute(d, name, kind, len(v), unsafe.Pointer(&v[0]))
	}
}

// tensor describes dims [N C H W] of a tensor that lies in memory as NHWC (or OHWI).
func (g *describing) tensor(id int64, double bool, shape [4]int) uint64 {
	n, h, w, c := int64(shape[0]), int64(shape[1]), int64(shape[2]), int64(shape[3])
	d := g.make(descTensor)
	set(g, d, attrTensorType, typeDataType, dataType(double))
	set(g, d, attrTensorDims, typeInt64, n, c, h, w)
	set(g, d, attrTensorStrides, typeInt64, h*w*c, 1, w*c, c)
	set(g, d, attrTensorID, typeInt64, id)
	set(g, d, attrTensorAlign, typeInt64, int64(smallest))
	return g.finish(d)
}

func dataType(double bool) int32 {
	if double {
		return dataDouble
	}
	return dataFloat
}

// operation holds the names of one direction's attributes.
var operations = [...]struct{ kind, conv, x, w, y, alpha, beta int }{
	forward: {descForward, attrForwardConv, attrForwardX, attrForwardW, attrForwardY,
		attrForwardAlpha, attrForwardBeta},
	inputGrad: {descInputGrad, attrInputGradConv, attrInputGradDX, attrInputGradW, attrInputGradDY,
		attrInputGradAlpha, attrInputGradBeta},
	weightGrad: {descWeightGrad, attrWeightGradConv, attrWeightGradX, attrWeightGradDW,
		attrWeightGradDY, attrWeightGradAlpha, attrWeightGradBeta},
}

// operation describes a convolution.
func (g *describing) operation(s convSpec) uint64 {
	c, p := g.make(descConvolution), s.p
	set(g, c, attrConvCompute, typeDataType, dataType(s.double))
	set(g, c, attrConvMode, typeConvMode, int32(crossCorrelation))
	set(g, c, attrConvDims, typeInt64, int64(2))
	set(g, c, attrConvDilations, typeInt64, int64(p.DilH), int64(p.DilW))
	set(g, c, attrConvStrides, typeInt64, int64(p.StrideH), int64(p.StrideW))
	set(g, c, attrConvPre, typeInt64, int64(p.PadTop), int64(p.PadLeft))
	set(g, c, attrConvPost, typeInt64, int64(p.PadBottom), int64(p.PadRight))
	g.finish(c)
	names := operations[s.dir]
	op := g.make(names.kind)
	set(g, op, names.conv, typeDescriptor, c)
	set(g, op, names.x, typeDescriptor, g.tensor(idX, s.double, s.x))
	set(g, op, names.w, typeDescriptor, g.tensor(idW, s.double, s.w))
	set(g, op, names.y, typeDescriptor, g.tensor(idY, s.double, s.y))
	if s.double {
		set(g, op, names.alpha, typeDouble, 1.0)
		set(g, op, names.beta, typeDouble, 0.0)
	} else {
		set(g, op, names.alpha, typeFloat, float32(1))
		set(g, op, names.beta, typeFloat, float32(0))
	}
	return g.finish(op)
}

// convolution returns a graph of one operation.
func (g *describing) convolution(handle uint64, s convSpec) uint64 {
	op := g.operation(s)
	graph := g.make(descGraph)
	set(g, graph, attrGraphHandle, typeHandle, handle)
	set(g, graph, attrGraphOps, typeDescriptor, op)
	return g.finish(graph)
}

// mostConfigs is how many engine configurations are looked at in each mode.
const mostConfigs = 16

// configs asks the heuristics for engine configurations, the best first.
func (g *describing) configs(graph uint64, mode int64) []uint64 {
	h := g.make(descHeuristics)
	set(g, h, attrHeurGraph, typeDescriptor, graph)
	set(g, h, attrHeurMode, typeHeurMode, int32(mode))
	g.finish(h)
	list := make([]uint64, mostConfigs) // the library fills descriptors that exist
	for i := range list {
		list[i] = g.make(descEngineConfig)
	}
	if g.err != nil {
		return nil
	}
	n, err := g.ctx.GetAttribute(h, attrHeurResults, typeDescriptor, mostConfigs,
		unsafe.Pointer(&list[0]))
	if err != nil {
		return nil
	}
	return list[:min(n, mostConfigs)]
}

// serves reports whether a configuration's engine keeps to what this program promises: sums in a
// fixed order and, unless TF32 is on, F32 arithmetic throughout.
func (g *describing) serves(config uint64, s convSpec, tf32 bool) bool {
	engine := []uint64{g.make(descEngine)}
	if g.err != nil {
		return false
	}
	if _, err := g.ctx.GetAttribute(config, attrConfigEngine, typeDescriptor, 1,
		unsafe.Pointer(&engine[0])); err != nil {
		return false
	}
	const most = 32
	notes := make([]int32, most)
	n, err := g.ctx.GetAttribute(engine[0], attrEngineNotes, typeNote, most,
		unsafe.Pointer(&notes[0]))
	if err != nil {
		return false
	}
	banned := []int32{noteAnyOrder}
	if !tf32 {
		banned = append(banned, noteDownConvert, noteReduced, noteFFT, noteWinograd, noteWinograd4x4,
			noteWinograd6x6, noteWinograd1313)
		if !s.double { // in F32 a tensor core means TF32; in F64 it is exact
			banned = append(banned, noteTensorCore)
		}
	}
	return !slices.ContainsFunc(notes[:min(n, most)], func(v int32) bool {
		return slices.Contains(banned, v)
	})
}

// plan builds the plan of a configuration, or returns nil if the library cannot.
func (g *describing) plan(handle, config uint64) *convPlan {
	d, err := g.ctx.NewDescriptor(descPlan)
	if err != nil {
		return nil
	}
	try := &describing{ctx: g.ctx}
	set(try, d, attrPlanHandle, typeHandle, handle)
	set(try, d, attrPlanConfig, typeDescriptor, config)
	try.finish(d)
	bytes := []int64{0}
	if try.err == nil {
		_, try.err = g.ctx.GetAttribute(d, attrPlanWorkspace, typeInt64, 1,
			unsafe.Pointer(&bytes[0]))
	}
	if try.err != nil || bytes[0] > convWorkspace {
		g.ctx.DestroyDescriptor(d)
		return nil
	}
	return &convPlan{plan: d, workspace: int(bytes[0])}
}

// close gives the plans back.
func (c *convolutions) close(ctx *driver.Context) {
	for _, p := range c.plans {
		if p != nil {
			ctx.DestroyDescriptor(p.plan)
			(&describing{ctx: ctx, made: p.behind}).close()
		}
	}
	ctx.CloseDNN(c.handle)
}
