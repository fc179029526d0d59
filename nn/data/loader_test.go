package data

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newLoader(t testing.TB, ds Dataset, cfg LoaderConfig) *Loader {
	t.Helper()
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBatchIsAPureFunctionOfSeedAndStep(t *testing.T) {
	m := counting(t, 50, 8, 8, 3)
	cfg := LoaderConfig{Batch: 8, Seed: 5, Flip: true, Crop: 2}
	want := make([]*Batch, 20)
	l := newLoader(t, m, cfg)
	for i := len(want) - 1; i >= 0; i-- { // backwards: order must not matter
		want[i] = l.Batch(i)
	}
	for _, start := range []int{0, 7} {
		for _, prefetch := range []int{1, 5} {
			cfg.Prefetch = prefetch
			for step, b := range newLoader(t, m, cfg).Stream(start) {
				if d := cmp.Diff(want[step], b); d != "" {
					t.Fatalf("stream from %d, prefetch %d, step %d differs from Batch:\n%s", start, prefetch,
						step, d)
				}
				if step == len(want)-1 {
					break
				}
			}
		}
	}
	cfg.Seed++
	if slices.Equal(newLoader(t, m, cfg).Batch(0).Index, want[0].Index) {
		t.Error("another seed gives the same order")
	}
}

func TestEpochsArePermutations(t *testing.T) {
	m := counting(t, 50, 1, 1, 1)
	l := newLoader(t, m, LoaderConfig{Batch: 8})
	if l.BatchesPerEpoch() != 6 {
		t.Fatalf("%d batches per epoch, want 6", l.BatchesPerEpoch())
	}
	var orders [2][]int32
	for epoch := range orders {
		for i := range 6 {
			b := l.Batch(epoch*6 + i)
			if b.Epoch != epoch || b.N() != 8 || b.Labels[0] != b.Index[0]%3 {
				t.Errorf("batch %d: epoch %d, %d images, label %d of image %d", epoch*6+i, b.Epoch, b.N(),
					b.Labels[0], b.Index[0])
			}
			orders[epoch] = append(orders[epoch], b.Index...)
		}
		sorted := slices.Clone(orders[epoch])
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != 48 {
			t.Errorf("epoch %d shows an image twice", epoch)
		}
	}
	if slices.Equal(orders[0], orders[1]) {
		t.Error("two epochs have the same order")
	}
}

// shifted is an image of distinct values moved up by dy and left by dx, 0 beyond its border, then
// mirrored if flip.
func shifted(pix []uint8, size, dy, dx int, flip bool) []uint8 {
	out := make([]uint8, len(pix))
	for y := range size {
		for x := range size {
			from := x
			if flip {
				from = size - 1 - x
			}
			if sy, sx := y+dy, from+dx; sy >= 0 && sy < size && sx >= 0 && sx < size {
				out[y*size+x] = pix[sy*size+sx]
			}
		}
	}
	return out
}

// Every augmented image is one of the 2·(2·2+1)² images flip and crop can make, all of them
// occur, and each about equally often.
func TestAugmentationIsFlipAndPaddedCrop(t *testing.T) {
	const size, crop, draws = 6, 2, 10000
	pix := make([]uint8, size*size)
	for p := range pix {
		pix[p] = uint8(p + 1)
	}
	m, err := NewMemory(Images{Name: "one", H: size, W: size, C: 1, Pixels: pix,
		Labels: []int32{Unlabeled}})
	if err != nil {
		t.Fatal(err)
	}
	counts, places := map[string]int{}, map[string]bool{}
	for dy := -crop; dy <= crop; dy++ {
		for dx := -crop; dx <= crop; dx++ {
			places[string(shifted(pix, size, dy, dx, false))] = true
			places[string(shifted(pix, size, dy, dx, true))] = true
		}
	}
	l := newLoader(t, m, LoaderConfig{Batch: 1, Seed: 1, Flip: true, Crop: crop, Range: Unit})
	b := new(Batch)
	for step := range draws {
		l.Fill(b, step)
		got := make([]uint8, len(b.X))
		for p, v := range b.X {
			got[p] = uint8(v*255 + 0.5)
		}
		if !places[string(got)] {
			t.Fatalf("step %d: %v is no flip and crop of the image", step, got)
		}
		counts[string(got)]++
	}
	// 50 places, 200 draws each on average; 5 standard deviations of a binomial are 70.
	for _, n := range counts {
		if n < 130 || n > 270 {
			t.Errorf("one of %d places occurs %d times in %d draws", len(counts), n, draws)
		}
	}
	if len(counts) != len(places) {
		t.Errorf("%d places occur, want %d", len(counts), len(places))
	}
}

func TestPaddingIsBlack(t *testing.T) {
	m, err := NewMemory(Images{Name: "white", H: 2, W: 2, C: 3,
		Pixels: slices.Repeat([]uint8{255}, 12), Labels: []int32{Unlabeled}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float32]bool{}
	l := newLoader(t, m, LoaderConfig{Batch: 1, Crop: 3})
	for step := range 20 {
		for _, v := range l.Batch(step).X {
			seen[v] = true
		}
	}
	if len(seen) != 2 || !seen[-1] || !seen[1] {
		t.Errorf("white images padded with black have the values %v, want -1 and 1", seen)
	}
}

func TestNoAugmentationIsRead(t *testing.T) {
	m := counting(t, 20, 3, 5, 3)
	b := newLoader(t, m, LoaderConfig{Batch: 4, Seed: 2}).Batch(3)
	index := make([]int, 4)
	for k, i := range b.Index {
		index[k] = int(i)
	}
	want := Read(m, Signed, index...)
	if !slices.Equal(b.X, want.X) || !slices.Equal(b.Labels, want.Labels) {
		t.Error("a batch without augmentation differs from the images it names")
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		r           Range
		lo, mid, hi float32
	}{{Signed, -1, 0.2, 1}, {Unit, 0, 0.6, 1}} {
		if lo, mid, hi := c.r.Float(0), c.r.Float(153), c.r.Float(255); lo != c.lo || hi != c.hi ||
			max(mid-c.mid, c.mid-mid) > 1e-6 {
			t.Errorf("range %d: %g %g %g, want %g %g %g", c.r, lo, mid, hi, c.lo, c.mid, c.hi)
		}
	}
}

func TestEvalShowsEverythingOnceInOrder(t *testing.T) {
	m := counting(t, 10, 2, 2, 1)
	var index []int32
	var sizes []int
	for step, b := range Eval(m, 4, Unit) {
		if step != len(sizes) || b.X[0] != float32(b.Index[0])/255 {
			t.Errorf("batch %d: first pixel %g", step, b.X[0])
		}
		index, sizes = append(index, b.Index...), append(sizes, b.N())
	}
	if !slices.Equal(sizes, []int{4, 4, 2}) ||
		!slices.Equal(index, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("batches of %v, images %v", sizes, index)
	}
	wantMisuse(t, func() { Eval(m, 0, Unit) })
}

func TestStreamEndsItsGoroutine(t *testing.T) {
	l := newLoader(t, counting(t, 20, 4, 4, 3), LoaderConfig{Batch: 4})
	before := runtime.NumGoroutine()
	for range 20 {
		for step := range l.Stream(0) {
			if step == 2 {
				break
			}
		}
		func() {
			defer func() { recover() }()
			for range l.Stream(3) {
				panic("in the loop's body")
			}
		}()
	}
	deadline := time.Now().Add(5 * time.Second)
	for ; runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines after 40 streams, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestStreamReusesItsBuffers(t *testing.T) {
	l := newLoader(t, counting(t, 64, 4, 4, 3), LoaderConfig{Batch: 4, Prefetch: 3})
	buffers := map[*Batch]bool{}
	for step, b := range l.Stream(0) {
		if buffers[b] = true; step == 40 {
			break
		}
	}
	if len(buffers) > 4 {
		t.Errorf("40 batches took %d buffers, want at most 4 for a prefetch of 3", len(buffers))
	}
}

func TestLoaderRefusesImpossibleConfigs(t *testing.T) {
	m := counting(t, 5, 2, 2, 1)
	for _, cfg := range []LoaderConfig{{}, {Batch: 6}, {Batch: -1}, {Batch: 1, Crop: -1},
		{Batch: 1, Prefetch: -1}, {Batch: 1, Range: 9}} {
		if _, err := NewLoader(m, cfg); err == nil {
			t.Errorf("config %+v accepted", cfg)
		}
	}
	l := newLoader(t, m, LoaderConfig{Batch: 2})
	wantMisuse(t, func() { l.Batch(-1) })
	wantMisuse(t, func() { l.Stream(-1) })
}

func TestChannelStats(t *testing.T) {
	m, err := NewMemory(Images{Name: "x", H: 1, W: 2, C: 3,
		Pixels: []uint8{0, 255, 51, 255, 255, 51}, Labels: []int32{Unlabeled}})
	if err != nil {
		t.Fatal(err)
	}
	mean, std := ChannelStats(m)
	if d := cmp.Diff([][]float64{{0.5, 1, 0.2}, {0.5, 0, 0}}, [][]float64{mean, std}); d != "" {
		t.Error(d)
	}
}

func BenchmarkLoader(b *testing.B) {
	l := newLoader(b, counting(b, 1000, 32, 32, 3),
		LoaderConfig{Batch: 128, Seed: 1, Flip: true, Crop: 4})
	batch, step := new(Batch), 0
	b.SetBytes(128 * 32 * 32 * 3)
	for b.Loop() {
		l.Fill(batch, step)
		step++
	}
}
