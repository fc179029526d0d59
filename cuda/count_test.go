//go:build linux && amd64 && cgo

package cuda

import (
	"testing"

	"afterimage/autodiff"
	"afterimage/gan"
	"afterimage/nn"
	"afterimage/tensor"
)

// TestAttentionCounts counts a device's launches and bytes for BigGAN's attention at 64 pixels,
// forward and backward, and for a step of the whole BigGAN-128: fused, no tensor has the size of
// the scores.
func TestAttentionCounts(t *testing.T) {
	const n, side, channels = 8, 64, 192
	scores := n * side * side * side / 2 * side / 2 * tensor.BF16.Size()
	layer := func(g *ghost) {
		s := tensor.NewScope(g)
		defer s.Close()
		a := nn.NewSelfAttention(channels, 0, nil)
		nn.Init(s, a, 1)
		graph := autodiff.NewGraph(g)
		defer graph.Close()
		c := nn.NewCtx(graph, nn.Train)
		x := graph.Leaf(s.New(tensor.BF16, n, side, side, channels))
		autodiff.Grad(autodiff.Sum(autodiff.Square(a.Forward(c, x))), []*autodiff.Value{x})
	}
	fused, composed := newGhost(tensor.BF16), newGhost(tensor.BF16)
	composed.composed = true
	layer(fused)
	layer(composed)
	for name, g := range map[string]*ghost{"fused": fused, "composed": composed} {
		t.Logf("%s: %d launches, %.0f MB of tensors made, %.0f MB at the peak", name, g.count(),
			float64(g.made)/1e6, float64(g.peak)/1e6)
	}
	if fused.count() >= composed.count() || composed.made-fused.made < 4*scores ||
		fused.largest >= scores {
		t.Errorf("scores take %d bytes; the largest tensor takes %d fused, %d composed", scores,
			fused.largest, composed.largest)
	}
	if testing.Short() {
		return // what follows draws millions of weights
	}
	for _, g := range []*ghost{newGhost(tensor.BF16), newGhost(tensor.F32)} {
		for _, g.composed = range []bool{true, false} {
			clear(g.launches)
			g.made, g.peak = 0, 0
			p, step := players(t, g, 16, gan.BigGAN128(32, 1000))
			clear(g.launches)
			g.made = 0
			step(0)
			p.Close()
			if most := map[tensor.DType]int{tensor.BF16: 998, tensor.F32: 941}; !g.composed &&
				g.count() > most[g.activations] {
				t.Errorf("%d launches in %v, at most %d expected", g.count(), g.activations,
					most[g.activations])
			}
			t.Logf("BigGAN-128, 16 images in %v, composed %v: %d launches, %.1f GB made, %.2f GB peak",
				g.activations, g.composed, g.count(), float64(g.made)/1e9, float64(g.peak)/1e9)
		}
	}
}
