package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"afterimage/gan"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type evaluateCmd struct {
	Classifier evaluateClassifierCmd `cmd:"" help:"Accuracy, loss and robustness of a classifier."`
	Inverter   evaluateInverterCmd   `cmd:"" help:"How much of the images an inverter brings back, beside the controls."`
}

type evaluateClassifierCmd struct {
	dataFlags
	classifierFlags
	Split    string   `help:"train, val, test or trainval." default:"test"`
	Count    int      `help:"Use the first so many images, also --images; 0 uses all." aliases:"images"`
	Fit      string   `help:"How digits of another size than the network's are brought to it: pad, resize, or auto, which pads a little and resizes else." default:"auto" enum:"auto,pad,resize"`
	Attack   []string `help:"Attacks: fgsm, pgd-K (K steps), pgd-KxR (R restarts), margin-KxR (PGD on the margin), square-Q (Q queries) (default: none, clean accuracy alone)." placeholder:"NAME"`
	Norm     string   `help:"Norm of the attacks: linf or l2 (default linf)." placeholder:"NORM"`
	Eps      *float64 `help:"Radius in 1/255 for linf, in pixel units for l2 (default 8)." placeholder:"EPS"`
	StepSize float64  `help:"Step of PGD in Eps's unit; 0: 2.5 Eps/steps." default:"0"`
	Seed     uint64   `help:"Seed of the attacks' random starts." default:"1"`
	Batch    int      `help:"Images at a time." default:"250"`
	JSON     bool     `help:"Print the result as JSON." name:"json"`
}

// Help shows examples under the flags.
func (evaluateClassifierCmd) Help() string {
	return `Examples:
  afterimage evaluate classifier --weights runs/robust --dataset cifar-10 --attack pgd-20,fgsm
  afterimage evaluate classifier --arch resnet20-cifar --weights net.th --dataset cifar-10 --json
  afterimage evaluate classifier --classifier net.onnx --dataset cifar-10 --attack pgd-20
  afterimage evaluate classifier --arch lenet5 --weights lenet.pth --dataset mnist --fit resize

Data sets are looked for in the folder that --data or AFTERIMAGE_DATA names.`
}

// A classifierResult is what evaluate classifier reports.
type classifierResult struct {
	Weights      string         `json:"weights"`
	Arch         string         `json:"arch"`
	Dataset      string         `json:"dataset"`
	Split        string         `json:"split"`
	Images       int            `json:"images"`
	Correct      int            `json:"correct"`
	Accuracy     float64        `json:"accuracy"`
	CrossEntropy number         `json:"cross_entropy"` // of foreign weights it may be infinite
	Attacks      []attackResult `json:"attacks,omitempty"`
	Warning      string         `json:"warning,omitempty"`
	Seconds      float64        `json:"seconds"`
	origin
}

// An attackResult says what of the accuracy an attack leaves, and all that repeats it.
type attackResult struct {
	Name     string  `json:"name"`
	Norm     string  `json:"norm"`
	Eps      float64 `json:"eps"`                 // in pixel units
	StepSize float64 `json:"step_size,omitempty"` // likewise; Square makes no gradient steps
	Seed     uint64  `json:"seed"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"`
}

// check refuses flags that are out of range, before any work.
func (c *evaluateClassifierCmd) check() error {
	if c.Count < 0 {
		return tensor.Refuse("--count %d: expected 0, for all images, or more", c.Count)
	}
	if c.Batch < 1 {
		return tensor.Refuse("--batch %d: expected 1 or more", c.Batch)
	}
	if c.Fit != "auto" && !strings.HasSuffix(c.Dataset, "mnist") {
		return tensor.Refuse("--fit %s is for digits, and %s has none: leave it out: a folder's images "+
			"are always resized, those of other sets never", c.Fit, c.Dataset)
	}
	if len(c.Attack) == 0 && (c.Norm != "" || c.Eps != nil || c.StepSize != 0) {
		return tensor.Refuse("--norm, --eps and --step-size are an attack's: add --attack pgd-20, say, " +
			"or leave them out")
	}
	if err := checkRadius(c.norm(), c.radius()); err != nil {
		return err
	}
	if err := checkStepSize(c.StepSize); err != nil {
		return err
	}
	if n := c.norm(); n != "linf" && n != "l2" {
		return tensor.Refuse("--norm %q: expected linf or l2", n)
	}
	for _, name := range c.Attack {
		queries, err := parseAttack(strings.TrimSpace(name), new(attack.Config))
		if err != nil {
			return err
		}
		if queries > 0 && c.norm() != "linf" {
			return tensor.Refuse("--attack %s: Square is for --norm linf: leave it out, or measure it on "+
				"its own", name)
		}
	}
	return nil
}

// radius is the attacks' radius as given, 8 if it was not.
func (c *evaluateClassifierCmd) radius() float64 {
	if c.Eps == nil {
		return 8
	}
	return *c.Eps
}

