package par

import "sync"

// Kept is scratch memory with contents that stay valid from call to call: what kernels derive from
// an operand that does not change. Its owner drops it with the operand. All methods allow nil,
// which keeps nothing.
type Kept struct {
	mu    sync.Mutex
	slots map[any][]float32
}

// Get returns the n floats that were filled under the key, or else new ones to be filled, undefined
// in content. Give them to Done after their use.
func (k *Kept) Get(p *Pool, key any, n int) (b []float32, filled bool) {
	if k == nil {
		return p.Borrow(n), false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if b, filled = k.slots[key]; filled {
		return b, true
	}
	b = p.Borrow(n)
	if k.slots == nil {
		k.slots = map[any][]float32{}
	}
	k.slots[key] = b
	return b, false
}

// Done says that the caller has no more use for b, which Get returned.
func (k *Kept) Done(p *Pool, b []float32) {
	if k == nil {
		p.Return(b)
	}
}

// Drop gives all memory back. Nobody may use any of it, or the Kept, afterwards.
func (k *Kept) Drop(p *Pool) {
	if k == nil {
		return
	}
	for _, b := range k.slots {
		p.Return(b)
	}
	k.slots = nil
}
