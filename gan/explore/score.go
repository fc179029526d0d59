package explore

import (
	"fmt"
	"math"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// A Rank is a retrieval: where the true image stands among its rivals by closeness to the
// reconstruction, in percent; 0 is first, 50 is chance (metrics.Retrieval).
type Rank struct {
	Median metrics.Estimate `json:"median"`
	Mean   metrics.Estimate `json:"mean"`
}

// Scores are the measures of one set of pictures against the images they stand for.
type Scores struct {
	Name      string            `json:"name"`
	Retrieval Rank              `json:"retrieval"` // by 8×8 block means
	MSE8      metrics.Estimate  `json:"mse8"`
	PSNR      metrics.Estimate  `json:"psnr"`
	SSIM      metrics.Estimate  `json:"ssim"`            // Gaussian window, metrics.SSIMGaussian
	LPIPS     *metrics.Estimate `json:"lpips,omitempty"` // if such a distance was given
	Agreement metrics.Estimate  `json:"agree"`           // the classifier sees the image's class again
	Logits    metrics.Estimate  `json:"logit_distance"`
	Images    *PerImage         `json:"per_image,omitempty"`

	// By an independent network, where there is one: retrieval by its features, whether it sees that
	// class, and the pictures as a set against the true images, by Fréchet distance alone and with
	// KID, precision and recall.
	ByFeature *Rank                    `json:"retrieval_feature,omitempty"`
	Elsewhere *metrics.Estimate        `json:"agree_independent,omitempty"`
	Frechet   *metrics.FrechetDistance `json:"frechet,omitempty"`
	Sets      *metrics.SetDistance     `json:"sets,omitempty"`
}

// PerImage holds the values behind the means, to be paired with another inverter's.
type PerImage struct {
	Rank      Values `json:"rank"` // NaN for an image without rivals
	Feature   Values `json:"rank_feature,omitempty"`
	MSE8      Values `json:"mse8"`
	PSNR      Values `json:"psnr"`
	SSIM      Values `json:"ssim"`
	LPIPS     Values `json:"lpips,omitempty"`
	Agreement Values `json:"agree"`
	Logits    Values `json:"logit_distance"`
}

// A jury scores pictures that stand for the first n images of a gallery.
type jury struct {
	net, other Network
	lpips      Distance
	truth      metrics.Images
	answer     Answer         // the classifier's, of the true images
	label      metrics.Images // what the label control painted; none without one
	gallery    gallery
	lineup     metrics.Lineup
	space      string // what the independent network's features are called
	seed       uint64
}

func (j *jury) key(name string) tensor.Key { return bootstrapKey(j.seed, name) }

// bootstrapKey returns the stream of the resamples behind the interval called name.
func bootstrapKey(seed uint64, name string) tensor.Key {
	return tensor.NewKey(seed, "explore/bootstrap/"+name)
}

// rank returns the retrieval of queries in a gallery and its estimates.
func (j *jury) rank(queries, in *mat.Dense) (Values, Rank) {
	r := metrics.Retrieval(queries, in, j.lineup)
	ok := metrics.Defined(r)
	return r, Rank{metrics.Median(ok, j.key("rank")), metrics.Mean(ok, j.key("rank"))}
}

// score measures the pictures m.
func (j *jury) score(name string, m metrics.Images) (*Scores, error) {
	n := m.N
	p := &PerImage{MSE8: metrics.MSE8(m, j.truth), PSNR: metrics.PSNR(m, j.truth),
		SSIM: metrics.SSIM(m, j.truth, metrics.SSIMGaussian)}
	s := &Scores{Name: name, Images: p}
	p.Rank, s.Retrieval = j.rank(metrics.BlockMeans(m, metrics.Grid), j.gallery.blocks)
	a := j.net.Ask(m)
	p.Agreement = metrics.Agreement(a.Logits, j.answer.Logits)
	p.Logits = metrics.LogitDistance(a.Logits, j.answer.Logits)
	s.MSE8, s.PSNR = metrics.Mean(p.MSE8, j.key("mse8")), metrics.Mean(p.PSNR, j.key("psnr"))
	s.SSIM = metrics.Mean(p.SSIM, j.key("ssim"))
	s.Agreement = metrics.Mean(p.Agreement, j.key("agree"))
	s.Logits = metrics.Mean(metrics.Defined(p.Logits), j.key("logits"))
	if j.lpips != nil {
		p.LPIPS = j.lpips.Distance(m, j.truth)
		e := metrics.Mean(p.LPIPS, j.key("lpips"))
		s.LPIPS = &e
	}
	if j.other == nil {
		return s, nil
	}
	o := j.other.Ask(m)
	var rank Rank
	p.Feature, rank = j.rank(o.Features, j.gallery.features)
	s.ByFeature = &rank
	if _, k := o.Logits.Dims(); k == width(j.answer.Logits) {
		e := metrics.Mean(metrics.Agreement(o.Logits, j.answer.Logits), j.key("agree"))
		s.Elsewhere = &e
	}
	if n < 2 {
		return s, nil
	}
	real := j.gallery.features.Slice(0, n, 0, width(j.gallery.features)).(*mat.Dense)
	sets, err := metrics.CompareSets(metrics.NewFeatures(j.space, real),
		metrics.NewFeatures(j.space, o.Features), j.key("kid"))
	s.Sets = &sets
	s.Frechet = &metrics.FrechetDistance{Space: sets.Space, Dim: sets.Dim, N: sets.M, M: sets.N,
		Value: sets.Frechet}
	return s, err
}

func width(m *mat.Dense) int {
	_, d := m.Dims()
	return d
}

// A Difference compares two sets of pictures of the same images: A − B, paired.
type Difference struct {
	Name     string           `json:"name"`
	Unit     string           `json:"unit,omitempty"`
	Better   string           `json:"better,omitempty"` // for A: "lower" or "higher"
	Estimate metrics.Estimate `json:"a_minus_b"`
}

// String returns "retrieval, median: −14.4 [−16.5, −10.4] points".
func (d Difference) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %v %s", d.Name, d.Estimate, d.Unit))
}

