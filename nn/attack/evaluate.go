package attack

import (
	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/tensor"
)

// Predict returns the class of the largest logit for each image of x [N H W C] in [0, 1], on the
// host; of equal logits the first wins.
func Predict(s *tensor.Scope, m Model, x *tensor.Tensor) []int32 {
	g := autodiff.NewGraph(s.Backend())
	defer g.Close()
	logits := m.Forward(nn.NewCtx(g, nn.Eval), g.Const(x)).Tensor()
	idx := g.Scope().New(tensor.I32, x.Dim(0))
	s.Backend().ArgMax(idx, logits)
	return tensor.ToHost[int32](idx)
}

// Correct reports for each image of x [N H W C] whether the model predicts its label, I32 [N].
func Correct(s *tensor.Scope, m Model, x, labels *tensor.Tensor) []bool {
	pred, want := Predict(s, m, x), tensor.ToHost[int32](labels)
	ok := make([]bool, len(pred))
	for i := range ok {
		ok[i] = pred[i] == want[i]
	}
	return ok
}

// Evaluate reports for each image whether the model's answer is right and stays right under 1 +
// cfg.Restarts runs of PGD. A run attacks only the images that still stand. The runs use streams
// derived from key. first is the batch's first image's number in the data set: an image's random
// starts follow from key, run and its number, so that the size and composition of batches change
// nothing. The mean of the result is the robust accuracy.
func Evaluate(s *tensor.Scope, m Model, x, labels *tensor.Tensor, cfg Config, key tensor.Key,
	first int) []bool {
	pgd := func(w *tensor.Scope, x, labels *tensor.Tensor, run int, at []int32) *tensor.Tensor {
		return PGD(w, m, x, labels, cfg, runKey(key, run), tensor.FromSlice(w, numbers(first, at),
			len(at)))
	}
	return evaluate(s, m, x, labels, 1+cfg.Restarts, pgd)
}

// An adversary returns adversarial images for x; at holds the images' numbers in the whole batch.
type adversary func(s *tensor.Scope, x, labels *tensor.Tensor, run int, at []int32) *tensor.Tensor

// numbers returns the images' numbers in the data set.
func numbers(first int, at []int32) []int32 {
	out := make([]int32, len(at))
	for i, j := range at {
		out[i] = int32(first) + j
	}
	return out
}

// evaluate lets an adversary run several times on the images that still stand.
func evaluate(s *tensor.Scope, m Model, x, labels *tensor.Tensor, runs int,
	attack adversary) []bool {
	robust := Correct(s, m, x, labels)
	for run := range runs {
		var at []int32
		for i, ok := range robust {
			if ok {
				at = append(at, int32(i))
			}
		}
		if len(at) == 0 {
			break
		}
		w := s.Child()
		idx := tensor.FromSlice(w, at, len(at))
		xs, ys := rows(w, x, idx), labelRows(w, labels, at)
		adv := attack(w, xs, ys, run, at)
		for i, ok := range Correct(w, m, adv, ys) {
			robust[at[i]] = ok
		}
		w.Close()
	}
	return robust
}

// runKey derives the stream of one run; run 0 is key itself. The multiplier is 2⁶⁴/φ, odd, so that
// no two runs meet.
func runKey(key tensor.Key, run int) tensor.Key {
	return tensor.Key{Seed: key.Seed, Stream: key.Stream ^ uint64(run)*0x9E3779B97F4A7C15}
}

// rows returns the images of x that idx names.
func rows(s *tensor.Scope, x, idx *tensor.Tensor) *tensor.Tensor {
	shape := x.Shape().Clone()
	shape[0] = idx.Dim(0)
	out := s.New(x.DType(), shape...)
	s.Backend().Gather(out, x, idx)
	return out
}

// labelRows does the same for labels, on the host: they are few, and integers.
func labelRows(s *tensor.Scope, labels *tensor.Tensor, at []int32) *tensor.Tensor {
	all := tensor.ToHost[int32](labels)
	out := make([]int32, len(at))
	for i, j := range at {
		out[i] = all[j]
	}
	return tensor.FromSlice(s, out, len(out))
}
