package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/models"
)

type modelsCmd struct {
	JSON bool `help:"Print the list as JSON." name:"json"`
}

// Help says what the columns mean.
func (modelsCmd) Help() string {
	return "Parameters are those that are trained: no running statistics. MACs are the " +
		"multiply-accumulates of\nconvolutions and linear layers for one image; training takes " +
		"about 6 floating-point operations for each.\n\n" +
		"Examples:\n  afterimage models\n  afterimage models --json"
}

// An architecture is a line of afterimage models.
type architecture struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"` // classifier, generator or discriminator
	Input      string `json:"input"`
	Output     string `json:"output"`
	Parameters int    `json:"parameters"`
	MACs       int    `json:"macs"`
}

// Run lists the architectures.
func (c *modelsCmd) Run(e *env) error {
	list, err := architectures()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(list)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "name\tkind\tinput\toutput\t%13s\t%16s\n", "parameters", "MACs")
	for _, a := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%13s\t%16s\n", a.Name, a.Kind, a.Input, a.Output,
			grouped(a.Parameters), grouped(a.MACs))
	}
	return w.Flush()
}

// architectures lists every classifier at its usual size, then the generators and discriminators.
func architectures() ([]architecture, error) {
	var list []architecture
	for _, name := range models.List() {
		m, err := models.New(name, models.Options{})
		if err != nil {
			return nil, err
		}
		list = append(list, architecture{name, "classifier",
			fmt.Sprintf("%d×%d×%d", m.InputSize(), m.InputSize(), m.Channels()),
			fmt.Sprintf("%d logits", m.Classes()), nn.Count(m), m.MACs()})
	}
	for _, n := range []struct {
		name    string
		c       gan.Config
		ch, out int
	}{
		{"slim32", gan.Slim32(16, 10), 16, 10},
		{"biggan32", gan.BigGAN32(64, 10), 64, 10},
		{"biggan64", gan.BigGAN64(64, 1000), 64, 1000},
		{"biggan128", gan.BigGAN128(96, 1000), 96, 1000},
	} {
		name := fmt.Sprintf("%s (ch %d)", n.name, n.ch)
		image, cond := fmt.Sprintf("%d×%d×3", n.c.Size, n.c.Size), fmt.Sprintf("%d conditions", n.out)
		g, d := gan.NewGenerator(n.c), gan.NewDiscriminator(n.c)
		list = append(list,
			architecture{name, "generator", fmt.Sprintf("%s, %d noise", cond, n.c.ZDim), image, nn.Count(g),
				g.MACs()},
			architecture{name, "discriminator", fmt.Sprintf("%s, %s", image, cond), "1 score", nn.Count(d),
				d.MACs()})
	}
	return list, nil
}

// grouped writes n with commas between groups of three digits.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
