package explore

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"afterimage/gan/metrics"
	"afterimage/nn/data"

	"gonum.org/v1/gonum/mat"
)

// Load returns images lo to hi−1 of ds in [0, 1] and their labels.
func Load(ds data.Dataset, lo, hi int) (metrics.Images, []int32) {
	h, w, c := ds.Size()
	pix := make([]uint8, (hi-lo)*h*w*c)
	labels := make([]int32, hi-lo)
	for i := range labels {
		labels[i] = int32(ds.Read(lo+i, pix[i*h*w*c:(i+1)*h*w*c]))
	}
	return metrics.FromBytes(hi-lo, h, w, c, pix), labels
}

// askChunk is how many images of a whole split are in memory at a time.
const askChunk = 500

// A gallery is what is kept of the images that reconstructions are told apart from.
type gallery struct {
	blocks   *mat.Dense // [g 192] 8×8 means
	predicts []int32    // by the inverted classifier
	labels   []int32
	features *mat.Dense // [g F] of the independent network; nil without one
}

// survey passes the first n images of ds by the networks, a chunk at a time.
func survey(ds data.Dataset, n int, net, other Network) gallery {
	var g gallery
	var blocks, features []*mat.Dense
	for lo := 0; lo < n; lo += askChunk {
		m, labels := Load(ds, lo, min(lo+askChunk, n))
		blocks = append(blocks, metrics.BlockMeans(m, metrics.Grid))
		g.labels = append(g.labels, labels...)
		g.predicts = append(g.predicts, net.Ask(m).Classes()...)
		if other != nil {
			features = append(features, other.Ask(m).Features)
		}
	}
	g.blocks = stack(blocks)
	if other != nil {
		g.features = stack(features)
	}
	return g
}

// askAll asks a network about the first n images of ds and returns their 8×8 means with its
// answers.
func askAll(ds data.Dataset, n int, net Network) (*mat.Dense, Answer, []int32) {
	var blocks, logits, features []*mat.Dense
	var all []int32
	for lo := 0; lo < n; lo += askChunk {
		m, labels := Load(ds, lo, min(lo+askChunk, n))
		a := net.Ask(m)
		blocks = append(blocks, metrics.BlockMeans(m, metrics.Grid))
		logits, features = append(logits, a.Logits), append(features, a.Features)
		all = append(all, labels...)
	}
	return stack(blocks), Answer{stack(logits), stack(features)}, all
}

// stack puts matrices of one width below each other; without them, as of a classifier without
// features, it returns nil.
func stack(ms []*mat.Dense) *mat.Dense {
	n, d := 0, 0
	for _, m := range ms {
		if m == nil {
			return nil
		}
		r, c := m.Dims()
		n, d = n+r, c
	}
	out, at := metrics.NewDense(n, d), 0
	for _, m := range ms {
		r, _ := m.Dims()
		for i := range r {
			copy(out.RawRowView(at), m.RawRowView(i))
			at++
		}
	}
	return out
}

// rows returns the rows of m with the given indices; nil of nil.
func rows(m *mat.Dense, index []int) *mat.Dense {
	if m == nil {
		return nil
	}
	_, d := m.Dims()
	out := metrics.NewDense(len(index), d)
	for i, k := range index {
		copy(out.RawRowView(i), m.RawRowView(k))
	}
	return out
}

// pick returns the rows of an answer with the given indices.
func (a Answer) pick(index []int) Answer {
	return Answer{rows(a.Logits, index), rows(a.Features, index)}
}

// Values are one number for each image. In JSON they have five significant digits, and what is not
// finite is null.
type Values []float64

// MarshalJSON writes [0.25,null,3].
func (v Values) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, x := range v {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, x, 'g', 5, 64)
	}
	return append(out, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes; null becomes NaN.
func (v *Values) UnmarshalJSON(raw []byte) error {
	var list []*float64
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("explore: values: %w", err)
	}
	*v = make(Values, len(list))
	for i, x := range list {
		if (*v)[i] = math.NaN(); x != nil {
			(*v)[i] = *x
		}
	}
	return nil
}
