package arena

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// check holds an arena to its invariants, given the blocks in use.
func check(t *testing.T, a *Arena, used map[*Block]bool) {
	t.Helper()
	inUse, kept := 0, 0
	for b := range used {
		inUse += len(b.mem)
	}
	for _, list := range a.small {
		for _, b := range list {
			kept += len(b.mem)
		}
	}
	for i := range a.heaps {
		h := &a.heaps[i]
		if !slices.IsSortedFunc(h.free, before) {
			t.Fatal("the free blocks are out of order")
		}
		listed := map[*Block]bool{}
		for _, b := range h.free {
			listed[b] = true
		}
		for _, r := range h.regions {
			end := r.top
			for b := r.last; b != nil; b = b.below {
				if b.at+len(b.mem) != end || b.free == used[b] || b.free != listed[b] {
					t.Fatalf("block at %d, %d bytes, free %v: listed %v, used %v, expected to end at %d",
						b.at, len(b.mem), b.free, listed[b], used[b], end)
				}
				if b.free && b.below != nil && b.below.free {
					t.Fatal("two free neighbours have not grown together")
				}
				if b.free {
					kept += b.resident
				}
				if b.free && b.resident > len(b.mem) {
					t.Fatalf("%d bytes of %d are resident", b.resident, len(b.mem))
				}
				delete(listed, b)
				end = b.at
			}
			if end != 0 {
				t.Fatalf("the first %d bytes of a region belong to nobody", end)
			}
		}
		if len(listed) > 0 {
			t.Fatal("a free block is in no region")
		}
	}
	if u := a.Usage(); u.InUse != inUse || u.Cached != kept || u.Peak < inUse+kept {
		t.Fatalf("usage %+v, expected %d in use and %d cached", u, inUse, kept)
	}
}

// TestRandomUse takes and gives blocks of all sizes and looks at every invariant after each.
func TestRandomUse(t *testing.T) {
	a, rng := New(math.MaxInt), rand.New(rand.NewPCG(1, 2))
	used := map[*Block]bool{}
	var order []*Block
	for i := range 4000 {
		if n := len(order); n > 0 && rng.IntN(100) < 40+n/4 {
			k := rng.IntN(n)
			b := order[k]
			if b.mem[0] != byte(len(b.mem)) || b.mem[len(b.mem)-1] != byte(b.at) {
				t.Fatal("somebody wrote into a block in use")
			}
			order = slices.Delete(order, k, k+1)
			delete(used, b)
			a.Give(b)
		} else {
			size := int(math.Exp2(26 * rng.Float64()))
			b, err := a.Take(size)
			if err != nil || len(b.Bytes()) < size {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if uintptr(unsafe.Pointer(&b.mem[0]))%line != 0 {
				t.Fatal("a block does not begin at a cache line")
			}
			b.mem[0], b.mem[len(b.mem)-1] = byte(len(b.mem)), byte(b.at)
			order, used[b] = append(order, b), true
		}
		if i%500 == 0 {
			a.Trim()
		}
		if i%50 == 0 {
			check(t, a, used)
		}
	}
	for b := range used {
		a.Give(b)
	}
	check(t, a, nil)
	a.Trim()
	if u := a.Usage(); u.InUse != 0 || u.Cached != 0 {
		t.Errorf("after everything was given back and trimmed, usage is %+v", u)
	}
}

// A step takes what a network does: weights before it, activations on the way forward, and on the
// way back gradients that stay, while activations go.
func step(t *testing.T, a *Arena) {
	take := func(n int) *Block {
		b, err := a.Take(n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var acts, grads []*Block
	for layer := range 30 {
		acts = append(acts, take(8<<20>>(layer/10)))
	}
	for layer := 29; layer >= 0; layer-- {
		scratch := a.Lend(3 << 20)
		d := take(8 << 20 >> (layer / 10))
		a.Give(scratch)
		grads = append(grads, take(1<<20+layer))
		a.Give(acts[layer])
		a.Give(d)
	}
	for _, g := range grads {
		a.Give(g)
	}
}

// TestStepsReuse: gradients find room where activations were, and no later step takes more.
func TestStepsReuse(t *testing.T) {
	a := New(math.MaxInt)
	step(t, a)
	first := a.Usage()
	// 10 activations each of 8, 4 and 2 MB; the deepest layer's gradient of 2 MB and its scratch.
	if live := (80 + 40 + 20 + 2 + 3) << 20; first.Peak > live*11/10 {
		t.Errorf("a step of at most %d bytes took %d", live, first.Peak)
	}
	for range 3 {
		step(t, a)
	}
	if u := a.Usage(); u != first {
		t.Errorf("usage was %+v after one step and is %+v after four", first, u)
	}
}

func TestLimit(t *testing.T) {
	a := New(10 << 20)
	b, err := a.Take(6 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = a.Take(6 << 20); err == nil || !strings.Contains(err.Error(), "needs 6.0 MB more, "+
		"6.0 MB are in use and 10.0 MB is the limit") {
		t.Errorf("beyond the limit: %v", err)
	}
	a.Give(a.Lend(6 << 20)) // scratch memory is not refused
	if _, err := a.Take(6 << 20); err == nil {
		t.Error("memory that was lent once lets a tensor pass the limit")
	}
	a.Give(b)
	c, err := a.Take(9 << 20)
	if err != nil {
		t.Fatal("what is not in use stood in the way:", err)
	}
	if _, err := a.Take(2 << 20); err == nil {
		t.Error("beyond the limit, after a trim, was not refused")
	}
	if u := a.Usage(); u.Peak > 12<<20 { // 6 MB in use and 6 lent
		t.Errorf("a peak of %d bytes, of which the limit never allowed the last", u.Peak)
	}
	a.SetLimit(20 << 20)
	if _, err := a.Take(2 << 20); err != nil {
		t.Error("within the raised limit:", err)
	}
	a.Give(c)
}

// TestGivenTwice: alone, and after a block has grown together with its neighbour.
func TestGivenTwice(t *testing.T) {
	a := New(math.MaxInt)
	for _, n := range []int{1, big} {
		below, above := a.Lend(n), a.Lend(n)
		for _, b := range []*Block{above, below} {
			a.Give(b)
		}
		for _, b := range []*Block{above, below} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a block of %d bytes was given back twice", n)
					}
				}()
				a.Give(b)
			}()
		}
	}
	check(t, a, nil)
}

func TestSizeClasses(t *testing.T) {
	for n := range big {
		c := SizeClass(n)
		size := ClassSize(c)
		if size < n || SizeClass(size) != c || c > 0 && ClassSize(c-1) >= n ||
			n > leastBlock && 5*(size-n) > size {
			t.Fatalf("%d bytes are of class %d, %d bytes", n, c, size)
		}
		if size < big && c >= classes {
			t.Fatalf("class %d of %d bytes is not among the %d", c, n, classes)
		}
	}
}
