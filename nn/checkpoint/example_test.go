package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"

	"afterimage/nn/checkpoint"
)

// Save two arrays, open the file again without saying its format, and check that it fits a network.
func Example() {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "net.safetensors")

	f := checkpoint.NewFile()
	f.Metadata["epoch"] = "3"
	f.Set("module.fc.weight", checkpoint.FromFloat32s([]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}))
	f.Set("module.fc.bias", checkpoint.FromFloat32s([]int{2}, []float32{0.5, -0.5}))
	if err := checkpoint.SaveSafetensors(path, f, checkpoint.StoreF16(nil)); err != nil {
		fmt.Println(err)
		return
	}

	g, err := checkpoint.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	if g, err = g.StripPrefix("module."); err != nil {
		fmt.Println(err)
		return
	}
	want := []checkpoint.Want{
		{Name: "fc.weight", Shape: []int{2, 3}}, {Name: "fc.bias", Shape: []int{2}},
	}
	if err := checkpoint.Match(g, want); err != nil {
		fmt.Println(err)
		return
	}
	bias, _ := g.Get("fc.bias")
	fmt.Println(g.Format, g.Metadata["epoch"], bias.DType, bias.Float32s())
	// Output: safetensors 3 f16 [0.5 -0.5]
}
