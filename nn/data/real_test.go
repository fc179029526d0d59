package data

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"afterimage/bench/figures"
)

// realData returns the folder of real datasets, or skips the test.
func realData(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("short: real datasets take seconds to read")
	}
	return figures.Data(t, "no real data to test against")
}

// statsDigits is the precision of the published channel statistics: four digits.
const statsDigits = 0.00005

func TestRealCIFAR10(t *testing.T) {
	set, err := Open("cifar-10", realData(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ClassCounts(set.TrainVal); !slices.Equal(got, slices.Repeat([]int{5000}, 10)) {
		t.Errorf("training images per class: %v", got)
	}
	if got := ClassCounts(set.Test); !slices.Equal(got, slices.Repeat([]int{1000}, 10)) {
		t.Errorf("test images per class: %v", got)
	}
	if set.Train.Len() != 45000 || set.Val.Len() != 5000 {
		t.Errorf("splits %d and %d, want 45000 and 5000", set.Train.Len(), set.Val.Len())
	}
	mean, std := ChannelStats(set.TrainVal)
	for ch, want := range []float64{.4914, .4822, .4465} {
		if math.Abs(mean[ch]-want) > statsDigits {
			t.Errorf("mean of channel %d: %.5f, published %.4f", ch, mean[ch], want)
		}
	}
	for ch, want := range []float64{.2470, .2435, .2616} {
		if math.Abs(std[ch]-want) > statsDigits {
			t.Errorf("deviation of channel %d: %.5f, published %.4f", ch, std[ch], want)
		}
	}
	if b := Read(set.Test, Unit, 0); b.Labels[0] != 3 || set.Classes()[3] != "cat" {
		t.Errorf("test image 0 has label %d (%s), want 3, cat", b.Labels[0], set.Classes()[b.Labels[0]])
	}
}

func TestRealCIFAR100(t *testing.T) {
	set, err := Open("cifar-100", realData(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ClassCounts(set.TrainVal); set.TrainVal.Len() != 30000 || slices.Min(got) != 300 ||
		slices.Max(got) != 300 {
		t.Errorf("%d training images, %d to %d a class, want 30000, 300", set.TrainVal.Len(),
			slices.Min(got), slices.Max(got))
	}
	if got := ClassCounts(set.Test); slices.Min(got) != 100 || slices.Max(got) != 100 {
		t.Errorf("test images per class: %v", got)
	}
	if c := set.Classes(); c[0] != "apple" || c[99] != "worm" {
		t.Errorf("first and last class %q %q, want apple and worm", c[0], c[99])
	}
}

func TestRealMNIST(t *testing.T) {
	set, err := Open("mnist", realData(t), Options{Size: 32, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := []int{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}
	if got := ClassCounts(set.Test); !slices.Equal(got, want) {
		t.Errorf("test images per class: %v", got)
	}
	if h, w, c := set.Size(); h != 32 || w != 32 || c != 1 || set.TrainVal.Len() != 10000 {
		t.Errorf("%d images of %dx%dx%d", set.TrainVal.Len(), h, w, c)
	}
}

func TestRealPhotographs(t *testing.T) {
	m, err := OpenFolder(filepath.Join(realData(t), "images", "imagenet"), 64, 3)
	if err != nil {
		t.Fatal(err)
	}
	grey, coloured := 0, 0
	pix := make([]uint8, 64*64*3)
	for i := range m.Len() {
		if m.Read(i, pix) != Unlabeled {
			t.Errorf("image %d of a flat folder has a label", i)
		}
		same := true
		for p := 0; p < len(pix); p += 3 {
			same = same && pix[p] == pix[p+1] && pix[p] == pix[p+2]
		}
		if same {
			grey++
		} else {
			coloured++
		}
	}
	if grey != 1 || coloured != 15 { // n02676566 is a greyscale JPEG
		t.Errorf("%d grey and %d coloured photographs, want 1 and 15", grey, coloured)
	}
}
