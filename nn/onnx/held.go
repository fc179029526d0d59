package onnx

import (
	"math"
	"slices"
	"sync"

	"afterimage/tensor"
)

// heldLimit bounds the numbers that a graph's nodes keep on the device: tables of positions, masks,
// weights of a resampling. It is many times what networks on images of some hundred pixels have.
const heldLimit = 1 << 22

// held keeps what nodes compute on the host and bring to the device, so that the next pass finds it
// there: it need not be brought again, and a recorded pass could not bring it.
type held struct {
	mu    sync.Mutex
	scope *tensor.Scope
	size  int
	made  map[*node][]heldConst
}

// A heldConst is one such tensor and what is in it.
type heldConst struct {
	values []float64
	t      *tensor.Tensor
}

// hold makes g keep such constants from now on, as long as s.
func (g *Graph) hold(s *tensor.Scope) {
	g.held = &held{scope: s.Child(), made: map[*node][]heldConst{}}
}

// bring returns host values on the device, for one pass or, as long as there is room, for all.
func (c *call) bring(dt tensor.DType, v []float64, shape ...int) *tensor.Tensor {
	h := c.run.graph.held
	if h == nil {
		return filled(c.run.g.Scope(), dt, v, shape)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.made[c.node] {
		if k.t.DType() == dt && slices.Equal(k.t.Shape(), shape) && slices.EqualFunc(k.values, v,
			func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			return k.t
		}
	}
	if h.size+len(v) > heldLimit {
		return filled(c.run.g.Scope(), dt, v, shape)
	}
	t := filled(h.scope, dt, v, shape)
	h.size += len(v)
	h.made[c.node] = append(h.made[c.node], heldConst{slices.Clone(v), t})
	return t
}

// filled returns host values in s.
func filled(s *tensor.Scope, dt tensor.DType, v []float64, shape []int) *tensor.Tensor {
	t := s.New(dt, shape...)
	t.SetFloats(v)
	return t
}