// Pair returns a − b over the same images, for the measures both have. Images without rivals on
// either side are left out of the ranks.
func Pair(a, b *PerImage, seed uint64) []Difference {
	key := func(name string) tensor.Key { return tensor.NewKey(seed, "explore/pair/"+name) }
	var out []Difference
	add := func(name, unit, better string, x, y Values, stat func(a, b []float64,
		k tensor.Key) metrics.Estimate) {
		if len(x) == 0 || len(x) != len(y) {
			return
		}
		var l, r []float64
		for i := range x {
			if finite(x[i]) && finite(y[i]) {
				l, r = append(l, x[i]), append(r, y[i])
			}
		}
		out = append(out, Difference{name, unit, better, stat(l, r, key(name))})
	}
	add("retrieval, median", "points", "lower", a.Rank, b.Rank, metrics.PairedMedian)
	add("retrieval, mean", "points", "lower", a.Rank, b.Rank, metrics.PairedMean)
	add("retrieval by features, median", "points", "lower", a.Feature, b.Feature,
		metrics.PairedMedian)
	add("8×8 error", "", "lower", a.MSE8, b.MSE8, metrics.PairedMean)
	add("PSNR", "dB", "higher", a.PSNR, b.PSNR, metrics.PairedMean)
	add("SSIM", "", "higher", a.SSIM, b.SSIM, metrics.PairedMean)
	add("LPIPS", "", "lower", a.LPIPS, b.LPIPS, metrics.PairedMean)
	add("same class", "", "higher", a.Agreement, b.Agreement, metrics.PairedMean)
	add("logit distance", "", "lower", a.Logits, b.Logits, metrics.PairedMean)
	return out
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
