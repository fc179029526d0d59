package explore

import (
	"fmt"

	"afterimage/gan/metrics"
	"afterimage/nn/data"
	"afterimage/tensor"

	"gonum.org/v1/gonum/mat"
)

// Options say what Evaluate measures. Zero counts mean the defaults.
type Options struct {
	Name    string // of the inverter, for the report
	Images  int    // the first so many test images are reconstructed; 0: 2,000
	Draws   int    // of noise; 0: 1. Of 2 or more also the mean picture and the noise's share
	Gallery int    // rivals come from the first so many test images; 0: all
	Seed    uint64 // of noise, of the other images and of the bootstrap

	// TrueClass makes the rivals share the image's true class instead of the classifier's verdict,
	// as in the pilot.
	TrueClass bool

	Train       data.Dataset // for class means and the factor regressor; nil: neither
	TrainImages int          // so many of them; 0: 5,000
	Independent Network      // another classifier, never the inverted one; nil: none
	Space       string       // what its features are called in the report
	Control     Painter      // the label-conditioned inverter; nil: none
	LPIPS       Distance     // a perceptual distance, at the images' own size; nil: none
	LPIPSName   string       // its version and backbone
}

// A Distance says, pair by pair, how different images look; *lpips.Metric is one. The name LPIPS is
// kept for that: another network's distance must not be passed as it.
type Distance interface {
	// Distance returns one number for each pair of images; 0 for equal ones.
	Distance(a, b metrics.Images) []float64
}

func (o Options) withDefaults(test data.Dataset) Options {
	set := func(v *int, fallback, most int) {
		if *v == 0 {
			*v = fallback
		}
		*v = min(*v, most)
	}
	set(&o.Gallery, test.Len(), test.Len())
	set(&o.Images, 2000, o.Gallery)
	set(&o.Draws, 1, 1<<15)
	if o.Independent != nil && o.Space == "" {
		o.Space = "an independent network"
	}
	if o.Train != nil {
		set(&o.TrainImages, 5000, o.Train.Len())
	}
	return o
}

// An Evaluation is what Evaluate found. Intervals are over images only: one training seed.
type Evaluation struct {
	Name    string `json:"name"`
	Dataset string `json:"dataset"`
	Images  int    `json:"images"`  // test images 0 to Images−1
	Gallery int    `json:"gallery"` // test images that rivals come from
	// "predicted class" or "true class" is what rivals share
	Protocol string  `json:"protocol"`
	Rivals   float64 `json:"rivals"`             // mean number of them
	Unranked int     `json:"unranked,omitempty"` // images without any
	Seed     uint64  `json:"seed"`
	Draws    int     `json:"draws"`
	Space    string  `json:"independent,omitempty"`
	LPIPS    string  `json:"lpips,omitempty"` // version and backbone

	Accuracy metrics.Estimate `json:"classifier_accuracy"` // on those of these images with a label
	OneDraw  *Scores          `json:"one_draw"`
	MeanDraw *Scores          `json:"mean_picture,omitempty"` // the mean picture of all draws
	Noise    *NoiseShare      `json:"noise,omitempty"`
	Controls []*Scores        `json:"controls"`
	// one draw, this inverter − the label control
	OverLabel []Difference  `json:"minus_label_control,omitempty"`
	Factors   []FactorScore `json:"factors,omitempty"`
}

// The names of the controls. The other image is one of the rivals among which the true one is
// looked for, and nearest to itself: with R rivals it ranks 50/R points above chance.
const (
	ControlMean  = "class mean"  // mean training image of the class
	ControlOther = "other image" // another test image of the class
	ControlLabel = "label only"  // the label-conditioned inverter
)

