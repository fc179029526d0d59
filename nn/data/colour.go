package data

import "math"

// rgb is linear light, 0 to 1.
type rgb [3]float64

// times scales a colour.
func (c rgb) times(k float64) rgb { return rgb{c[0] * k, c[1] * k, c[2] * k} }

// mix goes from a (t = 0) to b (t = 1).
func mix(a, b rgb, t float64) rgb {
	return rgb{a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1]), a[2] + t*(b[2]-a[2])}
}

// oklch converts lightness, chroma and hue (radians) of the Oklab space to linear sRGB, clipped
// to its gamut. Equal steps look equally large, which no mixture of red, green and blue gives.
// Source: B. Ottosson, "A perceptual color space for image processing", 2020.
func oklch(lightness, chroma, hue float64) rgb {
	sin, cos := math.Sincos(hue)
	a, b := chroma*cos, chroma*sin
	l := cube(lightness + 0.3963377774*a + 0.2158037573*b)
	m := cube(lightness - 0.1055613458*a - 0.0638541728*b)
	s := cube(lightness - 0.0894841775*a - 1.2914855480*b)
	return rgb{
		clamp(4.0767416621*l - 3.3077115913*m + 0.2309699292*s),
		clamp(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s),
		clamp(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s),
	}
}

// clamp brings v to [0, 1]. Comparisons suffice where nothing is NaN, and are faster than min and
// max.
func clamp(v float64) float64 {
	if v < 0 {
		return 0
	}
	if v > 1 {
		return 1
	}
	return v
}

func cube(x float64) float64 { return x * x * x }

// srgbSteps is the resolution of the table from linear light to sRGB: its coarsest step, in the
// darkest tones, is 12.92·255/4096 = 0.8 of a byte.
const srgbSteps = 4096

// toSRGB is the transfer function of IEC 61966-2-1, as a byte.
func toSRGB(v float64) uint8 {
	if v <= 0.0031308 {
		v *= 12.92
	} else {
		v = 1.055*math.Pow(v, 1/2.4) - 0.055
	}
	return uint8(v*255 + 0.5)
}
