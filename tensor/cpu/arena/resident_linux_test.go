package arena

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

const mib = 1 << 20

// slack is what a process may grow by beside an arena: huge pages half used, the Go runtime.
const slack = 12 * mib

// resident returns the process's resident bytes.
func resident(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// grown fails unless the process has grown by bytes since before.
func grown(t *testing.T, what string, before, bytes int) {
	t.Helper()
	if got := resident(t) - before; got < bytes-slack || got > bytes+slack {
		t.Errorf("%s the process is %.1f MB larger than at first, expected %.1f", what, mb(got),
			mb(bytes))
	}
}

// touched takes a block and writes to every page of it.
func touched(t *testing.T, a *Arena, n int) *Block {
	t.Helper()
	b, err := a.Take(n)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b.mem); i += page {
		b.mem[i] = 1
	}
	return b
}

// TestResident holds an arena to what it says of memory, by what the system says of the process:
// what goes back goes at once, without the collector.
func TestResident(t *testing.T) {
	if testing.Short() {
		t.Skip("short: touches some hundred megabytes")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	a := New(96 * mib)
	before := resident(t)
	var blocks []*Block
	for range 16 {
		blocks = append(blocks, touched(t, a, 4*mib))
	}
	grown(t, "with blocks in use", before, 64*mib)
	for i := 0; i < 16; i += 2 {
		a.Give(blocks[i])
	}
	grown(t, "with free blocks between them", before, 64*mib)
	a.Trim()
	grown(t, "after trimming these", before, 32*mib)
	if u := a.Usage(); u.Cached != 0 || u.InUse != 32*mib {
		t.Errorf("after trimming, usage is %+v", u)
	}

	// Holes of 4 MB are of no use to a block of 56 MB: with them it would be beyond the limit.
	for i := 0; i < 16; i += 2 {
		blocks[i] = touched(t, a, 4*mib)
	}
	for i := 0; i < 16; i += 2 {
		a.Give(blocks[i])
	}
	large := touched(t, a, 56*mib)
	grown(t, "at the limit", before, 96*mib)
	if u := a.Usage(); u.InUse+u.Cached > u.Limit {
		t.Errorf("beyond the limit: %+v", u)
	}

	if !a.Park(large) {
		t.Fatal("a large block was not parked")
	}
	grown(t, "with a block parked", before, 40*mib)
	a.Unpark(large)
	for i := 0; i < len(large.mem); i += page {
		if large.mem[i] != 0 {
			t.Fatal("a page has survived")
		}
		large.mem[i] = 2
	}
	grown(t, "with the block back", before, 96*mib)

	a.Park(large)
	a.Give(large) // parked as it is
	var inUse []*Block
	for i := 1; i < 16; i += 2 {
		inUse = append(inUse, blocks[i])
	}
	closeFirst(t, a, inUse, before)
}

// closeFirst closes an arena before its last blocks, 32 MiB that begin with a 1 each, come back.
func closeFirst(t *testing.T, a *Arena, inUse []*Block, before int) {
	t.Helper()
	a.Close()
	grown(t, "after Close, with blocks in use", before, 32*mib)
	for _, b := range inUse {
		if b.mem[0] != 1 {
			t.Error("a block in use has lost its content")
		}
		a.Give(b)
	}
	grown(t, "after the last block came back", before, 0)
	if u := a.Usage(); u.InUse != 0 || u.Cached != 0 {
		t.Errorf("at the end usage is %+v", u)
	}
}

// TestParkSmall: small blocks stay, and parking twice is harmless.
func TestParkSmall(t *testing.T) {
	a := New(math.MaxInt)
	defer a.Close()
	small, large := touched(t, a, 1000), touched(t, a, 4*mib)
	if a.Park(small) || !a.Park(large) || a.Park(large) {
		t.Error("expected to park the large block, once")
	}
	a.Unpark(small)
	a.Unpark(large)
	a.Unpark(large)
	check(t, a, map[*Block]bool{small: true, large: true})
}
