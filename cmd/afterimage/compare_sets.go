package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/metrics"
	"afterimage/gan/metrics/lpips"
	"afterimage/gan/shipped"
	"afterimage/tensor"
)

// backboneSpace is what --features takes for the backbone of LPIPS.
const backboneSpace = "lpips"

// An embedder describes images by one network for distances between sets.
type embedder struct {
	space   string // names the network, its weights and the layer
	side    int    // of the images it takes; 0: any of at least least pixels
	least   int
	unasked bool // what does not fit is a remark, no error
	rows    func(m metrics.Images) *mat.Dense
}

// embedder returns the network of --features, or nil if there is none: LPIPS's backbone where its
// weights are named and nothing else is.
func (c *compareCmd) embedder(
	e *env, s *tensor.Scope, metric *lpips.Metric,
) (*embedder, error) {
	if c.Features == "" && metric == nil {
		return nil, nil
	}
	if c.Features == "" || c.Features == backboneSpace {
		if metric == nil {
			return nil, tensor.Refuse("--features %s: the backbone's weights are LPIPS's: give "+
				"--lpips-weights DIR", backboneSpace)
		}
		files, err := lpips.Find(c.Weights, metric.Net())
		if err != nil {
			return nil, tensor.Refuse("--lpips-weights: %w", err)
		}
		id, err := fingerprint(files.Backbone)
		return &embedder{least: metric.Net().Smallest(), unasked: c.Features == "",
			rows: metric.Features, space: fmt.Sprintf("LPIPS's %s backbone %s, means of the last tap",
				metric.Net(), id)}, err
	}
	if name, ok := strings.CutPrefix(c.Features, shipped.Prefix); ok {
		v, err := shipped.Open(s, name)
		if err != nil {
			return nil, tensor.Refuse("--features: %w", err)
		}
		return penultimate(s, v.Conditioner.Model, "the shipped classifier "+name), nil
	}
	return c.classifier(e, s)
}

// classifier returns the network of --features that is a classifier of a file or a run.
func (c *compareCmd) classifier(e *env, s *tensor.Scope) (*embedder, error) {
	f := classifierFlags{c.Features, c.FeaturesFile}
	m, note, err := f.load(s, nil)
	if err != nil {
		return nil, mended{"--features: " + renamed("features", err.Error()), err}
	}
	switch {
	case m.Channels() != 3:
		return nil, tensor.Refuse("--features %s takes %d channels: expected a network of colour "+
			"images: give another", c.Features, m.Channels())
	case m.FeatureDim() == 0:
		return nil, tensor.Refuse("--features %s: it has no features to compare in: its logits are not "+
			"made by a linear layer from one vector an image; give another network", c.Features)
	}
	file, err := f.file()
	if err != nil {
		return nil, err
	}
	id, err := fingerprint(file)
	if err != nil {
		return nil, err
	}
	if note != "" {
		fmt.Fprintln(e.err, renamed("features", note))
	}
	return penultimate(s, m, m.Arch()+" "+id), nil
}

// penultimate describes images by what a classifier's last linear layer reads.
func penultimate(s *tensor.Scope, m gan.Classifier, name string) *embedder {
	net := explore.FromClassifier(s, m)
	return &embedder{space: name + ", penultimate layer", side: m.InputSize(),
		rows: func(m metrics.Images) *mat.Dense { return net.Ask(m).Features }}
}

// fingerprint returns the first eight hexadecimal digits of a file's SHA-256: spaces of two
// networks of one architecture are different ones.
func fingerprint(path string) (string, error) {
	raw, err := tensor.ReadRegular(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:4]), nil
}

// embedAtOnce is how many images of one size pass through the network together.
const embedAtOnce = 64

// embed describes the pictures of a folder, in the order of their names.
func (e *embedder) embed(files map[string]string) (metrics.Features, error) {
	var rows []float64
	width := 0
	var pending metrics.Images
	flush := func() {
		if pending.N > 0 {
			x := e.rows(pending)
			rows = append(rows, x.RawMatrix().Data...)
			_, width = x.Dims()
			pending = metrics.Images{}
		}
	}
	for _, name := range sortedNames(files) {
		m, err := readPicture(files[name])
		if err != nil {
			return metrics.Features{}, err
		}
		if e.side > 0 && (m.H != e.side || m.W != e.side) || min(m.H, m.W) < e.least {
			return metrics.Features{}, &sizeError{tensor.Refuse("compare: %s is %d×%d: %s takes %s: "+
				"resize it, or give other --features", files[name], m.W, m.H, e.space, e.takes())}
		}
		if pending.N > 0 && (pending.H != m.H || pending.W != m.W || pending.N == embedAtOnce) {
			flush()
		}
		pending = metrics.NewImages(pending.N+1, m.H, m.W, m.C, m.Range, append(pending.Pix, m.Pix...))
	}
	flush()
	return metrics.NewFeatures(e.space, mat.NewDense(len(rows)/width, width, rows)), nil
}

// A sizeError says that an image is not of the size a network takes.
type sizeError struct{ error }

func (e *sizeError) Unwrap() error { return e.error }

// takes says which images the network takes.
func (e *embedder) takes() string {
	if e.side > 0 {
		return fmt.Sprintf("%d×%[1]d", e.side)
	}
	return fmt.Sprintf("at least %d×%[1]d", e.least)
}

// compareSets measures two folders as sets, whether their names match or not.
func (r *comparison) compareSets(e *embedder) error {
	var f [2]metrics.Features
	for i, dir := range []string{r.A, r.B} {
		files, err := listPictures(dir)
		if err != nil {
			return err
		}
		if len(files) < 2 {
			r.NoSets = fmt.Sprintf("%s holds one image: distances between sets need two", dir)
			return nil
		}
		f[i], err = e.embed(files)
		if size := (*sizeError)(nil); errors.As(err, &size) && e.unasked {
			r.NoSets = size.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	d, err := metrics.CompareSets(f[0], f[1], tensor.NewKey(1, "compare/kid"))
	if err != nil {
		return err
	}
	r.Sets = &d
	return nil
}

// printSets writes the distances between two folders, or why there are none.
func (r *comparison) printSets(e *env) {
	d := r.Sets
	if d == nil {
		if r.NoSets != "" {
			fmt.Fprintf(e.out, "as sets: not measured: %s\n", r.NoSets)
		}
		return
	}
	fmt.Fprintf(e.out, "as sets, in the features of %s (%d numbers; %d and %d images):\n", d.Space,
		d.Dim, d.N, d.M)
	spread := ""
	if d.Subsets > 1 {
		spread = fmt.Sprintf(" ± %.2g over %d subsets of %d", d.KIDSd, d.Subsets, d.Size)
	}
	fmt.Fprintf(e.out, "  Fréchet distance %.5g\n  kernel distance (KID) %.5g%s\n", d.Frechet, d.KID,
		spread)
	fmt.Fprintf(e.out, "  precision %.3f (of B among A), recall %.3f (of A among B), %d neighbours\n",
		d.Prec, d.Recall, d.K)
	if least := min(d.N, d.M); least <= d.Dim {
		fmt.Fprintf(e.out, "  of %d images the Fréchet distance says little in %d features: use more "+
			"than that, or KID\n", least, d.Dim)
	}
}
