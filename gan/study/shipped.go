package study

import (
	"fmt"

	"afterimage/gan"
	"afterimage/gan/explore"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// A Shipment is a set of trained inverters to show without training anything.
type Shipment struct {
	Title   string
	Dataset string
	Data    string // folder of the data; scenes need none
	// folders or run directories, each with its classifier; or what Open understands
	Inverters []string
	Names     []string // CLASSIFIER-CONDITION of each: "robust-logits"
	Compare   [2]string
	Images    int // evaluated; rivals come from them too. 0: 256
	Sheet     int // on the first sheet. 0: 32
	Draws     int // of the noise experiment. 0: 8
	Seed      uint64
	Facts     []report.Fact
	Command   string

	// Open opens an inverter into s; nil means gan.OpenInverter.
	Open func(s *tensor.Scope, name string) (*gan.Inverter, error)
}

// Shipped makes the page of a study from weights alone, in seconds: pictures, measures on few
// images, and the noise experiment. An inverter conditioned on the label is taken as the control.
func Shipped(b tensor.Backend, sh Shipment) (*report.Report, *Result, error) {
	sh = sh.withDefaults()
	if len(sh.Names) != len(sh.Inverters) || len(sh.Names) == 0 {
		return nil, nil, fmt.Errorf("study: Shipped: %d names for %d inverters", len(sh.Names),
			len(sh.Inverters))
	}
	set, err := data.Open(sh.Dataset, sh.Data, data.Options{Train: sh.Images, Test: sh.Images})
	if err != nil {
		return nil, nil, err
	}
	s := tensor.NewScope(b)
	defer s.Close()
	var ps []explore.Painter
	var control explore.Painter
	for k, dir := range sh.Inverters {
		v, err := sh.Open(s, dir)
		if err != nil {
			return nil, nil, err
		}
		p := explore.FromInverter(s, v)
		if ps = append(ps, p); isLabel(sh.Names[k]) {
			control = p
		}
	}
	res := &Result{Study: "shipped", Title: sh.Title, Dataset: sh.Dataset, Seed: sh.Seed,
		Caveat: Caveat}
	for k, p := range ps {
		if err := res.add(p, control, sh.Names[k], set, sh); err != nil {
			return nil, nil, err
		}
	}
	res.compare(sh.Compare[:])
	res.Lead = leadSheet(set.Test, sh.Sheet, sh.Names, ps, sh.Seed)
	pg := &page{Result: res, facts: sh.Facts, command: sh.Command, shipped: true}
	r := pg.report()
	res.strip()
	return r, res, nil
}

func (sh Shipment) withDefaults() Shipment {
	for _, f := range []struct {
		v        *int
		fallback int
	}{{&sh.Images, 256}, {&sh.Sheet, 32}, {&sh.Draws, 8}} {
		if *f.v == 0 {
			*f.v = f.fallback
		}
	}
	if sh.Open == nil {
		sh.Open = gan.OpenInverter
	}
	if sh.Seed == 0 {
		sh.Seed = 1
	}
	if sh.Title == "" {
		sh.Title = "What two classifiers let through"
	}
	return sh
}

// add evaluates one inverter, and makes the noise experiment with all but the label control.
func (r *Result) add(p, control explore.Painter, name string, set *data.Set, sh Shipment) error {
	o := explore.Options{Name: name, Images: sh.Images, Seed: sh.Seed, Train: set.Train,
		TrainImages: sh.Images}
	if !isLabel(name) {
		o.Control = control
	}
	e, err := explore.Evaluate(p, set.Test, o)
	if err != nil {
		return err
	}
	e.Factors = nil // a regressor fitted on so few images reads little
	if r.Evaluations = append(r.Evaluations, e); isLabel(name) {
		return nil
	}
	x, err := explore.Run("noise", explore.Subject{Name: name, Network: p, Test: set.Test,
		Images: min(64, sh.Images), Draws: sh.Draws, Seed: sh.Seed})
	if err != nil {
		return err
	}
	r.Experiments = append(r.Experiments, x)
	return nil
}
