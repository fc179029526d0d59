package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/bench/figures"
	"afterimage/gan/metrics"
)

// speckled returns a picture that depends on seed.
func speckled(seed int) func(x, y int) color.Color {
	return func(x, y int) color.Color {
		v := uint32(x*73856093 ^ y*19349663 ^ (seed+1)*83492791)
		v ^= v >> 13
		v *= 2654435761
		return color.RGBA{uint8(v >> 8), uint8(v >> 16), uint8(v >> 24), 255}
	}
}

// folders makes two folders of speckled pictures, the second with other names.
func folders(t *testing.T, n, m, side int) (a, b string) {
	t.Helper()
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for i := range n {
		writePicture(t, filepath.Join(a, fmt.Sprintf("a%d.png", i)), side, side, speckled(i))
	}
	for i := range m {
		writePicture(t, filepath.Join(b, fmt.Sprintf("b%d.png", i)), side, side, speckled(1000+i))
	}
	return a, b
}

func setsOf(t *testing.T, args ...string) metrics.SetDistance {
	t.Helper()
	var c struct{ Sets *metrics.SetDistance }
	text := mustCall(t, append([]string{"compare", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &c); err != nil || c.Sets == nil {
		t.Fatalf("%s: %v", text, err)
	}
	return *c.Sets
}

// Folders without a name in common are compared as sets in the features of a shipped classifier: a
// folder with itself is at distance 0 and covers itself, with another it is farther away.
func TestCompareSetsOfFolders(t *testing.T) {
	a, b := folders(t, 6, 5, 32)
	const net = "shipped:scenes-standard"
	self, other := setsOf(t, a, a, "--features", net), setsOf(t, a, b, "--features", net)
	if self.Frechet > 1e-6 || self.Prec != 1 || self.Recall != 1 {
		t.Errorf("with itself: %+v", self)
	}
	if other.Frechet <= self.Frechet || other.N != 6 || other.M != 5 ||
		!strings.Contains(other.Space, "scenes-standard, penultimate layer") {
		t.Errorf("with another: %+v", other)
	}
	text := mustCall(t, "compare", a, b, "--features", net)
	for _, want := range []string{"as sets, in the features of the shipped classifier scenes-standard",
		"Fréchet distance", "KID", "precision", "recall", "says little", "only in " + a} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = mustCall(t, "compare", a, a)
	if !strings.Contains(text, "as sets: not measured: --features") {
		t.Errorf("nothing says how to compare sets:\n%s", text)
	}
}

// A network's features are the same from an ONNX file. What such a file does not say is guessed,
// printed, and changed by flags.
func TestCompareSetsONNX(t *testing.T) {
	a, b := folders(t, 4, 4, 32)
	own, inside, bare := sameNetwork(t, t.TempDir())
	want, got := setsOf(t, a, b, "--features", own), setsOf(t, a, b, "--features", inside)
	if math.Abs(got.Frechet-want.Frechet) > 1e-3*want.Frechet || got.Dim != want.Dim {
		t.Errorf("from ONNX %+v, from weights %+v", got, want)
	}
	compare := func(more ...string) (code int, errOut string) {
		code, _, errOut = call(append([]string{"compare", a, b, "--features", bare}, more...)...)
		return code, errOut
	}
	if code, errOut := compare(); code != exitOK || !strings.Contains(errOut, "--features-mean") {
		t.Errorf("exit code %d, %q: want what was assumed", code, errOut)
	}
	if code, errOut := compare("--features-mean", "0.5,0.5,0.5"); code != exitUsage ||
		!strings.Contains(errOut, "--features-std") {
		t.Errorf("exit code %d, %q: want the flag that is missing", code, errOut)
	}
}

// What does not fit a network is one line that says what to do.
func TestCompareSetsRefuses(t *testing.T) {
	a, b := folders(t, 2, 2, 16)
	notOurs := filepath.Join(t.TempDir(), "net.safetensors")
	if err := os.WriteFile(notOurs, []byte("no weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ features, want string }{
		{"shipped:scenes-standard", "takes 32×32: resize it"},
		{"shipped:nothing", "--features"},
		{"lpips", "give --lpips-weights DIR"},
		{notOurs, "net.safetensors"},
		{filepath.Join(a, "none"), "none"},
	} {
		code, _, errOut := call("compare", a, b, "--features", tc.features)
		if code != exitUsage || !strings.Contains(errOut, tc.want) ||
			strings.Count(strings.TrimSpace(errOut), "\n") > 0 {
			t.Errorf("%s: exit code %d, %q: want %q", tc.features, code, errOut, tc.want)
		}
	}
	one := filepath.Dir(writePicture(t, filepath.Join(t.TempDir(), "x.png"), 32, 32, flatGrey(0)))
	text := mustCall(t, "compare", one, one, "--features", "shipped:scenes-standard")
	if !strings.Contains(text, "not measured: "+one+" holds one image") {
		t.Errorf("one image: %s", text)
	}
}

// With LPIPS's weights its backbone is the default, and too small an image no error.
func TestCompareSetsInBackbone(t *testing.T) {
	data := figures.Data(t, "no LPIPS weights")
	a, b := folders(t, 4, 4, 24)
	d := setsOf(t, a, b, "--lpips-weights", data)
	if d.Dim != 512 || !strings.HasPrefix(d.Space, "LPIPS's squeeze backbone ") || d.Frechet <= 0 {
		t.Errorf("%+v", d)
	}
	small, _ := folders(t, 2, 1, 16)
	text := mustCall(t, "compare", small, small, "--lpips-weights", data)
	if !strings.Contains(text, "takes at least 17×17") || !strings.Contains(text, "n/a") {
		t.Errorf("small images: %s", text)
	}
}
