package gan_test

import (
	"fmt"
	"log"
	"slices"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// Two steps towards an inverter of a classifier that has learned nothing yet: every part of the
// method in its place, and far too little of it to see anything. A real run takes thousands.
func Example() {
	b := cpu.Open(1)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	classifier, err := models.New("resnet8", models.Options{})
	if err != nil {
		log.Fatal(err)
	}
	nn.Init(s, classifier, 1)

	c := gan.DefaultInverter()
	c.TrainImages, c.Batch, c.Steps, c.Net = 32, 4, 2, gan.Slim32(2, 0)
	t, err := gan.NewTrainer(b, classifier, c)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	t.Conditioner.Standardise(s, t.Set.Train, 32)
	for i := range c.Steps {
		if _, err := t.Step(i); err != nil {
			log.Fatal(err)
		}
	}

	// Ask the classifier about the first test image, and paint what it says, three noises wide.
	v := t.Inverter(s)
	x := data.Read(t.Set.Test, data.Unit, 0, 0, 0)
	answer := v.Conditioner.Ask(s, tensor.FromSlice(s, x.X, x.Shape()...))
	z := v.Noise(s, tensor.NewKey(c.Seed, "noise/example"), 0, x.N())
	painted := v.Paint(s, answer.Cond, z)
	again := v.Paint(s, answer.Cond, z)

	fmt.Println("logits", answer.Logits.Shape(), "become images", painted.Shape())
	fmt.Println("painted twice, same bytes:",
		slices.Equal(tensor.ToHost[float32](painted), tensor.ToHost[float32](again)))
	// Output:
	// logits [3 10] become images [3 32 32 3]
	// painted twice, same bytes: true
}

// The published network has the published number of parameters; its logits take the place of a
// one-hot label without changing one of them.
func ExampleBigGAN128() {
	c := gan.BigGAN128(96, 1000)
	fmt.Println(nn.Count(gan.NewGenerator(c)), nn.Count(gan.NewDiscriminator(c)))
	// Output: 70433988 87982370
}
