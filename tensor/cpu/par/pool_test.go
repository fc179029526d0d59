package par

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"afterimage/tensor/cpu/arena"
)

func TestEveryTileOnce(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		p := New(threads)
		if p.Threads() != threads {
			t.Fatalf("Threads() = %d, want %d", p.Threads(), threads)
		}
		for n := range 40 {
			count := make([]atomic.Int32, n)
			p.RunWorker(n, func(w, i int) {
				if w < 0 || w >= threads {
					t.Errorf("worker %d of %d", w, threads)
				}
				count[i].Add(1)
			})
			for i := range count {
				if c := count[i].Load(); c != 1 {
					t.Fatalf("threads %d, n %d: tile %d ran %d times", threads, n, i, c)
				}
			}
		}
		p.Close()
		p.Close()
	}
}

// TestManyRegions changes the captured variables between regions: a worker that comes late to one
// region must not run tiles with the next one's function half written.
func TestManyRegions(t *testing.T) {
	p := New(4)
	defer p.Close()
	for r := range 5000 {
		n := 1 + r%9
		got := make([]int, n)
		p.Run(n, func(i int) { got[i] = r })
		for i, v := range got {
			if v != r {
				t.Fatalf("region %d tile %d: got %d", r, i, v)
			}
		}
		if r%1000 == 999 {
			time.Sleep(3 * spinTime) // let the workers park
		}
	}
}

func TestNestedRunsSerially(t *testing.T) {
	p := New(3)
	defer p.Close()
	var total atomic.Int64
	p.Run(8, func(i int) {
		last := -1
		p.RunWorker(5, func(w, j int) {
			if w != 0 || j != last+1 {
				t.Errorf("nested tile %d by worker %d after %d", j, w, last)
			}
			last = j
			total.Add(1)
		})
	})
	if total.Load() != 40 {
		t.Fatalf("nested tiles: %d, want 40", total.Load())
	}
}

func TestConcurrentCallers(t *testing.T) {
	p := New(2)
	defer p.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := range 300 {
				sum := make([]int, 6)
				p.Run(6, func(i int) { sum[i] = g + r + i })
				for i, v := range sum {
					if v != g+r+i {
						t.Errorf("caller %d region %d tile %d: %d", g, r, i, v)
					}
				}
			}
		}()
	}
	wg.Wait()
}

func TestPanicReachesCaller(t *testing.T) {
	p := New(3)
	defer p.Close()
	want := errors.New("tile failed")
	for bad := range 20 {
		func() {
			defer func() {
				if r := recover(); r != want {
					t.Fatalf("tile %d: recovered %v, want %v", bad, r, want)
				}
			}()
			p.Run(20, func(i int) {
				if i == bad {
					panic(want)
				}
				time.Sleep(time.Microsecond)
			})
			t.Fatalf("tile %d: Run returned", bad)
		}()
		var ok atomic.Int64
		p.Run(10, func(int) { ok.Add(1) })
		if ok.Load() != 10 {
			t.Fatalf("after a panic: %d of 10 tiles ran", ok.Load())
		}
	}
}

// TestPanicsOfTwoTiles lets the caller's tile and a worker's panic in one region: one value reaches
// the caller, and the other must not come out of a later, healthy Run.
func TestPanicsOfTwoTiles(t *testing.T) {
	p := New(2)
	defer p.Close()
	for range 20 {
		func() {
			defer func() {
				if r := recover(); r != "tile 0" && r != "tile 1" {
					t.Fatalf("recovered %v, want one of the two tiles' values", r)
				}
			}()
			var both sync.WaitGroup
			both.Add(2)
			p.Run(2, func(i int) {
				both.Done()
				both.Wait() // both threads have a tile
				panic(fmt.Sprintf("tile %d", i))
			})
		}()
		p.Run(2, func(int) {})
	}
}

func TestRunAfterClose(t *testing.T) {
	p := New(2)
	p.Close()
	n := 0
	p.Run(7, func(int) { n++ })
	if n != 7 {
		t.Fatalf("%d tiles, want 7", n)
	}
}

// TestScratchClasses: what is returned serves every size of its class.
func TestScratchClasses(t *testing.T) {
	p := New(1)
	b := p.Borrow(1000)
	p.Return(b)
	if c := p.Borrow(1010); &c[0] != &b[0] {
		t.Fatal("a returned buffer of the same class was not reused")
	}
	for n := 1; n <= large; n += 1 + n/3 {
		b := p.Borrow(n)
		if c := arena.SizeClass(4 * n); len(b) != n || 4*cap(b) != arena.ClassSize(c) {
			t.Fatalf("%d floats of class %d: length %d, capacity %d", n, c, len(b), cap(b))
		}
		p.Return(b)
	}
}

func BenchmarkForkJoin(b *testing.B) {
	p := New(2)
	defer p.Close()
	b.ReportAllocs()
	for b.Loop() {
		p.Run(2, func(int) {})
	}
}

func ExamplePool_Run() {
	p := New(2)
	defer p.Close()
	squares := make([]int, 5)
	p.Run(len(squares), func(i int) { squares[i] = i * i })
	fmt.Println(squares)
	// Output: [0 1 4 9 16]
}

func TestMemo(t *testing.T) {
	type key struct{ a, b int }
	p := New(1)
	built := 0
	for range 3 {
		for a := range 2 {
			v := p.Memo(key{a, 7}, func() any { built++; return a + 7 })
			if v != a+7 {
				t.Fatalf("Memo(%d) = %v", a, v)
			}
		}
	}
	if built != 2 {
		t.Fatalf("built %d values, want 2", built)
	}
}

// TestWorkerPanicDropsTiles: a worker's panic leaves no tile to the caller, whose only one here
// ends after it.
func TestWorkerPanicDropsTiles(t *testing.T) {
	p := New(2)
	defer p.Close()
	var begun atomic.Int64
	func() {
		defer func() {
			if r := recover(); r != "worker" {
				t.Fatalf("recovered %v, want the worker's value", r)
			}
		}()
		p.RunWorker(100, func(worker, _ int) {
			begun.Add(1)
			if worker != 0 {
				panic("worker")
			}
			for p.failure.Load() == nil {
				runtime.Gosched()
			}
		})
	}()
	if n := begun.Load(); n != 2 {
		t.Errorf("%d tiles began, want the caller's and the worker's", n)
	}
}
