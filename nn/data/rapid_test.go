package data

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Properties of the samplers for drawn sizes and seeds.

// TestLoaderProperties: an epoch shows every image at most once and leaves out only what does not
// fill a batch; batches are the same whoever asks and in whatever order; labels belong to images.
func TestLoaderProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "images")
		cfg := LoaderConfig{Batch: rapid.IntRange(1, n).Draw(rt, "batch"),
			Seed: rapid.Uint64().Draw(rt, "seed"), Flip: rapid.Bool().Draw(rt, "flip"),
			Crop: rapid.IntRange(0, 2).Draw(rt, "crop")}
		ds := counting(t, n, 4, 4, 1)
		l, err := NewLoader(ds, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		per := l.BatchesPerEpoch()
		if per != n/cfg.Batch {
			rt.Fatalf("%d batches of %d of %d images", per, cfg.Batch, n)
		}
		epoch := rapid.IntRange(0, 1000).Draw(rt, "epoch")
		seen := map[int32]bool{}
		for i := range per {
			b := l.Batch(epoch*per + i)
			if b.Epoch != epoch || b.N() != cfg.Batch || b.Step != epoch*per+i {
				rt.Fatalf("batch %d of epoch %d: %d images of epoch %d", i, epoch, b.N(), b.Epoch)
			}
			for k, at := range b.Index {
				if at < 0 || int(at) >= n || seen[at] {
					rt.Fatalf("epoch %d shows image %d of %d twice, or there is none", epoch, at, n)
				}
				seen[at] = true
				if want := ds.Read(int(at), make([]uint8, 16)); int(b.Labels[k]) != want {
					rt.Fatalf("image %d has label %d, its batch says %d", at, want, b.Labels[k])
				}
			}
		}
		steps := rapid.SliceOfN(rapid.IntRange(0, 5*per), 2, 6).Draw(rt, "steps")
		other, err := NewLoader(ds, cfg)
		if err != nil {
			rt.Fatal(err)
		}
		filled := new(Batch)
		for _, s := range steps {
			other.Fill(filled, s)
			if d := cmp.Diff(l.Batch(s), filled); d != "" {
				rt.Fatalf("step %d depends on what was asked before:\n%s", s, d)
			}
		}
	})
}

// TestEvalProperties: evaluation shows every image once, in order, whatever the batch.
func TestEvalProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(rt, "images")
		size := rapid.IntRange(1, 50).Draw(rt, "batch")
		var got []int32
		for _, b := range Eval(counting(t, n, 2, 2, 1), size, Unit) {
			if b.N() == 0 || b.N() > size {
				rt.Fatalf("a batch of %d images, at most %d asked", b.N(), size)
			}
			got = append(got, b.Index...)
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%d images in batches of %d: %v", n, size, got)
		}
	})
}

// TestHeldOutProperties: a tenth, at most 5,000, each once, in order, by the number alone.
func TestHeldOutProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 60_000).Draw(rt, "images")
		held := HeldOut(n)
		if len(held) != min(5000, n/10) {
			rt.Fatalf("%d of %d images are held out", len(held), n)
		}
		for i, at := range held {
			if at < 0 || at >= n || i > 0 && held[i-1] >= at {
				rt.Fatalf("held-out image %d is %d of %d, after %d", i, at, n, held[max(i-1, 0)])
			}
		}
		if !slices.Equal(HeldOut(n), held) {
			rt.Fatal("another draw for the same number")
		}
	})
}
