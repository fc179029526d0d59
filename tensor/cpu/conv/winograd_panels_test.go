package conv

import (
	"math"
	"math/rand/v2"
	"testing"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// TestPanelsFirst: the form by panels gives the bits of fused items, from a filter that is packed
// anew or kept, which the direct form may have packed, with more tiles than a block and with a last
// panel that is narrow.
func TestPanelsFirst(t *testing.T) {
	p := par.New(3)
	defer p.Close()
	rng := rand.New(rand.NewPCG(12, 12))
	for _, s := range []Shape{Square(1, 9, 9, 20, 75, 3, 1, 1), Square(5, 21, 21, 16, 33, 3, 1, 1)} {
		n := s.N * s.OutH() * s.OutW() * s.O
		x, w := random(rng, s.N*s.H*s.W*s.C), random(rng, s.O*9*s.C)
		e := Epilogue{Bias: random(rng, s.O), Res: random(rng, n), ReLU: true}
		for _, v := range micro.Variants() {
			want := make([]float32, n)
			q := s.winogradForward(v, p, want, x, w, e)
			q.fused(q.extents())
			got := make([]float32, n)
			kept := e
			kept.Kept = &par.Kept{}
			s.forwardDirect(v, p, got, x, w, kept)
			for i, e := range []Epilogue{e, kept} {
				for k := range got {
					got[k] = guard
				}
				q := s.winogradForward(v, p, got, x, w, e)
				q.byPanels(q.extents())
				for k := range got {
					if math.Float32bits(got[k]) != math.Float32bits(want[k]) {
						t.Fatalf("%+v, %v, kept %v: element %d is %g, want %g", s, v, i == 1, k, got[k],
							want[k])
					}
				}
			}
			kept.Kept.Drop(p)
		}
	}
}
