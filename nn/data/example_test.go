package data_test

import (
	"fmt"

	"afterimage/nn/data"
)

// Train on scenes: two batches of an endless, reproducible stream, then the test split in order.
func Example() {
	set, err := data.Open("scenes", "", data.Options{Train: 100, Val: 10, Test: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	loader, err := data.NewLoader(set.Train, data.LoaderConfig{Batch: 32, Seed: 1, Flip: true,
		Crop: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	for step, b := range loader.Stream(0) {
		fmt.Println("step", step, "images", b.Shape(), "labels", len(b.Labels))
		if step == 1 {
			break
		}
	}
	n := 0
	for _, b := range data.Eval(set.Test, 16, data.Signed) {
		n += b.N()
	}
	fmt.Println("test images", n, "classes", set.Classes()[:3])
	// Output:
	// step 0 images [32 32 32 3] labels 32
	// step 1 images [32 32 32 3] labels 32
	// test images 20 classes [circle ring triangle]
}

// A dataset of one's own needs pixels and labels, here of a red image and a blue one of 1×1 pixel;
// or it is any type with the five methods of Dataset.
func ExampleNewMemory() {
	m, err := data.NewMemory(data.Images{Name: "mine", Classes: []string{"red", "blue"},
		H: 1, W: 1, C: 3, Pixels: []uint8{255, 0, 0, 0, 0, 255}, Labels: []int32{0, 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Read(m, data.Signed, 1).X)
	// Output: [-1 -1 1]
}

// The factors a scene was drawn from, as a regressor sees them.
func ExampleFactors_Vector() {
	f := data.Factors{Shape: data.Square, X: 0.5, Y: 0.25, Size: 0.3}
	fmt.Println(f.Vector()[:5]) // position.x position.y size angle.sin angle.cos
	// Output: [0.5 0.25 0.3 0 1]
}
