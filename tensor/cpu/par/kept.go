package par

import "afterimage/tensor/cpu/arena"

// Kept is scratch memory with contents that stay valid from call to call: what kernels derive from
// an operand that does not change, prepacked weights for example. Its owner drops it with the
// operand. All of it comes from the pool's arena, where it counts as in use and goes back to
// tensors. All methods allow nil, which keeps nothing. A Kept belongs to one goroutine, as the
// backend does whose kernels use it.
type Kept struct {
	// Missing, if not nil, is called before anybody reads what all is derived from, which may have to
	// be brought back first: before Get returns memory to be filled, and by Direct.
	Missing func()

	slots []slot // one, or a few
}

type slot struct {
	key    any
	floats []float32
	block  *arena.Block
}

// Get returns the n floats that were filled under the key, or else new ones to be filled, undefined
// in content. Give them to Done after their use.
func (k *Kept) Get(p *Pool, key any, n int) (b []float32, filled bool) {
	if k == nil {
		return p.Borrow(n), false
	}
	for i := range k.slots {
		if s := &k.slots[i]; s.key == key {
			return s.floats, true
		}
	}
	k.Direct()
	block := p.arena.Lend(4 * n)
	b = floats(block)[:n]
	k.slots = append(k.slots, slot{key, b, block})
	return b, false
}

// Direct is called by kernels that keep nothing, before they read the operand itself.
func (k *Kept) Direct() {
	if k != nil && k.Missing != nil {
		k.Missing()
	}
}

// Filled reports whether anything is kept.
func (k *Kept) Filled() bool { return k != nil && len(k.slots) > 0 }

// Keys returns the keys under which something is kept.
func (k *Kept) Keys() []any {
	if k == nil {
		return nil
	}
	var keys []any
	for _, s := range k.slots {
		keys = append(keys, s.key)
	}
	return keys
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
	for _, s := range k.slots {
		p.arena.Give(s.block)
	}
	k.slots = nil
}
