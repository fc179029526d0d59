package ref

import (
	"math"

	"afterimage/tensor"
)

// FusesAttention reports true; see tensor.AttentionFuser.
func (b *Backend) FusesAttention(q, k, v *tensor.Tensor) bool { return true }

// Attention computes y = softmax(scale·q·kᵀ)·v and lse; see tensor.AttentionFuser.
func (b *Backend) Attention(y, lse, q, k, v *tensor.Tensor, scale float64) {
	a := newAttention(q, k, v, scale)
	out, sums := make([]float64, y.Size()), make([]float64, lse.Size())
	for row := range sums {
		scores, top, sum := a.scores(row), math.Inf(-1), 0.0
		for _, s := range scores {
			top = max(top, s)
		}
		for _, s := range scores {
			sum += math.Exp(s - top)
		}
		sums[row] = top + math.Log(sum)
		for j, s := range scores {
			p := math.Exp(s-top) / sum
			for e, x := range a.value(row, j) {
				out[row*a.e+e] += p * x
			}
		}
	}
	store(y, out)
	store(lse, sums)
}

// AttentionGrad computes the gradients of Attention; see tensor.AttentionFuser.
func (b *Backend) AttentionGrad(
	dq, dk, dv, dy, y, lse, q, k, v *tensor.Tensor, scale float64,
) {
	a := newAttention(q, k, v, scale)
	dys, ys, sums := dy.Floats(), y.Floats(), lse.Floats()
	gq, gk, gv := make([]float64, len(a.q)), make([]float64, len(a.k)), make([]float64, len(a.v))
	for row, sum := range sums {
		g := dys[row*a.e : (row+1)*a.e]
		delta, query := dot(g, ys[row*a.e:]), a.q[row*a.d:(row+1)*a.d]
		for j, s := range a.scores(row) {
			p, key := math.Exp(s-sum), a.key(row, j)
			ds := scale * p * (dot(g, a.value(row, j)) - delta)
			for i, x := range query {
				gq[row*a.d+i] += ds * a.k[key+i]
				gk[key+i] += ds * x
			}
			for e, x := range g {
				gv[(row/a.l*a.m+j)*a.e+e] += p * x
			}
		}
	}
	for d, g := range map[*tensor.Tensor][]float64{dq: gq, dk: gk, dv: gv} {
		if d != nil {
			store(d, g)
		}
	}
}

// attention holds the operands; a row counts the queries of all samples.
type attention struct {
	q, k, v    []float64
	l, m, d, e int
	scale      float64
}

func newAttention(q, k, v *tensor.Tensor, scale float64) attention {
	return attention{q.Floats(), k.Floats(), v.Floats(), q.Dim(1), k.Dim(1), q.Dim(2), v.Dim(2),
		scale}
}

// key returns where key j of a row's sample begins.
func (a attention) key(row, j int) int { return (row/a.l*a.m + j) * a.d }

// value returns value j of a row's sample.
func (a attention) value(row, j int) []float64 {
	at := (row/a.l*a.m + j) * a.e
	return a.v[at : at+a.e]
}

// scores returns a row of scale·q·kᵀ.
func (a attention) scores(row int) []float64 {
	s := make([]float64, a.m)
	for j := range s {
		s[j] = a.scale * dot(a.q[row*a.d:(row+1)*a.d], a.k[a.key(row, j):])
	}
	return s
}

// dot returns Σ x·y over x's elements.
func dot(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}