// Control returns the control called name, or nil.
func (e *Evaluation) Control(name string) *Scores {
	for _, c := range e.Controls {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// A NoiseShare says how much of the variation of the 8×8 means comes from the noise.
type NoiseShare struct {
	Noise metrics.Estimate `json:"noise_variance"` // over draws, mean over images
	Image float64          `json:"image_variance"` // over images, within a draw
	Ratio metrics.Estimate `json:"noise_to_image"` // the image variance taken as known
}

// Evaluate reconstructs the first test images from the classifier's answers and measures how much
// of them came back: PSNR, SSIM, 8×8 error, retrieval among the other test images of the same
// class, agreement and logit distance, beside the controls; with several draws also of their mean
// picture, and the noise's share; on images with known factors, which of them came back.
//
// It returns an error if the images' size does not allow the measures or their labels are of other
// classes than the classifier's; it panics with *tensor.Error if networks and images do not fit.
func Evaluate(p Painter, test data.Dataset, o Options) (*Evaluation, error) {
	o = o.withDefaults(test)
	h, w, c := test.Size()
	if h%16 != 0 || w%16 != 0 || c != 3 {
		return nil, tensor.Refuse("explore: Evaluate: %s has images of %d×%d×%d: expected sides "+
			"divisible by 16 and 3 channels: give other images", test.Name(), h, w, c)
	}
	if o.Images < 2 {
		return nil, tensor.Refuse("explore: Evaluate: %d images: expected at least 2", o.Images)
	}
	if o.TrueClass && len(test.Classes()) == 0 {
		return nil, tensor.Refuse("explore: Evaluate: the images of %s have no labels: rivals can share "+
			"the predicted class, not the true one", test.Name())
	}
	if err := canJudge(o.Independent, test); err != nil {
		return nil, fmt.Errorf("explore: Evaluate: %w", err)
	}
	if m, _ := Load(test, 0, 1); len(test.Classes()) > 0 {
		if err := sameClasses(p.Ask(m), test); err != nil {
			return nil, fmt.Errorf("explore: Evaluate: %w", err)
		}
	}
	j, e := convene(p, test, o)
	if o.Control != nil {
		j.label = o.Control.Paint(j.answer, Noise{o.Seed, 0})
	}
	draws, mean := paint(p, j.answer, o)
	var err error
	if e.OneDraw, err = j.score(o.Name, draws.first); err != nil {
		return nil, err
	}
	if o.Draws > 1 {
		name := fmt.Sprintf("%s, mean of %d", o.Name, o.Draws)
		if e.MeanDraw, err = j.score(name, mean); err != nil {
			return nil, err
		}
		e.Noise = j.noise(draws.small)
	}
	if err := e.control(j, test, o); err != nil {
		return nil, err
	}
	return e, e.factors(j, test, o, draws.first)
}

// convene makes the jury: the true images, what the classifier says of them, and their rivals.
func convene(p Painter, test data.Dataset, o Options) (*jury, *Evaluation) {
	j := &jury{net: p, other: o.Independent, lpips: o.LPIPS, space: o.Space, seed: o.Seed}
	j.truth, _ = Load(test, 0, o.Images)
	j.answer = p.Ask(j.truth)
	j.gallery = survey(test, o.Gallery, p, o.Independent)
	e := &Evaluation{Name: o.Name, Dataset: test.Name(), Images: o.Images, Gallery: o.Gallery,
		Seed: o.Seed, Draws: o.Draws, Protocol: "predicted class", Space: o.Space, LPIPS: o.LPIPSName}
	class := j.gallery.predicts
	if o.TrueClass {
		e.Protocol, class = "true class", j.gallery.labels
	}
	j.lineup = metrics.FirstN(o.Images, class)
	count := map[int32]int{}
	for _, c := range class {
		count[c]++
	}
	var right []float64
	for i := range o.Images {
		rivals := count[class[i]] - 1
		if e.Rivals += float64(rivals) / float64(o.Images); rivals == 0 {
			e.Unranked++
		}
		switch j.gallery.labels[i] {
		case data.Unlabeled:
		case j.gallery.predicts[i]:
			right = append(right, 1)
		default:
			right = append(right, 0)
		}
	}
	e.Accuracy = metrics.Mean(right, j.key("accuracy"))
	return j, e
}

// draws are the pictures of several noise draws, of which only the first is kept in full.
type draws struct {
	first metrics.Images
	small []metrics.Images // 8×8
}

// paint makes the draws and their mean picture.
func paint(p Painter, a Answer, o Options) (draws, metrics.Images) {
	var d draws
	var sum []float64
	for k := range o.Draws {
		m := p.Paint(a, Noise{o.Seed, k}).In(metrics.Unit)
		if k == 0 {
			d.first, sum = m, make([]float64, len(m.Pix))
		}
		for i, v := range m.Pix {
			sum[i] += float64(v)
		}
		if o.Draws > 1 {
			d.small = append(d.small, shrink(m))
		}
	}
	pix := make([]float32, len(sum))
	for i, v := range sum {
		pix[i] = float32(v / float64(o.Draws))
	}
	return d, metrics.NewImages(d.first.N, d.first.H, d.first.W, d.first.C, metrics.Unit, pix)
}

// shrink returns the 8×8 block means as images.
func shrink(m metrics.Images) metrics.Images {
	return fromRows(metrics.BlockMeans(m, metrics.Grid), metrics.Grid)
}

// fromRows returns rows of g·g·3 numbers as g×g images in [0, 1], cut to that range.
func fromRows(x *mat.Dense, g int) metrics.Images {
	n, d := x.Dims()
	pix := make([]float32, 0, n*d)
	for i := range n {
		for _, v := range x.RawRowView(i) {
			pix = append(pix, float32(min(max(v, 0), 1)))
		}
	}
	return metrics.NewImages(n, g, g, d/(g*g), metrics.Unit, pix)
}

func (j *jury) noise(small []metrics.Images) *NoiseShare {
	split := metrics.NoiseVariance(small)
	image := make([]float64, len(split.Noise))
	for i := range image {
		image[i] = split.Image
	}
	return &NoiseShare{Noise: metrics.Mean(split.Noise, j.key("noise")), Image: split.Image,
		Ratio: metrics.PairedRatio(split.Noise, image, j.key("noise"))}
}

// control scores what knows the class and nothing else.
func (e *Evaluation) control(j *jury, test data.Dataset, o Options) error {
	type control struct {
		name     string
		pictures metrics.Images
	}
	var list []control
	if o.Train != nil {
		list = append(list, control{ControlMean, classMeans(o.Train, o.TrainImages,
			j.lineup.QueryClass)})
	}
	list = append(list, control{ControlOther, otherImages(j, test, o)})
	if o.Control != nil {
		list = append(list, control{ControlLabel, j.label})
	}
	for _, c := range list {
		s, err := j.score(c.name, c.pictures)
		if err != nil {
			return err
		}
		if c.name == ControlLabel {
			e.OverLabel = Pair(e.OneDraw.Images, s.Images, o.Seed)
		}
		s.Images = nil
		e.Controls = append(e.Controls, s)
	}
	return nil
}

// classMeans returns, for each wanted class, the mean of its images among the first n of ds; the
// mean of all stands in for a class without any.
func classMeans(ds data.Dataset, n int, want []int32) metrics.Images {
	h, w, c := ds.Size()
	size := h * w * c
	k := len(ds.Classes())
	sum, count := make([]float64, (k+1)*size), make([]float64, k+1)
	pix := make([]uint8, size)
	for i := range n {
		label := ds.Read(i, pix)
		for _, row := range []int{label, k} {
			if row < 0 {
				continue
			}
			count[row]++
			for p, v := range pix {
				sum[row*size+p] += float64(v)
			}
		}
	}
	out := make([]float32, 0, len(want)*size)
	for _, class := range want {
		row := int(class)
		if row < 0 || row >= k || count[row] == 0 {
			row = k
		}
		for _, v := range sum[row*size : (row+1)*size] {
			out = append(out, float32(v/(255*count[row])))
		}
	}
	return metrics.NewImages(len(want), h, w, c, metrics.Unit, out)
}

// otherImages returns, for each query, another gallery image of its class, drawn by the seed; for
// an image that is alone in its class, the next one in the gallery.
func otherImages(j *jury, test data.Dataset, o Options) metrics.Images {
	members := map[int32][]int{}
	for i, c := range j.lineup.GalleryClass {
		members[c] = append(members[c], i)
	}
	rng := tensor.NewRNG(tensor.NewKey(o.Seed, "explore/other"), 0)
	h, w, c := test.Size()
	pix := make([]uint8, len(j.lineup.Truth)*h*w*c)
	for i, truth := range j.lineup.Truth {
		list := members[j.lineup.QueryClass[i]]
		pick := (truth + 1) % o.Gallery
		if len(list) > 1 {
			at := rng.IntN(len(list) - 1)
			if pick = list[at]; pick >= truth { // list is increasing: step over the image itself
				pick = list[at+1]
			}
		}
		test.Read(pick, pix[i*h*w*c:(i+1)*h*w*c])
	}
	return metrics.FromBytes(len(j.lineup.Truth), h, w, c, pix)
}
