package train

import (
	"testing"

	"afterimage/nn/data"
)

// Grey digits are opened as the network takes them; every other set as it is.
func TestDigitsFitTheNetwork(t *testing.T) {
	for _, c := range []struct {
		arch, dataset string
		want          data.Options
	}{
		{"lenet5", "mnist", data.Options{Size: 32, Channels: 1}},
		{"convnet-mnist", "fashion-mnist", data.Options{Size: 28, Channels: 1}},
		{"resnet8", "mnist", data.Options{}},
		{"lenet5", "cifar-10", data.Options{}},
	} {
		got := ClassifierConfig{Arch: c.arch, Dataset: c.dataset}.images()
		if got != c.want {
			t.Errorf("%s on %s: %+v, expected %+v", c.arch, c.dataset, got, c.want)
		}
	}
}
