package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"afterimage/gan/metrics"
	"afterimage/gan/metrics/lpips"
	"afterimage/tensor"
)

type compareCmd struct {
	A string `arg:"" help:"An image (PNG or JPEG) or a folder of images." placeholder:"A"`
	B string `arg:"" help:"Another image, or a folder of images: those of the same names are compared one by one." placeholder:"B"`
	lpipsFlags
	Features     string       `help:"Network whose features folders are compared in as sets: a classifier (a run directory, a file of weights, or an ONNX file), shipped:NAME, or lpips, the backbone of LPIPS (default: lpips where its weights are named)." placeholder:"NETWORK"`
	FeaturesFile foreignFlags `embed:"" prefix:"features-"`
	JSON         bool         `help:"Print the result as JSON." name:"json"`
}

// An lpipsFlags names the weights of LPIPS.
type lpipsFlags struct {
	Weights string `name:"lpips-weights" help:"Folder that holds LPIPS v0.1's linear weights (squeeze.pth, also in weights/v0.1) and torchvision's backbone (squeezenet1_1*, also in models/imagenet)." placeholder:"DIR"`
	Net     string `name:"lpips-net" help:"Backbone of LPIPS: squeeze, alex or vgg." enum:"squeeze,alex,vgg" default:"squeeze"`
}

// metric reads the weights into s. If the flag names no folder, elsewhere is searched, and not
// finding the weights there is no error: the metric is nil then, and missing says what was not
// found.
func (f lpipsFlags) metric(
	s *tensor.Scope, elsewhere string,
) (m *lpips.Metric, missing, err error) {
	net, dir := lpips.Net(f.Net), f.Weights
	if dir == "" {
		dir = elsewhere
	}
	files, err := lpips.Find(dir, net)
	switch {
	case err != nil && f.Weights == "":
		return nil, err, nil
	case err != nil:
		return nil, nil, tensor.Refuse("--lpips-weights: %w", err)
	}
	m, err = lpips.Open(s, files.Backbone, files.Linear, net)
	return m, nil, err
}

// Help shows examples under the flags.
func (compareCmd) Help() string {
	return `Two folders are matched by the names of their images, without the extension; subfolders
are searched, too. Transparent pixels are laid over white; nothing is resized.

Folders are also compared as sets, whether names match or not: Fréchet distance, KID, precision and
recall (of B against A) in the features of a network that is named beside the numbers. They can be
compared with numbers from the same network and as many images, never with a published FID.

Examples:
  afterimage compare original.png reconstruction.png
  afterimage compare originals reconstructions --lpips-weights ~/data --json
  afterimage compare real painted --features runs/standard
  afterimage compare real painted --features mine.onnx --features-input-scale 255
  afterimage compare photographs generated --lpips-weights ~/data --features lpips`
}

// A comparison is what compare reports.
type comparison struct {
	A       string           `json:"a"`
	B       string           `json:"b"`
	LPIPS   string           `json:"lpips,omitempty"` // version and backbone; empty: not measured
	Pairs   []comparedPair   `json:"pairs"`
	Mean    *comparisonMeans `json:"mean,omitempty"` // of two folders
	OnlyInA []string         `json:"only_in_a,omitempty"`
	OnlyInB []string         `json:"only_in_b,omitempty"`

	Sets   *metrics.SetDistance `json:"sets,omitempty"` // of two folders
	NoSets string               `json:"no_sets,omitempty"`
}

