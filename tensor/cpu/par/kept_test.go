package par

import "testing"

// TestKept: what was filled is found again, counts as memory in use, and is gone with Drop.
func TestKept(t *testing.T) {
	p := New(1)
	defer p.Close()
	k := new(Kept)
	a, filled := k.Get(p, "a", 100)
	if filled || len(a) != 100 {
		t.Fatalf("%d floats, filled %v, expected 100 to be filled", len(a), filled)
	}
	k.Done(p, a)
	b, _ := k.Get(p, "b", 2*large)
	if again, filled := k.Get(p, "a", 100); !filled || &again[0] != &a[0] || &b[0] == &a[0] {
		t.Error("what was filled is not found under its key")
	}
	if u := p.Arena().Usage(); u.InUse < 4*(100+2*large) {
		t.Errorf("%d bytes are in use, expected small and large ones to count", u.InUse)
	}
	k.Drop(p)
	if u := p.Arena().Usage(); u.InUse != 0 {
		t.Errorf("%d bytes are in use after Drop", u.InUse)
	}
	var none *Kept
	c, filled := none.Get(p, "a", 100)
	none.Done(p, c)
	none.Drop(p)
	if filled {
		t.Error("nil has kept something")
	}
}
