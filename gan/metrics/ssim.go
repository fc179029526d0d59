package metrics

import "math"

// An SSIMVariant names one of the two conventions in use, whose values differ in the second or
// third decimal.
type SSIMVariant uint8

const (
	// SSIMGaussian is variant a, the one reported: 11-tap Gaussian window of σ = 1.5, population
	// covariance. Source: Wang et al. 2004; TensorFlow and pytorch-msssim follow it.
	SSIMGaussian SSIMVariant = iota
	// SSIMUniform is variant b: 7×7 uniform window, sample covariance (N/(N−1), N = 49).
	// Source: the defaults of scikit-image.
	SSIMUniform
)

// Side returns the height and width of the variant's window in pixels: an image must hold one.
func (v SSIMVariant) Side() int {
	if v == SSIMUniform {
		return 7
	}
	return 11
}

// Constants of Wang et al. 2004, section III-B: C1 = (K1·R)², C2 = (K2·R)².
const ssimK1, ssimK2 = 0.01, 0.03

// SSIM returns, per image, the structural similarity
//
//	(2·μx·μy + C1)·(2·σxy + C2) / ((μx² + μy² + C1)·(σx² + σy² + C2))
//
// averaged over the positions where the window lies wholly inside the image ("valid"), then
// over channels. Range [−1, 1]; 1 for equal images. Sums run in float64, because σ² = E[x²] − μ²
// cancels in float32.
//
// It panics if the shapes [N H W C] differ or the image is smaller than the window (11 or 7).
func SSIM(a, b Images, v SSIMVariant) []float64 {
	const op = "metrics.SSIM"
	sameShape(op, a, b)
	win, cov := v.taps()
	if a.H < len(win) || a.W < len(win) {
		fail(op, "image %d×%d is smaller than the %d×%d window", a.H, a.W, len(win), len(win))
	}
	n, hw := a.Size(), a.H*a.W
	s := ssim{win: win, cov: cov, h: a.H, w: a.W, tmp: make([]float64, hw)}
	for i := range s.maps {
		s.maps[i] = make([]float64, hw)
	}
	px, py := make([]float64, n), make([]float64, n)
	x, y := make([]float64, hw), make([]float64, hw)
	out := make([]float64, a.N)
	for i := range out {
		a.unit(i, px)
		b.unit(i, py)
		for c := range a.C {
			for j := range hw {
				x[j], y[j] = px[j*a.C+c], py[j*a.C+c]
			}
			out[i] += s.plane(x, y) / float64(a.C)
		}
	}
	return out
}

// gaussianSigma is the width of SSIMGaussian's window. Source: Wang et al. 2004, section III-C.
const gaussianSigma = 1.5

// taps returns those of the separable window in one dimension, and the factor that turns a
// population covariance into the variant's own.
func (v SSIMVariant) taps() (taps []float64, cov float64) {
	n := v.Side()
	taps = make([]float64, n)
	if v == SSIMUniform {
		for i := range taps {
			taps[i] = 1 / float64(n)
		}
		return taps, float64(n*n) / float64(n*n-1)
	}
	sum := 0.0
	for i := range taps {
		d := float64(i - n/2)
		taps[i] = math.Exp(-d * d / (2 * gaussianSigma * gaussianSigma))
		sum += taps[i]
	}
	for i := range taps {
		taps[i] /= sum
	}
	return taps, 1
}

// ssim holds the window and the scratch planes of one call.
type ssim struct {
	win  []float64
	cov  float64
	h, w int
	tmp  []float64
	maps [5][]float64 // windowed means of x, y, x², y², xy
}

// plane returns the mean SSIM of two single-channel planes [h w] in [0, 1].
func (s *ssim) plane(x, y []float64) float64 {
	oh, ow := s.h-len(s.win)+1, s.w-len(s.win)+1
	s.filter(s.maps[0], func(i int) float64 { return x[i] })
	s.filter(s.maps[1], func(i int) float64 { return y[i] })
	s.filter(s.maps[2], func(i int) float64 { return x[i] * x[i] })
	s.filter(s.maps[3], func(i int) float64 { return y[i] * y[i] })
	s.filter(s.maps[4], func(i int) float64 { return x[i] * y[i] })
	const c1, c2 = ssimK1 * ssimK1, ssimK2 * ssimK2 // R = 1
	sum := 0.0
	for i := range oh * ow {
		mx, my := s.maps[0][i], s.maps[1][i]
		vx := s.cov * (s.maps[2][i] - mx*mx)
		vy := s.cov * (s.maps[3][i] - my*my)
		vxy := s.cov * (s.maps[4][i] - mx*my)
		sum += (2*mx*my + c1) * (2*vxy + c2) / ((mx*mx + my*my + c1) * (vx + vy + c2))
	}
	return sum / float64(oh*ow)
}

// filter writes the valid windowed mean [oh ow] of the plane src [h w] into dst.
func (s *ssim) filter(dst []float64, src func(i int) float64) {
	k := len(s.win)
	oh, ow := s.h-k+1, s.w-k+1
	for r := range s.h {
		for c := range ow {
			sum := 0.0
			for t, g := range s.win {
				sum += g * src(r*s.w+c+t)
			}
			s.tmp[r*ow+c] = sum
		}
	}
	for r := range oh {
		for c := range ow {
			sum := 0.0
			for t, g := range s.win {
				sum += g * s.tmp[(r+t)*ow+c]
			}
			dst[r*ow+c] = sum
		}
	}
}