// A comparedPair holds the measures of two images.
type comparedPair struct {
	Name      string `json:"name"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Identical bool   `json:"identical"`     // the PSNR is infinite then
	PSNR      number `json:"psnr"`          // dB
	SSIM      number `json:"ssim_gaussian"` // Wang et al. 2004
	SSIM7     number `json:"ssim_uniform"`  // scikit-image's default
	MSE8      number `json:"mse8"`          // of [0, 1]
	LPIPS     number `json:"lpips"`
}

// comparisonMeans are means over the pairs in which a measure is defined.
type comparisonMeans struct {
	PSNR  metrics.Estimate  `json:"psnr"`
	SSIM  metrics.Estimate  `json:"ssim_gaussian"`
	SSIM7 metrics.Estimate  `json:"ssim_uniform"`
	MSE8  metrics.Estimate  `json:"mse8"`
	LPIPS *metrics.Estimate `json:"lpips,omitempty"`
}

// A number is NaN where a measure is not defined; NaN and infinity are null in JSON.
type number float64

// MarshalJSON writes null for what JSON has no number for.
func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// format shows n with the given number of decimals.
func (n number) format(decimals int) string {
	switch v := float64(n); {
	case math.IsNaN(v):
		return "n/a"
	case math.IsInf(v, 1):
		return "∞"
	}
	return fmt.Sprintf("%.*f", decimals, float64(n))
}

// Run compares two images or two folders.
func (c *compareCmd) Run(e *env) error {
	r := &comparison{A: c.A, B: c.B}
	work, err := r.match(c.Weights != "" || c.Features != "")
	if err != nil {
		return err
	}
	if c.Weights == "" && c.Features == "" {
		err = r.measure(work, nil, nil)
	} else {
		err = c.withNetworks(e, r, work)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(r)
	}
	r.print(e)
	return nil
}

// withNetworks measures what needs a network, too.
func (c *compareCmd) withNetworks(e *env, r *comparison, work []picturePair) error {
	_, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	var metric *lpips.Metric
	if c.Weights != "" {
		if metric, _, err = c.metric(s, ""); err != nil {
			return err
		}
		r.LPIPS = metric.Net().Title()
	}
	embed, err := c.embedder(e, s, metric)
	if err != nil {
		return err
	}
	return r.measure(work, metric, embed)
}

// measure compares the pairs and, of two folders, the sets.
func (r *comparison) measure(work []picturePair, metric *lpips.Metric, embed *embedder) error {
	for _, w := range work {
		p, err := w.measure(metric)
		if err != nil {
			return err
		}
		r.Pairs = append(r.Pairs, p)
	}
	if !isDir(r.A) {
		return nil
	}
	if len(r.Pairs) > 0 {
		r.average()
	}
	if embed == nil {
		r.NoSets = "--features NETWORK or --lpips-weights DIR names the network to do it with"
		return nil
	}
	return r.compareSets(embed)
}

// A picturePair names two image files to be compared.
type picturePair struct{ name, a, b string }

// match lists the pairs to be compared, in the order of their names. Two folders that are compared
// as sets need not have any.
func (r *comparison) match(sets bool) ([]picturePair, error) {
	for _, p := range []string{r.A, r.B} {
		if _, err := os.Stat(p); err != nil {
			return nil, tensor.Refuse("compare: %s: %w; give two images or two folders", p,
				causeOf(err))
		}
	}
	switch da, db := isDir(r.A), isDir(r.B); {
	case !da && !db:
		return []picturePair{{filepath.Base(r.A), r.A, r.B}}, nil
	case da != db:
		return nil, tensor.Refuse("compare: one of %s and %s is a folder, the other is not: "+
			"give two images or two folders", r.A, r.B)
	}
	a, err := listPictures(r.A)
	if err != nil {
		return nil, err
	}
	b, err := listPictures(r.B)
	if err != nil {
		return nil, err
	}
	var out []picturePair
	for _, name := range sortedNames(a) {
		if other, ok := b[name]; ok {
			out = append(out, picturePair{name, a[name], other})
		} else {
			r.OnlyInA = append(r.OnlyInA, name)
		}
	}
	for _, name := range sortedNames(b) {
		if _, ok := a[name]; !ok {
			r.OnlyInB = append(r.OnlyInB, name)
		}
	}
	if len(out) == 0 && !sets {
		return nil, tensor.Refuse("compare: no image of %s (%s) has its name in %s (%s): "+
			"give corresponding images the same names, or --features to compare the folders as sets",
			r.A, firstNames(r.OnlyInA), r.B, firstNames(r.OnlyInB))
	}
	return out, nil
}

// measure reads and compares one pair.
func (w picturePair) measure(metric *lpips.Metric) (comparedPair, error) {
	a, err := readPicture(w.a)
	if err != nil {
		return comparedPair{}, err
	}
	b, err := readPicture(w.b)
	if err != nil {
		return comparedPair{}, err
	}
	if a.H != b.H || a.W != b.W {
		return comparedPair{}, tensor.Refuse("compare: %s is %d×%d, %s is %d×%d: "+
			"resize one of them first", w.a, a.W, a.H, w.b, b.W, b.H)
	}
	nan := number(math.NaN())
	p := comparedPair{Name: w.name, Width: a.W, Height: a.H, PSNR: number(metrics.PSNR(a, b)[0]),
		SSIM: nan, SSIM7: nan, MSE8: nan, LPIPS: nan}
	p.Identical = math.IsInf(float64(p.PSNR), 1)
	side := min(a.W, a.H)
	if side >= metrics.SSIMGaussian.Side() {
		p.SSIM = number(metrics.SSIM(a, b, metrics.SSIMGaussian)[0])
	}
	if side >= metrics.SSIMUniform.Side() {
		p.SSIM7 = number(metrics.SSIM(a, b, metrics.SSIMUniform)[0])
	}
	if a.W%metrics.Grid == 0 && a.H%metrics.Grid == 0 {
		p.MSE8 = number(metrics.MSE8(a, b)[0])
	}
	if metric != nil && side >= metric.Net().Smallest() {
		p.LPIPS = number(metric.Distance(a, b)[0])
	}
	return p, nil
}

// average fills in the means over the pairs.
func (r *comparison) average() {
	of := func(name string, value func(p comparedPair) number) metrics.Estimate {
		x := make([]float64, len(r.Pairs))
		for i, p := range r.Pairs {
			x[i] = float64(value(p))
		}
		return metrics.Mean(metrics.Defined(x), tensor.NewKey(1, "compare/"+name))
	}
	r.Mean = &comparisonMeans{
		PSNR:  of("psnr", func(p comparedPair) number { return p.PSNR }),
		SSIM:  of("ssim", func(p comparedPair) number { return p.SSIM }),
		SSIM7: of("ssim7", func(p comparedPair) number { return p.SSIM7 }),
		MSE8:  of("mse8", func(p comparedPair) number { return p.MSE8 }),
	}
	if r.LPIPS != "" {
		m := of("lpips", func(p comparedPair) number { return p.LPIPS })
		r.Mean.LPIPS = &m
	}
}

// print writes the measures, one line for each pair, the means of two folders and their distances.
func (r *comparison) print(e *env) {
	if len(r.Pairs) > 0 {
		r.printPairs(e)
	}
	r.printSets(e)
	r.explain(e)
}

func (r *comparison) printPairs(e *env) {
	width := 4
	for _, p := range r.Pairs {
		width = max(width, len([]rune(p.Name)))
	}
	fmt.Fprintf(e.out, "%-*s  %9s  %9s  %13s  %12s  %9s", width, "", "size", "PSNR dB",
		"SSIM Gaussian", "SSIM uniform", "8×8 MSE")
	if r.LPIPS != "" {
		fmt.Fprintf(e.out, "  %s", r.LPIPS)
	}
	fmt.Fprintln(e.out)
	for _, p := range r.Pairs {
		fmt.Fprintf(e.out, "%-*s  %9s  %9s  %13s  %12s  %9s", width, p.Name,
			fmt.Sprintf("%d×%d", p.Width, p.Height), p.PSNR.format(3), p.SSIM.format(5),
			p.SSIM7.format(5), p.MSE8.format(6))
		if r.LPIPS != "" {
			fmt.Fprintf(e.out, "  %s", p.LPIPS.format(5))
		}
		fmt.Fprintln(e.out)
	}
	if m := r.Mean; m != nil {
		fmt.Fprintf(e.out, "means with 95 %% intervals over images:\n  PSNR %v dB\n"+
			"  SSIM Gaussian %v\n  SSIM uniform %v\n  8×8 MSE %v\n",
			m.PSNR, m.SSIM, m.SSIM7, m.MSE8)
		if m.LPIPS != nil {
			fmt.Fprintf(e.out, "  %s %v\n", r.LPIPS, *m.LPIPS)
		}
	}
}

// explain says what was left out and why.
func (r *comparison) explain(e *env) {
	undefined := func(value func(p comparedPair) number) bool {
		return slices.ContainsFunc(r.Pairs, func(p comparedPair) bool {
			return math.IsNaN(float64(value(p)))
		})
	}
	if undefined(func(p comparedPair) number { return p.SSIM }) {
		fmt.Fprintf(e.out, "n/a: SSIM needs images of at least %d×%[1]d (Gaussian) or "+
			"%d×%[2]d pixels\n", metrics.SSIMGaussian.Side(), metrics.SSIMUniform.Side())
	}
	if undefined(func(p comparedPair) number { return p.MSE8 }) {
		fmt.Fprintf(e.out, "n/a: 8×8 MSE needs sides that %d divides\n", metrics.Grid)
	}
	if r.LPIPS == "" && len(r.Pairs) > 0 {
		fmt.Fprintln(e.out, "LPIPS not measured: --lpips-weights DIR names its weights")
	} else if undefined(func(p comparedPair) number { return p.LPIPS }) {
		fmt.Fprintln(e.out, "n/a: the image is too small for LPIPS's backbone")
	}
	for _, side := range []struct {
		name string
		only []string
	}{{r.A, r.OnlyInA}, {r.B, r.OnlyInB}} {
		if len(side.only) > 0 {
			fmt.Fprintf(e.out, "left out: %d image(s) only in %s: %s\n", len(side.only), side.name,
				firstNames(side.only))
		}
	}
}
