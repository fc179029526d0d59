package nn

import (
	"fmt"
	"iter"
	"runtime"
	"slices"

	"afterimage/tensor"
)

// A Param is one named tensor of a model: a weight that is trained, or a buffer (running
// statistics, a power iteration's vector) that is saved with it but changed by Updates.
//
// A Param is declared with its shape and initialiser when the layer is constructed and gets memory
// from Init or from a checkpoint: constructing a network of any size costs nothing.
type Param struct {
	Shape  tensor.Shape
	Init   Initializer
	Buffer bool           // saved, not trained
	NoWD   bool           // spared by weight decay where the recipe spares gains and biases
	T      *tensor.Tensor // nil until Init

	norm *SpectralNorm // of which it is the vector u
}

// A Module is anything that has parameters. Names are PyTorch's, dotted: "layer1.0.conv1.weight".
// The order is fixed and is the order of the forward pass.
type Module interface {
	Params() iter.Seq2[string, *Param]
}

// Params is a list of named parameters that is itself a Module; layers build their Params from it.
type Params []Named

// A Named is a parameter with its name.
type Named struct {
	Name  string
	Param *Param
}

// Params yields the list.
func (ps Params) Params() iter.Seq2[string, *Param] {
	return func(yield func(string, *Param) bool) {
		for _, p := range ps {
			if !yield(p.Name, p.Param) {
				return
			}
		}
	}
}

// Prefixed yields the parameters of m with prefix and a dot before each name; an empty prefix
// changes nothing. A nil module yields nothing.
func Prefixed(prefix string, m Module) Params {
	var out Params
	if m == nil {
		return nil
	}
	for name, p := range m.Params() {
		if prefix != "" {
			name = prefix + "." + name
		}
		out = append(out, Named{name, p})
	}
	return out
}

// Join concatenates parameter lists.
func Join(lists ...Params) Params { return slices.Concat(lists...) }

// List returns m's parameters as a list.
func List(m Module) Params { return Prefixed("", m) }

// Trainable returns m's parameters without its buffers.
func Trainable(m Module) Params {
	return slices.DeleteFunc(List(m), func(p Named) bool { return p.Param.Buffer })
}

// Count returns the number of trainable scalars in m.
func Count(m Module) int {
	n := 0
	for _, p := range Trainable(m) {
		n += p.Param.Shape.Size()
	}
	return n
}

// Init gives every parameter of m memory in s and its initial value. The random numbers of a
// parameter depend on seed and the parameter's name alone, so that adding a layer changes no other
// layer. Panics with what an initialiser panics with, the first one's in the order of parameters.
func Init(s *tensor.Scope, m Module, seed uint64) { InitDType(s, m, seed, tensor.F32) }

// InitDType is Init in another floating-point type; F64 serves gradient checks.
func InitDType(s *tensor.Scope, m Module, seed uint64, dt tensor.DType) {
	params := List(m)
	for _, p := range params {
		p.Param.T = s.New(dt, p.Param.Shape...)
	}
	// Drawn on all processors: each parameter has a stream of its own. At most one for each is
	// drawn ahead, so that the values of a large network are never all there at once.
	drawn := make([]chan func(), len(params))
	for i := range drawn {
		drawn[i] = make(chan func(), 1)
	}
	next, ahead := 0, runtime.GOMAXPROCS(0)
	draw := func() {
		if next == len(params) {
			return
		}
		p, out := params[next], drawn[next]
		next++
		go func() {
			var rest func()
			defer func() {
				if failure := recover(); failure != nil { // which nobody could catch here
					rest = func() { panic(failure) }
				}
				out <- rest
			}()
			rest = p.draw(seed)
		}()
	}
	for range ahead {
		draw()
	}
	got := 0
	defer func() { // after a panic: nobody may write to memory that the caller frees
		for ; got < next; got++ {
			<-drawn[got]
		}
	}()
	for i := range params {
		rest := <-drawn[i]
		got++
		rest()
		draw()
	}
}

// Redraw gives a parameter that has memory the values that Init gave it, under the same name and
// seed.
func Redraw(p Named, seed uint64) { p.draw(seed)() }

// draw draws the parameter's initial values, on any goroutine, and returns what is left to do on
// the backend's: nothing where they could be written to host memory one by one.
func (p Named) draw(seed uint64) (rest func()) {
	rng := tensor.NewRNG(tensor.NewKey(seed, "init/"+p.Name), 0)
	w, one := p.Param.Init.(writer)
	_, host := p.Param.T.Buffer().(tensor.HostBuffer)
	if !one || !host || p.Param.T.DType() != tensor.F32 {
		v := p.Param.Init.Values(rng, p.Param.Shape)
		return func() { p.Param.T.SetFloats(v) }
	}
	dst := tensor.Host[float32](p.Param.T)
	w.write(rng, p.Param.Shape, func(i int, v float64) { dst[i] = float32(v) })
	return func() {}
}

// Tensors returns the tensors of a list of parameters, in order. Panics if one has no memory yet.
func (ps Params) Tensors() []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(ps))
	for i, p := range ps {
		if p.Param.T == nil {
			panic(&tensor.Error{Op: "Params",
				Reason: fmt.Sprintf("parameter %s has no values: call Init or load weights first",
					p.Name)})
		}
		out[i] = p.Param.T
	}
	return out
}
