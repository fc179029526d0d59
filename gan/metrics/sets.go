package metrics

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"afterimage/tensor"
)

// Features are the descriptions of a set of images by one network, a row an image [n, d]. The space
// names the network and the layer: distances between sets mean nothing without it, and sets
// described in different spaces are not compared.
type Features struct {
	Space string
	Rows  *mat.Dense
}

// NewFeatures returns features of the named space. It panics if the space has no name, there is no
// row, or a value is not finite.
func NewFeatures(space string, rows *mat.Dense) Features {
	const op = "metrics.NewFeatures"
	if space == "" || rows == nil || rows.IsEmpty() {
		fail(op, "expected a named space and at least one row, got %q", space)
	}
	checkFinite(op, "rows", rows)
	return Features{space, rows}
}

// N returns the number of images.
func (f Features) N() int { n, _ := f.Rows.Dims(); return n }

// The protocol of Compare: KID's own subsets, and the neighbourhood of its paper's successor.
const (
	KIDSubsets = 100  // Bińkowski et al. 2018, section 5
	KIDSize    = 1000 // of a subset; smaller samples are one subset, all of them
	Neighbours = 3    // Kynkäänniemi et al. 2019, section 2
)

// A SetDistance says how far two sets of images are apart in a named feature space. All but KID
// depend on the sizes of the samples: compare equal ones only.
type SetDistance struct {
	Space   string  `json:"space"`
	Dim     int     `json:"features"`
	N       int     `json:"n"` // images of a
	M       int     `json:"m"` // images of b
	Frechet float64 `json:"frechet"`
	KID     float64 `json:"kid"`
	KIDSd   float64 `json:"kid_sd"` // over Subsets
	Subsets int     `json:"kid_subsets"`
	Size    int     `json:"kid_size"`  // images of a subset
	Prec    float64 `json:"precision"` // share of b among a's neighbourhoods
	Recall  float64 `json:"recall"`    // share of a among b's
	K       int     `json:"neighbours"`
}

// CompareSets measures b against a, say painted images against real ones: Frechet, KID over
// KIDSubsets subsets of KIDSize images (one of all of them where a set is no larger), and
// PrecisionRecall with Neighbours, fewer for sets of three images or less. The key draws KID's
// subsets. It panics if the spaces differ or a set has fewer than two images, and returns an error
// if an eigenproblem does not converge.
func CompareSets(a, b Features, key tensor.Key) (SetDistance, error) {
	if a.Space != b.Space {
		fail("metrics.CompareSets", "a lies in %q, b in %q: describe both by one network", a.Space,
			b.Space)
	}
	f, err := Frechet(a.Space, a.Rows, b.Rows)
	if err != nil {
		return SetDistance{}, err
	}
	least := min(f.N, f.M)
	s := SetDistance{Space: f.Space, Dim: f.Dim, N: f.N, M: f.M, Frechet: f.Value,
		Subsets: KIDSubsets, Size: KIDSize, K: min(Neighbours, least-1)}
	if least <= KIDSize {
		s.Subsets, s.Size = 1, least
	}
	s.KID, s.KIDSd = KID(a.Rows, b.Rows, s.Subsets, s.Size, key)
	s.Prec, s.Recall = PrecisionRecall(a.Rows, b.Rows, s.K)
	return s, nil
}

// String names the space, the samples and each number's protocol.
func (s SetDistance) String() string {
	kid := fmt.Sprintf("%.4g", s.KID)
	if s.Subsets > 1 {
		kid += fmt.Sprintf(" ± %.2g (%d subsets of %d)", s.KIDSd, s.Subsets, s.Size)
	}
	return fmt.Sprintf("in %s, %d features, %d and %d images: Fréchet distance %.4g, KID %s, "+
		"precision %.3f, recall %.3f (%d neighbours)", s.Space, s.Dim, s.N, s.M, s.Frechet, kid,
		s.Prec, s.Recall, s.K)
}

// PrecisionRecall returns which share of the rows of fake [m, d] lies in the support of real
// [n, d], and which share of real in that of fake. The support of a set is estimated as the union
// of closed balls round its rows, each reaching to the row's k-th nearest neighbour in the set
// (itself not counted). Both are in [0, 1]: precision falls when images are not plausible, recall
// when plausible ones are missing. It panics unless 1 ≤ k < n, m and the widths agree.
//
// Source: Kynkäänniemi et al., "Improved precision and recall metric", NeurIPS 2019, equation 1.
func PrecisionRecall(real, fake *mat.Dense, k int) (precision, recall float64) {
	const op = "metrics.PrecisionRecall"
	n, d := real.Dims()
	m, fd := fake.Dims()
	if d != fd || k < 1 || k >= n || k >= m {
		fail(op, "%d neighbours in [%d %d] and [%d %d]: expected 1 ≤ k < both numbers of rows", k, n,
			d, m, fd)
	}
	checkFinite(op, "real", real)
	checkFinite(op, "fake", fake)
	return covered(real, fake, k), covered(fake, real, k)
}

// covered returns the share of rows of x that lie in the support of set.
func covered(set, x *mat.Dense, k int) float64 {
	n, _ := set.Dims()
	m, _ := x.Dims()
	radius, near := make([]float64, n), make([]float64, n)
	for i := range n {
		for j := range n {
			near[j] = squaredDistance(set.RawRowView(i), set.RawRowView(j))
		}
		near[i] = math.Inf(1) // the row itself
		slices.Sort(near)
		radius[i] = near[k-1]
	}
	inside := 0
	for j := range m {
		for i := range n {
			if squaredDistance(set.RawRowView(i), x.RawRowView(j)) <= radius[i] {
				inside++
				break
			}
		}
	}
	return float64(inside) / float64(m)
}
