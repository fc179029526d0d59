package gan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestEveryPassDrawsItsOwnNoise: no two of the passes of several steps see one noise, whether they
// are made by Step or one by one.
func TestEveryPassDrawsItsOwnNoise(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c := tinyInverter()
	c.DSteps = 1 // DiscriminatorStep makes the first
	g, closeAll := newTrainer(t, b, c)
	defer closeAll()
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.New(tensor.F32, c.Batch, c.Net.Size, c.Net.Size, 3)
	cond := s.New(tensor.F32, c.Batch, 10)
	seen := map[string]string{}
	note := func(what string) {
		z := fmt.Sprint(g.Noise(s).Floats())
		if first := seen[z]; first != "" {
			t.Errorf("%s draws the noise of %s", what, first)
		}
		seen[z] = what
	}
	for i := range 3 {
		if _, err := g.DiscriminatorStep(i, x, cond); err != nil {
			t.Fatal(err)
		}
		note(fmt.Sprintf("the discriminator in step %d", i))
		if _, err := g.GeneratorStep(i, cond); err != nil {
			t.Fatal(err)
		}
		note(fmt.Sprintf("the generator in step %d", i))
	}
	if _, err := g.Step(3); err != nil {
		t.Fatal(err)
	}
	note("the generator in a whole step")
}

// TestUpdatesReachTheAverage: a generator's step moves every vector of its spectral norms before it
// updates the average, which therefore moves with them.
func TestUpdatesReachTheAverage(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	c := tinyInverter()
	g, closeAll := newTrainer(t, b, c)
	defer closeAll()
	s := tensor.NewScope(b)
	defer s.Close()
	vectors := func() (v [][]float64) {
		for name, p := range g.G.Params() {
			if strings.HasSuffix(name, "weight_u") {
				v = append(v, p.T.Floats())
			}
		}
		return v
	}
	before := vectors()
	if len(before) == 0 {
		t.Fatal("the generator has no spectral norm")
	}
	if _, err := g.GeneratorStep(0, s.New(tensor.F32, c.Batch, 10)); err != nil {
		t.Fatal(err)
	}
	after := vectors()
	var average [][]float64
	g.Average(func() { average = vectors() })
	for k := range before {
		if slices.Equal(before[k], after[k]) {
			t.Errorf("vector %d did not move", k)
		}
		if slices.Equal(before[k], average[k]) {
			t.Errorf("the average of vector %d did not move", k)
		}
	}
}
