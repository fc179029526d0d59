package conv

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"afterimage/tensor/cpu/gemm/micro"
	"afterimage/tensor/cpu/par"
)

// TestBatches: each function gives an image the same bits whatever the batch it is in, with weights
// packed for the call and kept. The shapes change their tiles or their form with the batch.
func TestBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, s := range []Shape{
		Square(7, 10, 10, 24, 40, 3, 1, 1), Square(20, 4, 4, 32, 48, 3, 1, 1),
		// Mapped on the way and as a whole, with a sum of one block, of two, and of three.
		Square(65, 8, 8, streamDepth, 34, 3, 1, 1), Square(65, 8, 8, streamDepth+32, 34, 3, 1, 1),
		Square(44, 10, 8, 48, 2*streamDepth+2, 3, 1, 1),
		Square(7, 9, 9, 3, 20, 3, 1, 1), Square(7, 9, 9, 20, 3, 3, 1, 1), // few channels
		Square(29, 5, 5, 64, 64, 3, 2, 1), Square(29, 4, 4, 40, 96, 3, 1, 1), // tiles of images
		Square(16, 8, 8, 700, 64, 1, 1, 0), Square(16, 8, 8, 16, 1100, 1, 1, 0), // a product
	} {
		checkBatches(t, rng, s)
	}
}

// checkBatches compares all images of s at once with batches of one, of three, and of most.
func checkBatches(t *testing.T, rng *rand.Rand, s Shape) {
	t.Helper()
	p := par.New(2)
	defer p.Close()
	in, out := s.H*s.W*s.C, s.OutH()*s.OutW()*s.O
	x, dy := random(rng, s.N*in), random(rng, s.N*out)
	w, bias := random(rng, s.O*s.KH*s.KW*s.C), random(rng, s.O)
	for _, f := range batchForms(s) {
		from, size, made, bias := x, in, out, bias
		if f.grad {
			from, size, made, bias = dy, out, in, nil
		}
		for _, keep := range []bool{false, true} {
			var kept *par.Kept
			if keep {
				kept = new(par.Kept)
			}
			call := func(n0, n1 int) []float32 {
				part, to := s, make([]float32, (n1-n0)*made)
				part.N = n1 - n0
				f.call(part, p, to, from[n0*size:n1*size], w, Epilogue{Bias: bias, Kept: kept})
				return to
			}
			whole := call(0, s.N)
			for _, batch := range []int{1, 3, s.N - 1} {
				for n0 := 0; n0 < min(s.N, 2*batch); n0 += batch {
					n1 := min(s.N, n0+batch)
					if !slices.Equal(call(n0, n1), whole[n0*made:n1*made]) {
						t.Errorf("%s: images %d to %d differ in a batch of their own: kept %v, %+v", f.name,
							n0, n1-1, keep, s)
					}
				}
			}
			if keep {
				kept.Drop(p)
			}
		}
	}
}

// A batchForm is a function whose images are independent; gradients take of e what it keeps.
type batchForm struct {
	name string
	grad bool
	call func(s Shape, p *par.Pool, to, from, w []float32, e Epilogue)
}

// batchForms are those that can compute s, of every variant.
func batchForms(s Shape) (list []batchForm) {
	add := func(name string, grad bool, call func(Shape, *par.Pool, []float32, []float32, []float32,
		Epilogue)) {
		list = append(list, batchForm{name, grad, call})
	}
	for _, v := range micro.Variants() {
		if testing.Short() && v != micro.Best() {
			continue
		}
		add(fmt.Sprintf("forward, %v", v), false,
			func(s Shape, p *par.Pool, y, x, w []float32, e Epilogue) { s.forward(v, p, y, x, w, e) })
		add(fmt.Sprintf("input gradient, %v", v), true,
			func(s Shape, p *par.Pool, dx, dy, w []float32, e Epilogue) {
				s.inputGrad(v, p, dx, dy, w, e.Kept)
			})
		if s.winogradApplies() {
			add(fmt.Sprintf("Winograd's forward, %v", v), false,
				func(s Shape, p *par.Pool, y, x, w []float32, e Epilogue) {
					s.forwardWinograd(v, p, y, x, w, e)
				})
			add(fmt.Sprintf("Winograd's input gradient, %v", v), true,
				func(s Shape, p *par.Pool, dx, dy, w []float32, e Epilogue) {
					s.inputGradWinograd(v, p, dx, dy, w)
				})
		}
	}
	v, ok := micro.BestBF16()
	if !ok {
		v = micro.GenericBF16
	}
	if s.bf16Applies(DirForward) {
		add("forward, bfloat16", false, func(s Shape, p *par.Pool, y, x, w []float32, e Epilogue) {
			s.forwardBF16(v, p, y, x, w, e)
		})
	}
	if s.bf16Applies(DirInputGrad) {
		add("input gradient, bfloat16", true,
			func(s Shape, p *par.Pool, dx, dy, w []float32, e Epilogue) {
				s.inputGradBF16(v, p, dx, dy, w, e.Kept)
			})
	}
	return list
}