// norm is the attacks' norm, linf if none was given.
func (c *evaluateClassifierCmd) norm() string { return cmp.Or(c.Norm, "linf") }

// Run measures a classifier.
func (c *evaluateClassifierCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return err
	}
	set, err := c.open(data.Options{TestOnly: c.Split == "test"})
	if err != nil {
		return err
	}
	if _, err := set.Split(c.Split); err != nil {
		return err
	}
	b, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	m, note, err := c.load(s, set)
	if err != nil {
		return err
	}
	ds, err := c.images(set, m)
	if err != nil {
		return err
	}
	for _, n := range []string{note, digitsNote(c.Dataset, m.InputSize(), m.Channels(), c.fit())} {
		if n != "" {
			fmt.Fprintln(e.err, n)
		}
	}
	return c.measure(e, b, m, ds)
}

// images returns the images to evaluate on, as m takes them. Grey digits and the images of a folder
// have no colours or size that must be theirs: they are brought to m's; those of other sets are the
// wrong ones if they differ.
func (c *evaluateClassifierCmd) images(set *data.Set, m gan.Classifier) (data.Dataset, error) {
	size, _, channels := set.Size()
	fits := m.InputSize() == size && m.Channels() == channels
	if !fits && (strings.HasSuffix(c.Dataset, "mnist") || strings.HasPrefix(c.Dataset, "folder:")) {
		var err error
		if set, err = c.open(data.Options{Size: m.InputSize(), Channels: m.Channels(),
			Fit: c.fit()}); err != nil {
			return nil, err
		}
	} else if !fits {
		return nil, tensor.Refuse("%s takes images of %d pixels and %d channels, %s has %d pixels and "+
			"%d channels: give the data set it was trained on%s", c.Weights, m.InputSize(), m.Channels(),
			c.Dataset, size, channels, c.otherSize(m, size, channels))
	}
	ds, err := set.Split(c.Split)
	switch {
	case err != nil:
		return nil, err
	case len(ds.Classes()) == 0:
		return nil, tensor.Refuse("the images of %s have no labels to compare answers with: put those "+
			"of each class into a subfolder of its own", c.Dataset)
	case ds.Len() == 0:
		return nil, tensor.Refuse("--split %s of %s holds no image: give another split, or more images",
			c.Split, c.Dataset)
	case c.Count > 0:
		ds = data.First(ds, c.Count)
	}
	return ds, nil
}

// fit says how digits are brought to the network's size.
func (c *evaluateClassifierCmd) fit() data.Fit {
	return data.Fit(strings.TrimPrefix(c.Fit, "auto"))
}

// otherSize is what else to try where weights do not say the size of their images.
func (c *evaluateClassifierCmd) otherSize(m gan.Classifier, size, channels int) string {
	if c.Arch == "" || m.Channels() != channels {
		return ""
	}
	return fmt.Sprintf(", or --input-size %d if that is it: the weights do not say, and %d is usual "+
		"for %s", size, m.InputSize(), c.Arch)
}

// digitsNote says how grey digits come to a network that takes them otherwise; "" if it does not,
// or the images are others.
func digitsNote(dataset string, size, channels int, fit data.Fit) string {
	const side = 28 // of all sets of digits
	if !strings.HasSuffix(dataset, "mnist") || size == side && channels == 1 {
		return ""
	}
	var done []string
	if size != side {
		how := "resized"
		if data.Pads(side, size, fit) {
			how = "padded"
		}
		done = append(done, fmt.Sprintf("%s to %d×%[2]d", how, size))
	}
	if channels == 3 {
		done = append(done, "repeated in 3 channels")
	}
	return fmt.Sprintf("%s: its grey images of %d×%[2]d are %s, as the network takes them", dataset,
		side, strings.Join(done, " and "))
}

// measure evaluates the classifier, attacks it, and prints what was found, before an error of an
// attack, too.
func (c *evaluateClassifierCmd) measure(
	e *env, b device, m gan.Classifier, ds data.Dataset,
) error {
	start := time.Now()
	i := m.Inference(b)
	correct, ce := train.Score(i, m, ds, c.Batch)
	i.Close()
	res := classifierResult{Weights: c.Weights, Arch: m.Arch(), Dataset: c.Dataset, Split: c.Split,
		Images: ds.Len(), Correct: correct, Accuracy: float64(correct) / float64(ds.Len()),
		CrossEntropy: number(ce / float64(ds.Len())), origin: e.origin(b)}
	var failed error // what was measured before is worth having, and is printed
	for _, name := range c.Attack {
		var a attackResult
		misuse := tensor.Try(func() { a, failed = c.attack(b, m, ds, strings.TrimSpace(name)) })
		if failed = cmp.Or(failed, misuse); failed != nil {
			break
		}
		res.Attacks = append(res.Attacks, a)
	}
	res.Seconds = time.Since(start).Seconds()
	res.Warning = masking(res.Attacks)
	if c.JSON {
		return cmp.Or(json.NewEncoder(e.out).Encode(res), failed)
	}
	res.print(e.out)
	return failed
}

