package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
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
	Count    int      `help:"Use the first so many images; 0 uses all."`
	Fit      string   `help:"How digits of another size than the network's are brought to it: pad, resize, or auto, which pads a little and resizes else." default:"auto" enum:"auto,pad,resize"`
	Attack   []string `help:"Attacks: fgsm, pgd-K (K steps), pgd-KxR (R restarts), margin-KxR (PGD on the margin), square-Q (Q queries) (default: none, clean accuracy alone)." placeholder:"NAME"`
	Norm     string   `help:"Norm of the attacks: linf or l2." default:"linf"`
	Eps      float64  `help:"Radius in 1/255 for linf, in pixel units for l2." default:"8"`
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
	CrossEntropy float64        `json:"cross_entropy"`
	Attacks      []attackResult `json:"attacks,omitempty"`
	Warning      string         `json:"warning,omitempty"`
	Seconds      float64        `json:"seconds"`
}

type attackResult struct {
	Name     string  `json:"name"`
	Norm     string  `json:"norm"`
	Eps      float64 `json:"eps"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"`
}

// check refuses flags that are out of range, before any work.
func (c *evaluateClassifierCmd) check() error {
	if c.Count < 0 || c.Batch < 1 {
		return fmt.Errorf("--count %d must not be negative, --batch %d must be positive", c.Count,
			c.Batch)
	}
	if !(c.Eps > 0) || !(c.StepSize >= 0) || math.IsInf(c.Eps+c.StepSize, 1) {
		return fmt.Errorf("--eps %g must be positive, --step-size %g not negative", c.Eps, c.StepSize)
	}
	for _, name := range c.Attack {
		if _, err := parseAttack(strings.TrimSpace(name), new(attack.Config)); err != nil {
			return err
		}
	}
	return nil
}

// Run measures a classifier.
func (c *evaluateClassifierCmd) Run(e *env) error {
	set, err := c.open(data.Options{})
	if err != nil {
		return err
	}
	if _, err := set.Split(c.Split); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	b, err := e.open()
	if err != nil {
		return err
	}
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	m, note, err := c.load(s, set)
	if err != nil {
		return err
	}
	ds, err := c.images(set, m)
	if err != nil {
		return err
	}
	if note != "" {
		fmt.Fprintln(e.err, note)
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
		fit := data.Fit(strings.TrimPrefix(c.Fit, "auto"))
		if set, err = c.open(data.Options{Size: m.InputSize(), Channels: m.Channels(),
			Fit: fit}); err != nil {
			return nil, err
		}
	} else if !fits {
		return nil, fmt.Errorf("%s takes images of %d pixels and %d channels, %s has %d pixels and %d "+
			"channels: give the data set it was trained on",
			c.Weights, m.InputSize(), m.Channels(), c.Dataset, size, channels)
	}
	ds, err := set.Split(c.Split)
	if err == nil && c.Count > 0 && c.Count < ds.Len() {
		ds = data.First(ds, c.Count)
	}
	return ds, err
}

// measure evaluates the classifier, attacks it, and prints what was found.
func (c *evaluateClassifierCmd) measure(
	e *env, b tensor.Backend, m gan.Classifier, ds data.Dataset,
) error {
	start := time.Now()
	correct, ce := train.Score(b, m, ds, c.Batch)
	res := classifierResult{Weights: c.Weights, Arch: m.Arch(), Dataset: c.Dataset, Split: c.Split,
		Images: ds.Len(), Correct: correct, Accuracy: float64(correct) / float64(ds.Len()),
		CrossEntropy: ce / float64(ds.Len())}
	for _, name := range c.Attack {
		a, err := c.attack(b, m, ds, strings.TrimSpace(name))
		if err != nil {
			return err
		}
		res.Attacks = append(res.Attacks, a)
	}
	res.Seconds = time.Since(start).Seconds()
	res.Warning = masking(res.Attacks)
	if c.JSON {
		return json.NewEncoder(e.out).Encode(res)
	}
	res.print(e.out)
	return nil
}

// print writes the result for people.
func (r classifierResult) print(w io.Writer) {
	fmt.Fprintf(w, "%s on %s %s, %d images\n", r.Arch, r.Dataset, r.Split, r.Images)
	fmt.Fprintf(w, "  clean          %6.2f %%  (%d right, cross-entropy %.4f)\n",
		100*r.Accuracy, r.Correct, r.CrossEntropy)
	for _, a := range r.Attacks {
		fmt.Fprintf(w, "  %-14s %6.2f %%  (%s, eps %.4f)\n", a.Name, 100*a.Accuracy, a.Norm, a.Eps)
	}
	if r.Warning != "" {
		fmt.Fprintln(w, "  "+r.Warning)
	}
}

// attack runs the attack called name on all of ds.
func (c *evaluateClassifierCmd) attack(
	b tensor.Backend, m attack.Model, ds data.Dataset, name string,
) (attackResult, error) {
	eps, step := c.Eps, c.StepSize
	cfg := attack.Config{Steps: 1}
	switch c.Norm {
	case "linf":
		eps, step = eps/255, step/255
	case "l2":
		cfg.Norm = attack.L2
	default:
		return attackResult{}, fmt.Errorf("--norm %q: expected linf or l2", c.Norm)
	}
	cfg.Eps, cfg.StepSize = eps, step
	queries, err := parseAttack(name, &cfg)
	if err != nil {
		return attackResult{}, err
	}
	if queries > 0 && cfg.Norm != attack.Linf {
		return attackResult{}, fmt.Errorf("--attack %s: Square is for --norm linf", name)
	}
	res := attackResult{Name: name, Norm: c.Norm, Eps: eps}
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

// parseAttack fills cfg from a name such as fgsm, pgd-20, pgd-50x10 or margin-100x5; square-1000
// returns its number of queries instead.
func parseAttack(name string, cfg *attack.Config) (queries int, err error) {
	kind, rest, _ := strings.Cut(name, "-")
	steps, runs := 0, 1
	bad := fmt.Errorf("--attack %q: expected fgsm, pgd-K, pgd-KxR, margin-KxR or square-Q", name)
	switch n, _ := fmt.Sscanf(rest, "%dx%d", &steps, &runs); {
	case kind == "fgsm" && rest == "":
		cfg.Steps, cfg.StepSize = 1, cfg.Eps
		return 0, nil
	case n < 1 || steps < 1 || runs < 1 || !slices.Contains([]string{"pgd", "margin", "square"}, kind):
		return 0, bad
	}
	if kind == "square" {
		return steps, nil
	}
	cfg.Steps, cfg.Restarts, cfg.RandomStart = steps, runs-1, true
	if kind == "margin" {
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
