package metrics

import (
	"fmt"
	"math"

	"afterimage/tensor"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// A FrechetDistance is a Fréchet distance with what it was measured in. It is never "FID": that
// name belongs to one Inception network. It depends on the sample sizes: compare equal ones only.
type FrechetDistance struct {
	Space string  // the network and layer whose features were taken
	Dim   int     // number of features
	N, M  int     // samples on either side
	Value float64 // ≥ 0
}

// String names the space and the sample sizes with the value.
func (f FrechetDistance) String() string {
	return fmt.Sprintf("%.4g (Fréchet distance in %s, %d features, %d and %d samples)",
		f.Value, f.Space, f.Dim, f.N, f.M)
}

// Frechet returns the Fréchet distance between Gaussians fitted to the rows of a [n, d] and
// b [m, d], features named by space:
//
//	|μa − μb|² + tr(Sa + Sb − 2·(Sa·Sb)^½)
//
// with sample covariances (n−1). The trace of the root is Σ √eig(R·Sb·R), R = Sa^½, so only
// symmetric eigenproblems are solved; negative eigenvalues, which are rounding, count as 0.
// It panics with fewer than two rows, differing widths or values that are not finite; it returns
// an error if an eigenproblem does not converge. Source: Heusel et al. 2017.
func Frechet(space string, a, b *mat.Dense) (FrechetDistance, error) {
	const op = "metrics.Frechet"
	n, d := a.Dims()
	m, bd := b.Dims()
	if n < 2 || m < 2 || d != bd {
		fail(op, "expected at least two rows of equal width, got [%d %d] and [%d %d]", n, d, m, bd)
	}
	checkFinite(op, "a", a)
	checkFinite(op, "b", b)
	var sa, sb mat.SymDense
	stat.CovarianceMatrix(&sa, a, nil)
	stat.CovarianceMatrix(&sb, b, nil)
	sum := squaredDistance(columnMeans(a), columnMeans(b)) + mat.Trace(&sa) + mat.Trace(&sb)

	var eig mat.EigenSym
	if !eig.Factorize(&sa, true) {
		return FrechetDistance{}, tensor.Refuse("metrics: Frechet: the covariance of a has no " +
			"eigenvalues: look for huge features")
	}
	var vec, half, root, prod mat.Dense
	eig.VectorsTo(&vec)
	half.Apply(func(_, j int, v float64) float64 { return v * sqrtClip(eig.RawValues()[j]) }, &vec)
	root.Mul(&half, vec.T())
	prod.Mul(&root, &sb)
	half.Mul(&prod, &root)
	sym := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			sym.SetSym(i, j, (half.At(i, j)+half.At(j, i))/2)
		}
	}
	if !eig.Factorize(sym, false) {
		return FrechetDistance{}, tensor.Refuse("metrics: Frechet: the covariances' product has no " +
			"eigenvalues: look for huge features")
	}
	for _, v := range eig.RawValues() {
		sum -= 2 * sqrtClip(v)
	}
	return FrechetDistance{space, d, n, m, max(sum, 0)}, nil
}

func sqrtClip(v float64) float64 { return math.Sqrt(max(v, 0)) }

func columnMeans(a *mat.Dense) []float64 {
	n, d := a.Dims()
	out := make([]float64, d)
	for i := range n {
		for j, v := range a.RawRowView(i) {
			out[j] += v
		}
	}
	for j := range out {
		out[j] /= float64(n)
	}
	return out
}

// KID returns the kernel distance between feature rows a [n, d] and b [m, d]: the mean and
// standard deviation, over random subsets of the given size, of the unbiased squared maximum mean
// discrepancy with kernel (x·y/d + 1)³. Unlike the Fréchet distance it is unbiased for small
// samples, so a value may be slightly negative. Subsets are drawn without replacement by key.
// It panics if subsets < 1, size < 2 or size exceeds either sample. Source: Bińkowski et al. 2018.
func KID(a, b *mat.Dense, subsets, size int, key tensor.Key) (mu, sd float64) {
	const op = "metrics.KID"
	n, d := a.Dims()
	m, bd := b.Dims()
	if d != bd || subsets < 1 || size < 2 || size > n || size > m {
		fail(op, "%d subsets of %d rows from [%d %d] and [%d %d]", subsets, size, n, d, m, bd)
	}
	vals := make([]float64, subsets)
	for s := range vals {
		rng := tensor.NewRNG(key, uint32(s))
		x := pickRows(a, rng.Perm(n)[:size])
		y := pickRows(b, rng.Perm(m)[:size])
		k := float64(size)
		vals[s] = (kernelSum(x, x, true)+kernelSum(y, y, true))/(k*(k-1)) -
			2*kernelSum(x, y, false)/(k*k)
	}
	if subsets > 1 {
		sd = math.Sqrt(variance(vals))
	}
	return Average(vals), sd
}

func pickRows(a *mat.Dense, idx []int) *mat.Dense {
	_, d := a.Dims()
	out := mat.NewDense(len(idx), d, nil)
	for i, j := range idx {
		out.SetRow(i, a.RawRowView(j))
	}
	return out
}

// kernelSum sums (x·y/d + 1)³ over all pairs of rows, without the diagonal if skip is set.
func kernelSum(x, y *mat.Dense, skip bool) float64 {
	var g mat.Dense
	g.Mul(x, y.T())
	_, d := x.Dims()
	n, _ := g.Dims()
	sum := 0.0
	for i := range n {
		for j, v := range g.RawRowView(i) {
			if skip && i == j {
				continue
			}
			k := v/float64(d) + 1
			sum += k * k * k
		}
	}
	return sum
}
