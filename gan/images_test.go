package gan

import "testing"

// TestImages: sets without a size of their own come at the generator's, CIFAR's as they are.
func TestImages(t *testing.T) {
	for dataset, want := range map[string]int{"mnist": 64, "folder:x": 64, "scenes": 64,
		"cifar-10": 0} {
		c := InverterConfig{Dataset: dataset, TrainImages: 5, Net: BigGAN64(4, 10)}
		if o := c.Images(); o.Size != want || o.Train != 5 {
			t.Errorf("%s: %+v, expected size %d", dataset, o, want)
		}
	}
}
