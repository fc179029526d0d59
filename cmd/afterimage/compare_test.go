package main

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"afterimage/bench/figures"
)

// writePicture writes a w×h PNG whose pixels f gives.
func writePicture(t *testing.T, path string, w, h int, f func(x, y int) color.Color) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, f(x, y))
		}
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := png.Encode(out, img); err != nil {
		t.Fatal(err)
	}
	return path
}

func flatGrey(v uint8) func(x, y int) color.Color {
	return func(int, int) color.Color { return color.NRGBA{v, v, v, 255} }
}

// jsonPair is a pair as a reader of the JSON sees it.
type jsonPair struct {
	Name              string
	Width, Height     int
	Identical         bool
	PSNR, MSE8, LPIPS *float64
	SSIM              *float64 `json:"ssim_gaussian"`
	SSIM7             *float64 `json:"ssim_uniform"`
}

type jsonComparison struct {
	LPIPS string
	Pairs []jsonPair
	Mean  *struct{ PSNR struct{ Value float64 } }
	OnlyA []string `json:"only_in_a"`
	OnlyB []string `json:"only_in_b"`
}

func compareJSON(t *testing.T, args ...string) (c jsonComparison) {
	t.Helper()
	out := mustCall(t, append(append([]string{"compare"}, args...), "--json")...)
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return c
}

// Measures of flat images are known in closed form; transparent pixels lie over white.
func TestCompareImages(t *testing.T) {
	dir := t.TempDir()
	a := writePicture(t, filepath.Join(dir, "a.png"), 24, 16, flatGrey(51)) // 0.2
	b := writePicture(t, filepath.Join(dir, "b.png"), 24, 16, flatGrey(102))
	p := compareJSON(t, a, b).Pairs[0]
	const c1 = 0.01 * 0.01
	ssim := (2*0.2*0.4 + c1) / (0.2*0.2 + 0.4*0.4 + c1) // no variance: the luminance term alone
	for name, v := range map[string]struct {
		got  *float64
		want float64
	}{"PSNR": {p.PSNR, -10 * math.Log10(0.04)}, "8×8 MSE": {p.MSE8, 0.04},
		"SSIM": {p.SSIM, ssim}, "SSIM uniform": {p.SSIM7, ssim}} {
		if v.got == nil || math.Abs(*v.got-v.want) > 1e-5 { // pixels are float32
			t.Errorf("%s is %v, want %g", name, v.got, v.want)
		}
	}
	if p.Width != 24 || p.Height != 16 || p.Identical || p.LPIPS != nil {
		t.Errorf("pair %+v", p)
	}
	clear := writePicture(t, filepath.Join(dir, "clear.png"), 9, 9, func(int, int) color.Color {
		return color.NRGBA{10, 20, 30, 0}
	})
	white := writePicture(t, filepath.Join(dir, "white.png"), 9, 9, flatGrey(255))
	p = compareJSON(t, clear, white).Pairs[0]
	if !p.Identical || p.PSNR != nil || p.MSE8 != nil || p.SSIM != nil || *p.SSIM7 != 1 {
		t.Errorf("transparent against white, 9×9: %+v", p)
	}
	text := mustCall(t, "compare", clear, white)
	for _, want := range []string{"9×9          ∞            n/a       1.00000        n/a",
		"n/a: SSIM needs images of at least 11×11", "n/a: 8×8 MSE needs sides that 8 divides",
		"LPIPS not measured: --lpips-weights DIR"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Folders are matched by name, whatever the format and order; what has no partner is listed.
func TestCompareFolders(t *testing.T) {
	dir := t.TempDir()
	in := func(name string, v uint8) {
		writePicture(t, filepath.Join(dir, name), 16, 16, flatGrey(v))
	}
	in("a/1.png", 0)
	in("a/cats/2.PNG", 51)
	in("a/only.png", 0)
	in("a/.hidden.png", 0)
	in("b/1.png", 51)
	in("b/cats/2.png", 51+102)
	in("b/other.png", 0)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	c := compareJSON(t, a, b)
	if len(c.Pairs) != 2 || c.Pairs[0].Name != "1" || c.Pairs[1].Name != "cats/2" ||
		len(c.OnlyA) != 1 || c.OnlyA[0] != "only" || len(c.OnlyB) != 1 || c.OnlyB[0] != "other" {
		t.Fatalf("%+v", c)
	}
	want := -10 * math.Log10(0.2*0.4) // mean of dB: −5·(log 0.2² + log 0.4²)
	if got := c.Mean.PSNR.Value; math.Abs(got-want) > 1e-4 {
		t.Errorf("mean PSNR %g, want %g", got, want)
	}
	text := mustCall(t, "compare", a, b)
	for _, want := range []string{"left out: 1 image(s) only in " + a + ": only",
		"means with 95 % intervals"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Each mistake is one line that says what to do, with the exit code of usage.
func TestCompareRefuses(t *testing.T) {
	dir := t.TempDir()
	a := writePicture(t, filepath.Join(dir, "a", "x.png"), 8, 8, flatGrey(0))
	b := writePicture(t, filepath.Join(dir, "b", "y.png"), 8, 16, flatGrey(0))
	writePicture(t, filepath.Join(dir, "twice", "x.png"), 8, 8, flatGrey(0))
	writePicture(t, filepath.Join(dir, "twice", "x.PNG"), 8, 8, flatGrey(0))
	text := filepath.Join(dir, "text.png")
	if err := os.WriteFile(text, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty, none := t.TempDir(), filepath.Join(dir, "none")
	da, db := filepath.Dir(a), filepath.Dir(b)
	for _, tc := range []struct{ a, b, more, want string }{
		{a, none, "", "none: no such file or directory; give two images"},
		{a, db, "", "is a folder, the other is not"},
		{a, b, "", "x.png is 8×8"},
		{a, text, "", "text.png: not a PNG or JPEG image: image: unknown format: give an undamaged"},
		{da, db, "", "no image of " + da + " (x) has its name in " + db + " (y)"},
		{da, empty, "", "holds no PNG or JPEG image"},
		{filepath.Join(dir, "twice"), da, "", "have one name"},
		{a, a, "--lpips-weights=" + empty,
			"no LPIPS weights in " + empty + ": expected squeeze.pth"},
		{a, a, "--lpips-weights=" + none, "give the folder that holds the weights"},
		{a, a, "--lpips-net=resnet", "--lpips-net: expected "},
	} {
		args := []string{"compare", tc.a, tc.b}
		if tc.more != "" {
			args = append(args, tc.more)
		}
		code, _, errOut := call(args...)
		if code != exitUsage || !strings.Contains(errOut, tc.want) {
			t.Errorf("%v: exit code %d, %q: want %q", args[1:], code, errOut, tc.want)
		}
	}
}

// With the published weights the program prints the reference's LPIPS (data/README.md).
func TestCompareLPIPS(t *testing.T) {
	data := figures.Data(t, "no LPIPS weights")
	in := func(name string) string { return filepath.Join(data, "lpips", name) }
	for other, want := range map[string]float64{"ex_p0.png": 0.71121, "ex_p1.png": 0.14794} {
		c := compareJSON(t, in("ex_ref.png"), in(other), "--lpips-weights", data)
		const tol = 1e-5 // a unit of the reference's last place
		if got := c.Pairs[0].LPIPS; got == nil || math.Abs(*got-want) > tol ||
			c.LPIPS != "LPIPS v0.1 squeeze" {
			t.Errorf("%s: LPIPS %v (%s), reference %g", other, got, c.LPIPS, want)
		}
	}
}
