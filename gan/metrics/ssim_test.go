package metrics

import (
	"afterimage/bench/figures"
	"image"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// slowSSIM computes one channel's SSIM from the definition: explicit 2-D windows, covariances about
// the window's own mean.
func slowSSIM(x, y []float64, h, w int, win [][]float64, cov float64) float64 {
	k, total, count := len(win), 0.0, 0
	for r := 0; r+k <= h; r++ {
		for c := 0; c+k <= w; c++ {
			var mx, my, vx, vy, vxy float64
			each := func(f func(g, a, b float64)) {
				for i := range k {
					for j := range k {
						f(win[i][j], x[(r+i)*w+c+j], y[(r+i)*w+c+j])
					}
				}
			}
			each(func(g, a, b float64) { mx, my = mx+g*a, my+g*b })
			each(func(g, a, b float64) {
				vx, vy, vxy = vx+g*(a-mx)*(a-mx), vy+g*(b-my)*(b-my), vxy+g*(a-mx)*(b-my)
			})
			total += (2*mx*my + 0.0001) * (2*cov*vxy + 0.0009) /
				((mx*mx + my*my + 0.0001) * (cov*(vx+vy) + 0.0009))
			count++
		}
	}
	return total / float64(count)
}

func TestSSIMAgainstDefinition(t *testing.T) {
	gauss := make([][]float64, 11)
	sum := 0.0
	for i := range gauss {
		gauss[i] = make([]float64, 11)
		for j := range gauss[i] {
			gauss[i][j] = math.Exp(-float64((i-5)*(i-5)+(j-5)*(j-5)) / 4.5)
			sum += gauss[i][j]
		}
	}
	box := make([][]float64, 7)
	for i := range box {
		box[i] = make([]float64, 7)
		for j := range box[i] {
			box[i][j] = 1.0 / 49
		}
	}
	for i := range gauss {
		for j := range gauss[i] {
			gauss[i][j] /= sum
		}
	}
	const h, w, c = 13, 12, 3
	a, b := randomImages(2, h, w, c, Unit, "a"), randomImages(2, h, w, c, Unit, "b")
	ga, gb := SSIM(a, b, SSIMGaussian), SSIM(a, b, SSIMUniform)
	for i := range 2 {
		wantA, wantB := 0.0, 0.0
		for ch := range c {
			x, y := make([]float64, h*w), make([]float64, h*w)
			for j := range x {
				x[j], y[j] = float64(a.At(i)[j*c+ch]), float64(b.At(i)[j*c+ch])
			}
			wantA += slowSSIM(x, y, h, w, gauss, 1) / c
			wantB += slowSSIM(x, y, h, w, box, 49.0/48) / c
		}
		near(t, "variant a", ga[i], wantA, 1e-12)
		near(t, "variant b", gb[i], wantB, 1e-12)
	}
	near(t, "self", SSIM(a, a, SSIMGaussian)[0], 1, 1e-12)
	mustPanic(t, "smaller than the 11×11", func() {
		small := randomImages(1, 10, 32, 1, Unit, "a")
		SSIM(small, small, SSIMGaussian)
	})
}

// TestPublishedSSIM compares with the values in scikit-image's own tests.
func TestPublishedSSIM(t *testing.T) {
	dir := figures.Data(t, "published SSIM values not checked")
	dir = filepath.Join(dir, "images", "ssim")
	a := readGrey(t, filepath.Join(dir, "camera.png"))
	b := readGrey(t, filepath.Join(dir, "camera_noisy_seed5_sigma20.png"))
	figures.Check(t, "SSIM uniform window, camera with noise", SSIM(a, b, SSIMUniform)[0])
	figures.Check(t, "SSIM Gaussian window, camera with noise", SSIM(a, b, SSIMGaussian)[0])
}

func readGrey(t *testing.T, path string) Images {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	b := img.Bounds()
	var pix []uint8
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, _, _, _ := img.At(x, y).RGBA()
			pix = append(pix, uint8(r>>8))
		}
	}
	return FromBytes(1, b.Dy(), b.Dx(), 1, pix)
}
