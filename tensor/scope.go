package tensor

import (
	"fmt"
	"math"
	"slices"
)

// A Scope owns the tensors allocated in it and gives their memory back when it closes. Scopes
// nest: a training step, one PGD iteration, one evaluation batch, a block of a network in inference
// each open one. A model's parameters live in a scope as long as the model.
//
// A Scope belongs to one goroutine.
type Scope struct {
	backend Backend
	parent  *Scope
	live    []*Tensor
	onClose []func()
	closed  bool
}

// NewScope opens a scope on a backend.
func NewScope(b Backend) *Scope { return &Scope{backend: b} }

// Child opens a scope inside s. Close it before s.
func (s *Scope) Child() *Scope { return &Scope{backend: s.backend, parent: s} }

// Backend returns the backend on which the scope allocates.
func (s *Scope) Backend() Backend { return s.backend }

// New allocates a tensor with undefined elements. It panics with *Error if an extent is negative,
// the bytes of all elements exceed an int, the scope is closed or memory runs out.
func (s *Scope) New(dt DType, shape ...int) *Tensor {
	o := new(owned)
	o.shape = append(o.dims[:0], shape...)
	n, ok := o.shape.CheckedSize()
	if !ok || n > math.MaxInt/max(dt.Size(), 1) {
		panic(&Error{Op: "Alloc", Reason: fmt.Sprintf("shape %v has a negative extent or more "+
			"elements than memory has addresses", o.shape)})
	}
	if s.closed {
		panic(&Error{Op: "Alloc", Reason: "the scope is closed"})
	}
	buf, err := s.backend.Alloc(n * dt.Size())
	if err != nil {
		panic(&Error{Op: "Alloc", Operands: []Operand{{"tensor", o.shape, dt}}, Reason: err.Error()})
	}
	o.own = storage{buf: buf, refs: 1}
	o.dtype, o.store, o.backend = dt, &o.own, s.backend
	s.live = append(s.live, &o.Tensor)
	return &o.Tensor
}

// An owned tensor is one together with what most have: a step makes hundreds, and three objects for
// each would be a third of its garbage.
type owned struct {
	Tensor
	own  storage
	dims [4]int
}

// Like allocates a tensor of x's shape and dtype with undefined elements.
func (s *Scope) Like(x *Tensor) *Tensor { return s.New(x.dtype, x.shape...) }

// Zeros allocates a tensor of zeros.
func (s *Scope) Zeros(dt DType, shape ...int) *Tensor { return s.Full(dt, 0, shape...) }

// Full allocates a tensor whose elements are all v.
func (s *Scope) Full(dt DType, v float64, shape ...int) *Tensor {
	t := s.New(dt, shape...)
	s.backend.Fill(t, v)
	return t
}

// FromSlice allocates a tensor and copies data, in row-major order, into it.
func FromSlice[T Elem](s *Scope, data []T, shape ...int) *Tensor {
	t := s.New(DTypeOf[T](), shape...)
	CopyFromHost(t, data)
	return t
}

// Reshape returns a tensor of another shape that shares x's elements. Panics if sizes differ or an
// extent is negative.
func (s *Scope) Reshape(x *Tensor, shape ...int) *Tensor {
	sh := Shape(shape).Clone()
	if n, ok := sh.CheckedSize(); !ok || n != x.Size() {
		panic(&Error{Op: "Reshape", Operands: []Operand{Describe("x", x)},
			Reason: fmt.Sprintf("cannot become %v", sh)})
	}
	x.Buffer() // panics if freed
	x.store.refs++
	t := &Tensor{shape: sh, dtype: x.dtype, store: x.store, backend: x.backend}
	s.live = append(s.live, t)
	return t
}

// Keep hands tensors over to the parent scope (to nobody, if s has no parent: then only Free
// gives them back). Tensors that s does not own are left alone.
func (s *Scope) Keep(ts ...*Tensor) {
	for _, t := range ts {
		for i := len(s.live) - 1; i >= 0; i-- {
			if s.live[i] != t {
				continue
			}
			s.live[i] = s.live[len(s.live)-1]
			s.live = s.live[:len(s.live)-1]
			if s.parent != nil {
				s.parent.live = append(s.parent.live, t)
			}
			break
		}
	}
}

// OnClose makes Close call f before it frees anything, and what was given last first: for what is
// made of the scope's tensors, lives as long as they do, and has memory of its own.
func (s *Scope) OnClose(f func()) { s.onClose = append(s.onClose, f) }

// Close frees every tensor the scope still owns. Closing twice is harmless.
func (s *Scope) Close() {
	for _, f := range slices.Backward(s.onClose) {
		f()
	}
	s.onClose = nil
	for i, t := range s.live {
		t.Free()
		s.live[i] = nil
	}
	s.live, s.closed = s.live[:0], true
}

// Live returns how many tensors of the scope have not been freed.
func (s *Scope) Live() int {
	n := 0
	for _, t := range s.live {
		if !t.Freed() {
			n++
		}
	}
	return n
}

// KeepAll hands every tensor of s over to the parent scope.
func (s *Scope) KeepAll() {
	if s.parent != nil {
		s.parent.live = append(s.parent.live, s.live...)
		s.live = s.live[:0]
	}
}
