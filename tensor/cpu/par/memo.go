package par

// Memo returns the value kept under key, building it on first use. It is for tables that follow
// from a shape alone, such as the tap lists of a convolution: a training step repeats a few dozen
// shapes, and building the same tables for each call would make garbage. key must be comparable,
// and of a type of its own for each use. Two goroutines that ask at once may both build; one of
// the values is kept and both get it. Nothing is ever dropped.
func (p *Pool) Memo(key any, build func() any) any {
	if v, ok := p.memo.Load(key); ok {
		return v
	}
	v, _ := p.memo.LoadOrStore(key, build())
	return v
}
