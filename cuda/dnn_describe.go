package cuda

import (
	"slices"
	"unsafe"

	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// describing makes cuDNN descriptors; after the first failure it does nothing.
type describing struct {
	ctx  *driver.Context
	on   target
	made []uint64
	err  error
}

// A target is the card that descriptors are for: that of a handle, or, to see without a card what
// the library offers, one that a descriptor of properties describes.
type target struct{ handle, properties uint64 }

// aim tells a descriptor its target, by attributes of which 0 is one that it does not have.
func (g *describing) aim(d uint64, handle, properties int) {
	if g.on.properties != 0 && properties != 0 {
		set(g, d, properties, typeDescriptor, g.on.properties)
	}
	if g.on.properties == 0 && handle != 0 {
		set(g, d, handle, typeHandle, g.on.handle)
	}
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
func (g *describing) tensor(id int64, dt tensor.DType, shape [4]int) uint64 {
	n, h, w, c := int64(shape[0]), int64(shape[1]), int64(shape[2]), int64(shape[3])
	d := g.make(descTensor)
	set(g, d, attrTensorType, typeDataType, dataType(dt))
	set(g, d, attrTensorDims, typeInt64, n, c, h, w)
	set(g, d, attrTensorStrides, typeInt64, h*w*c, 1, w*c, c)
	set(g, d, attrTensorID, typeInt64, id)
	set(g, d, attrTensorAlign, typeInt64, int64(smallest))
	return g.finish(d)
}

func dataType(dt tensor.DType) int32 {
	switch dt {
	case tensor.F64:
		return dataDouble
	case tensor.BF16:
		return dataBFloat16
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

// operation describes a convolution. Sums and factors are F64 if the tensors are, else F32.
func (g *describing) operation(s convSpec) uint64 {
	c, p, sums := g.make(descConvolution), s.p, int32(dataFloat)
	if s.result == tensor.F64 {
		sums = dataDouble
	}
	set(g, c, attrConvCompute, typeDataType, sums)
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
	types := [3]tensor.DType{s.operand, s.operand, s.operand}
	types[s.dir.result()] = s.result
	set(g, op, names.x, typeDescriptor, g.tensor(idX, types[0], s.x))
	set(g, op, names.w, typeDescriptor, g.tensor(idW, types[1], s.w))
	set(g, op, names.y, typeDescriptor, g.tensor(idY, types[2], s.y))
	if s.result == tensor.F64 {
		set(g, op, names.alpha, typeDouble, 1.0)
		set(g, op, names.beta, typeDouble, 0.0)
	} else {
		set(g, op, names.alpha, typeFloat, float32(1))
		set(g, op, names.beta, typeFloat, float32(0))
	}
	return g.finish(op)
}

// convolution returns a graph of one operation.
func (g *describing) convolution(s convSpec) uint64 {
	op := g.operation(s)
	graph := g.make(descGraph)
	g.aim(graph, attrGraphHandle, 0)
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
	g.aim(h, 0, attrHeurProperties)
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
		g.err = err
		return nil
	}
	return list[:min(n, mostConfigs)]
}

// engine returns the engine of a configuration, and the number under which the library knows it.
func (g *describing) engine(config uint64) (engine uint64, number int64) {
	list, index := []uint64{g.make(descEngine)}, []int64{0}
	if g.err != nil {
		return 0, 0
	}
	if _, g.err = g.ctx.GetAttribute(config, attrConfigEngine, typeDescriptor, 1,
		unsafe.Pointer(&list[0])); g.err != nil {
		return 0, 0
	}
	_, g.err = g.ctx.GetAttribute(list[0], attrEngineNumber, typeInt64, 1,
		unsafe.Pointer(&index[0]))
	return list[0], index[0]
}

// serves reports whether an engine keeps to what this program promises: sums in a fixed order and,
// unless operands may be rounded, as those of F32 in TF32 may, their own arithmetic throughout.
func (g *describing) serves(engine uint64, s convSpec, mode arithmetic) bool {
	if g.err != nil {
		return false
	}
	const most = 32
	notes := make([]int32, most)
	n, err := g.ctx.GetAttribute(engine, attrEngineNotes, typeNote, most,
		unsafe.Pointer(&notes[0]))
	if err != nil {
		g.err = err
		return false
	}
	banned := []int32{noteAnyOrder, noteReduced}
	rounds := mode == tf32 && s.operand == tensor.F32
	if !rounds {
		banned = append(banned, noteDownConvert, noteFFT, noteWinograd, noteWinograd4x4,
			noteWinograd6x6, noteWinograd1313)
	}
	if s.operand == tensor.F32 && !rounds { // a tensor core there means TF32; in F64 it is exact
		banned = append(banned, noteTensorCore)
	}
	return !slices.ContainsFunc(notes[:min(n, most)], func(v int32) bool {
		return slices.Contains(banned, v)
	})
}

// plan builds the plan of a configuration, or returns nil if the library cannot.
func (g *describing) plan(config uint64) *convPlan {
	d, err := g.ctx.NewDescriptor(descPlan)
	if err != nil {
		g.err = err
		return nil
	}
	try := &describing{ctx: g.ctx, on: g.on}
	try.aim(d, attrPlanHandle, attrPlanProperties)
	set(try, d, attrPlanConfig, typeDescriptor, config)
	try.finish(d)
	bytes := []int64{0}
	if try.err == nil {
		_, try.err = g.ctx.GetAttribute(d, attrPlanWorkspace, typeInt64, 1,
			unsafe.Pointer(&bytes[0]))
	}
	if try.err != nil || bytes[0] > convWorkspace {
		g.ctx.DestroyDescriptor(d)
		g.err = try.err
		return nil
	}
	return &convPlan{plan: d, workspace: int(bytes[0])}
}
