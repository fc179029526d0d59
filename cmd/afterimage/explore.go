package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/metrics/lpips"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// An inverterFlags names a trained inverter, the images it is asked about, and an independent
// network.
type inverterFlags struct {
	Inverter        string       `arg:"" help:"Inverter: a run directory, a folder of weights, or shipped:scenes-robust or shipped:scenes-standard." placeholder:"RUN"`
	Data            string       `help:"Folder that holds data sets." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
	Dataset         string       `help:"Data set; the inverter's own when not given." default:"" placeholder:"NAME"`
	Independent     string       `help:"Another classifier, whose features judge content: a run directory, a file of weights, or an ONNX file." placeholder:"RUN|FILE"`
	IndependentFile foreignFlags `embed:"" prefix:"independent-"`
	Seed            uint64       `help:"Seed of noise, draws and intervals." default:"1"`
	JSON            bool         `help:"Print the result as JSON." name:"json"`
}

// open loads everything the flags name into s.
func (f inverterFlags) open(
	e *env, s *tensor.Scope,
) (*gan.Inverter, *data.Set, explore.Network, error) {
	v, err := openInverter(s, f.Inverter)
	if err != nil {
		return nil, nil, nil, err
	}
	name := f.Dataset
	if name == "" {
		name = v.Config.Dataset
	}
	set, err := data.Open(name, f.Data, data.Options{Size: v.Config.Net.Size})
	if err != nil {
		return nil, nil, nil, err
	}
	if f.Independent == "" {
		return v, set, nil, nil
	}
	m, note, err := classifierFlags{f.Independent, f.IndependentFile}.load(s, set)
	if err != nil {
		return nil, nil, nil, mended{"--independent: " + renamed("independent", err.Error()), err}
	}
	if m.FeatureDim() == 0 {
		return nil, nil, nil, tensor.Refuse("--independent %s: it has no features to judge by: its "+
			"logits are not made by a linear layer from one vector an image; give another network",
			f.Independent)
	}
	if size, _, channels := set.Size(); m.InputSize() != size || m.Channels() != channels {
		return nil, nil, nil, tensor.Refuse("--independent %s takes images of %d pixels and %d "+
			"channels, %s has %d and %d: give a network of such images", f.Independent, m.InputSize(),
			m.Channels(), set.Name, size, channels)
	}
	if note != "" {
		fmt.Fprintln(e.err, "independent network:", renamed("independent", note))
	}
	return v, set, explore.FromClassifier(s, m), nil
}

// foreignFlag matches the names of foreignFlags in a message.
var foreignFlag = regexp.MustCompile(
	`--(arch|mean|std|input-size|input-scale|bgr|layout|onnx-output)\b`)

// renamed gives the flags in a message about a classifier the names they have where they begin with
// a prefix of their own.
func renamed(prefix, text string) string {
	return foreignFlag.ReplaceAllString(text, "--"+prefix+"-$1")
}

type evaluateInverterCmd struct {
	inverterFlags
	Images    int    `help:"The first so many test images, also --count." default:"2000" aliases:"count"`
	Draws     int    `help:"Noise draws; with more than one their mean picture is measured, too." default:"1"`
	Control   string `help:"The label-conditioned inverter to compare with." placeholder:"RUN"`
	TrueClass bool   `help:"Rank among images of the true class instead of the predicted one (the pilot's protocol)."`
	Gallery   int    `help:"Rivals come from the first so many test images; 0: all." default:"0"`
	lpipsFlags
}

// Help shows examples under the flags.
func (evaluateInverterCmd) Help() string {
	return `Examples:
  afterimage evaluate inverter shipped:scenes-robust
  afterimage evaluate inverter runs/inverter
  afterimage evaluate inverter runs/inverter --draws 16 --control runs/control
  afterimage evaluate inverter RUN --independent resnet32.th --independent-arch resnet32-cifar
  afterimage evaluate inverter RUN --independent another.onnx --lpips-weights ~/lpips

LPIPS is measured, at the images' own size, where its weights are at hand: in --lpips-weights or in
the folder of data sets (weights/v0.1 or lpips/weights/v0.1, and models/imagenet).`
}

// check refuses flags that are out of range, before any work.
func (c *evaluateInverterCmd) check() error {
	switch {
	case c.Images < 2:
		return tensor.Refuse("--images %d: expected 2 or more", c.Images)
	case c.Draws < 1 || c.Draws > mostDraws:
		return tensor.Refuse("--draws %d: expected 1 to %d", c.Draws, mostDraws)
	case c.Gallery < 0 || c.Gallery == 1:
		return tensor.Refuse("--gallery %d: expected 0, for all test images, or 2 or more", c.Gallery)
	}
	return nil
}

// Run measures an inverter.
func (c *evaluateInverterCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return err
	}
	b, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	v, set, other, err := c.open(e, s)
	if err != nil {
		return err
	}
	o := explore.Options{Name: "inverter", Images: c.Images, Draws: c.Draws, Gallery: c.Gallery,
		TrueClass: c.TrueClass, Seed: c.Seed, Train: set.Train, Independent: other,
		Space: filepath.Base(c.Independent)}
	if c.Control != "" {
		u, err := openInverter(s, c.Control)
		if err != nil {
			return err
		}
		if err := c.checkControl(v.Config, u.Config); err != nil {
			return err
		}
		o.Control = explore.FromInverter(s, u)
	}
	if err := c.addLPIPS(e, s, &o, v.Config.Net.Size); err != nil {
		return err
	}
	ev, err := explore.Evaluate(explore.FromInverter(s, v), set.Test, o)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(struct {
			*explore.Evaluation
			origin
		}{ev, e.origin(b)})
	}
	printEvaluation(e, ev)
	return nil
}

// checkControl returns an error if the control is not what the inverter is to be compared with: one
// that is told the label alone, of the same images.
func (c *evaluateInverterCmd) checkControl(v, control gan.InverterConfig) error {
	switch {
	case control.Condition != gan.Label:
		return tensor.Refuse("--control %s is told the %s: expected an inverter that is told the label "+
			"alone: train one with --condition label", c.Control, control.Condition)
	case control.Dataset != v.Dataset || control.Net.Size != v.Net.Size:
		return tensor.Refuse("--control %s paints images of %s with %d pixels, %s those of %s with %d: "+
			"give a control of the same data set", c.Control, control.Dataset, control.Net.Size,
			c.Inverter, v.Dataset, v.Net.Size)
	}
	return nil
}

// addLPIPS puts LPIPS into the options where its weights are at hand and images are large enough;
// where not, a line says so.
func (c *evaluateInverterCmd) addLPIPS(
	e *env, s *tensor.Scope, o *explore.Options, size int,
) error {
	if least := lpips.Net(c.Net).Smallest(); size < least {
		if c.Weights != "" {
			return tensor.Refuse("--lpips-weights: images of %d pixels are too small for %s: "+
				"expected at least %d", size, c.Net, least)
		}
		fmt.Fprintf(e.err, "LPIPS is left out: images of %d pixels are too small for %s\n", size, c.Net)
		return nil
	}
	m, missing, err := c.metric(s, c.Data)
	switch {
	case err != nil:
		return err
	case m == nil:
		fmt.Fprintf(e.err, "LPIPS is left out: %v; or name their folder with --lpips-weights\n",
			missing)
		return nil
	}
	o.LPIPS, o.LPIPSName = m, m.Net().Title()
	return nil
}

// printEvaluation prints the measures as a table, one line for the inverter and each control.
func printEvaluation(e *env, ev *explore.Evaluation) {
	fmt.Fprintf(e.out, "%s, test images 0 to %d, %s, rank among %.0f others of the %s\n",
		ev.Dataset, ev.Images-1, counting(ev.Draws, "draw"), ev.Rivals, ev.Protocol)
	fmt.Fprintf(e.out, "%-22s  %-24s  %-20s  %-20s  %-20s  %s\n", "", "retrieval median %",
		"PSNR dB", "SSIM", "agreement (share)", ev.LPIPS)
	rows := []*explore.Scores{ev.OneDraw, ev.MeanDraw}
	for _, r := range append(rows, ev.Controls...) {
		if r == nil {
			continue
		}
		distance := ""
		if r.LPIPS != nil {
			distance = r.LPIPS.String()
		}
		fmt.Fprintf(e.out, "%-22s  %-24v  %-20v  %-20v  %-20v  %s\n", r.Name, r.Retrieval.Median,
			r.PSNR, r.SSIM, r.Agreement, distance)
	}
	for _, d := range ev.OverLabel {
		fmt.Fprintf(e.out, "against the label control: %v\n", d)
	}
	if len(ev.Factors) > 0 {
		fmt.Fprintf(e.out, "%-22s  %-24s  %-20s  %-20s\n", "R² of known factors", "painted", "true image",
			"label control")
	}
	for _, f := range ev.Factors {
		label := ""
		if f.Label != nil {
			label = f.Label.String()
		}
		fmt.Fprintf(e.out, "  %-20s  %-24v  %-20v  %-20s\n", f.Name, f.Recovered, f.Real, label)
	}
	fmt.Fprintln(e.out, "intervals: 95 %, over images only, one training seed; 50 % retrieval is "+
		"chance")
}

type exploreCmd struct {
	Name string `arg:"" help:"probe, noise, misclassified, shift, scale or perturb."`
	inverterFlags
	Images int    `help:"The first so many test images, also --count." default:"500" aliases:"count"`
	Out    string `help:"Folder for the sheet and the numbers; with --json written only when given." default:"explored" placeholder:"DIR"`
}

// Help lists the experiments.
func (exploreCmd) Help() string {
	var s strings.Builder
	s.WriteString("Experiments:\n")
	for _, x := range explore.Experiments() {
		fmt.Fprintf(&s, "  %-14s %s\n", x.Name, x.Title)
	}
	s.WriteString("\nExamples:\n  afterimage explore noise shipped:scenes-robust\n" +
		"  afterimage explore noise runs/inverter --out explored")
	return s.String()
}

// Run makes one experiment.
func (c *exploreCmd) Run(e *env) error {
	x, err := explore.Find(c.Name)
	if err != nil {
		return err
	}
	if c.Images < 4 {
		return tensor.Refuse("--images %d: expected 4 or more", c.Images)
	}
	_, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	v, set, other, err := c.open(e, s)
	if err != nil {
		return err
	}
	if !x.Takes(v.Config.Condition) {
		return tensor.Refuse("explore %s: %s is told the %s, which changed logits do not reach: "+
			"expected an inverter that is told logits", c.Name, c.Inverter, v.Config.Condition)
	}
	keep := !c.JSON || e.isGiven("out")
	if keep { // before any work
		if err := makeFolder("out", c.Out); err != nil {
			return err
		}
	}
	r, err := explore.Run(c.Name, explore.Subject{Name: "inverter",
		Network: explore.FromInverter(s, v), Test: set.Test, Train: set.Train,
		Images: c.Images, Seed: c.Seed, Independent: other})
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(e.out).Encode(r); err != nil {
			return err
		}
		if !keep {
			return nil
		}
		return c.write(e.err, r) // the output is JSON alone
	}
	for _, st := range r.Stats {
		line := fmt.Sprintf("%-40s %v %s", st.Name, st.Estimate, st.Unit)
		fmt.Fprintln(e.out, strings.TrimRight(line, " "))
	}
	return c.write(e.out, r)
}

// write writes an experiment's numbers and its sheet, and says so on w.
func (c *exploreCmd) write(w io.Writer, r *explore.Result) error {
	if err := explore.WriteJSON(filepath.Join(c.Out, c.Name+".json"), r); err != nil {
		return err
	}
	if r.Sheet != nil {
		path := filepath.Join(c.Out, c.Name+".png")
		if err := explore.SaveSheet(path, r.Sheet); err != nil {
			return err
		}
		fmt.Fprintln(w, "wrote", path)
	}
	return nil
}
