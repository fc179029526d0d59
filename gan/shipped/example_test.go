package shipped_test

import (
	"fmt"
	"log"

	"afterimage/gan/shipped"
	"afterimage/nn/data"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// What ships with the program opens without a file: ask both classifiers about the first test
// scene, and paint what they say.
func Example() {
	b := cpu.Open(0)
	defer b.Close()
	set, err := data.Open("scenes", "", data.Options{Train: 1, Val: 1, Test: 1})
	if err != nil {
		log.Fatal(err)
	}
	x := data.Read(set.Test, data.Unit, 0)
	for _, name := range shipped.Names() {
		s := tensor.NewScope(b)
		v, err := shipped.Open(s, name)
		if err != nil {
			log.Fatal(err)
		}
		answer := v.Conditioner.Ask(s, tensor.FromSlice(s, x.X, x.Shape()...))
		class := s.New(tensor.I32, 1)
		b.ArgMax(class, answer.Logits)
		painted := v.Paint(s, answer.Cond, v.Noise(s, tensor.NewKey(1, "noise/example"), 0, 1))
		fmt.Println(name, "sees a", set.Classes()[int(class.Item())], "and paints", painted.Shape())
		s.Close()
	}
	// Output:
	// scenes-robust sees a ring and paints [1 32 32 3]
	// scenes-standard sees a ring and paints [1 32 32 3]
}