// print writes the result for people.
func (r classifierResult) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %s %s, %d images\n", r.Arch, r.Dataset, r.Split, r.Images)
	fmt.Fprintf(w, "  clean          %6.2f %%  (%d right, cross-entropy %s)\n",
		100*r.Accuracy, r.Correct, r.CrossEntropy.format(4))
	for _, a := range r.Attacks {
		fmt.Fprintf(w, "  %-14s %6.2f %%  (%s, eps %s)\n", a.Name, 100*a.Accuracy, a.Norm, a.radius())
	}
	if r.Warning != "" {
		fmt.Fprintln(w, "  "+r.Warning)
	}
}

// radius writes the attack's radius in the unit in which it is given.
func (a attackResult) radius() string {
	if a.Norm == "linf" {
		return fmt.Sprintf("%.4g/255", 255*a.Eps)
	}
	return fmt.Sprintf("%.4g", a.Eps)
}

// attack runs the attack called name on all of ds; check has seen the flags.
func (c *evaluateClassifierCmd) attack(
	b tensor.Backend, m attack.Model, ds data.Dataset, name string,
) (attackResult, error) {
	eps := c.radius() / 255
	cfg := attack.Config{Steps: 1, Eps: eps, StepSize: c.StepSize / 255}
	if c.norm() == "l2" {
		eps = c.radius()
		cfg.Norm, cfg.Eps, cfg.StepSize = attack.L2, eps, c.StepSize
	}
	queries, err := parseAttack(name, &cfg)
	if err != nil {
		return attackResult{}, err
	}
	res := attackResult{Name: name, Norm: c.norm(), Eps: eps, Seed: c.Seed}
	if queries == 0 {
		res.StepSize = cfg.Step()
	}
	key, first := tensor.NewKey(c.Seed, "attack/"+name), 0
	for _, d := range data.Eval(ds, c.Batch, data.Unit) {
		s := tensor.NewScope(b)
		x := tensor.FromSlice(s, d.X, d.Shape()...)
		labels := tensor.FromSlice(s, d.Labels, d.N())
		var ok []bool
		if queries > 0 {
			ok = attack.EvaluateSquare(s, m, x, labels, attack.SquareConfig{Eps: eps, Queries: queries}, key,
				first)
		} else {
			ok = attack.Evaluate(s, m, x, labels, cfg, key, first)
		}
		for _, right := range ok {
			if right {
				res.Correct++
			}
		}
		first += d.N()
		s.Close()
	}
	res.Accuracy = float64(res.Correct) / float64(ds.Len())
	return res, nil
}

// attackName matches the names of the attacks that have numbers: what, how many steps or queries,
// how many starts.
var attackName = regexp.MustCompile(
	`^(pgd|margin|square)-([1-9][0-9]{0,8})(?:x([1-9][0-9]{0,8}))?$`)

// parseAttack fills cfg from a name such as fgsm, pgd-20, pgd-50x10 or margin-100x5; square-1000
// returns its number of queries instead. Results are recorded under the name, so it has to say
// exactly what is run.
func parseAttack(name string, cfg *attack.Config) (queries int, err error) {
	if name == "fgsm" {
		cfg.Steps, cfg.StepSize = 1, cfg.Eps
		return 0, nil
	}
	part := attackName.FindStringSubmatch(name)
	if part == nil || part[1] == "square" && part[3] != "" {
		return 0, tensor.Refuse("--attack %q: expected fgsm, pgd-K, pgd-KxR, margin-K, margin-KxR or "+
			"square-Q, with K, R and Q from 1", name)
	}
	steps, _ := strconv.Atoi(part[2]) // digits alone, few enough
	if part[1] == "square" {
		return steps, nil
	}
	cfg.Steps, cfg.RandomStart = steps, true
	if part[3] != "" {
		runs, _ := strconv.Atoi(part[3])
		cfg.Restarts = runs - 1
	}
	if part[1] == "margin" {
		cfg.Objective = attack.Margin
	}
	return 0, nil
}

// masking warns when the attack without gradients finds more than those with them: then the
// gradients mislead, and the white-box accuracy is not to be believed.
func masking(as []attackResult) string {
	white, square := 2.0, 2.0
	for _, a := range as {
		if strings.HasPrefix(a.Name, "square") {
			square = min(square, a.Accuracy)
		} else {
			white = min(white, a.Accuracy)
		}
	}
	if square < white && white <= 1 {
		return "warning: Square, which uses no gradients, finds more than the gradient attacks: " +
			"gradient masking"
	}
	return ""
}
