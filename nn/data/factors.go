package data

import (
	"math"
	"strings"

	"afterimage/tensor"
)

// A Texture is the kind of pattern in a scene.
type Texture int

// The patterns.
const (
	Plain Texture = iota
	Stripes
	Checks
	Dots
)

// Factors are the numbers a scene is drawn from. Lengths are fractions of the image's side, x to
// the right and y down; directions are in radians, clockwise from the right.
type Factors struct {
	Shape               Shape
	X, Y                float64 // centre of the object, 0.5 ± 0.14
	Size                float64 // radius of the object, 0.23 to 0.36
	Angle               float64 // rotation of the object, [0, 2π)
	Hue                 float64 // of the object, in Oklab, [0, 2π)
	Lightness           float64 // of the object, in Oklab, 0.54 to 0.74
	BackgroundHue       float64 // in the middle of the gradient, [0, 2π)
	BackgroundLightness float64 // in the middle, 0.26 to 0.86
	Gradient            float64 // direction in which the background turns lighter, [0, 2π)
	HueShift            float64 // how far the hue turns along the gradient, ± 1 to either side
	Texture             Texture
	OnObject            bool    // the texture covers the object, not the background
	Frequency           float64 // periods of the texture across the image, 3.5 to 7
	TextureAngle        float64 // direction of the texture, [0, π)
	Light               float64 // direction the light comes from, [0, 2π)
	Brightness          float64 // factor on all light, 0.65 to 1.05
}

// drawFactors draws the factors of one scene. Classes are balanced: every ten consecutive images
// hold every shape once, in random order.
func drawFactors(seed uint64, index uint32) Factors {
	const n = uint32(shapeCount)
	order := tensor.NewRNG(tensor.NewKey(seed, "data/scenes/shape"), index/n).Perm(int(n))
	r := tensor.NewRNG(tensor.NewKey(seed, "data/scenes/factors"), index)
	turn := func() float64 { return r.Uniform(0, 2*math.Pi) }
	return Factors{
		Shape: Shape(order[index%n]),
		X:     r.Uniform(0.36, 0.64), Y: r.Uniform(0.36, 0.64), Size: r.Uniform(0.23, 0.36),
		Angle: turn(), Hue: turn(), Lightness: r.Uniform(0.54, 0.74),
		BackgroundHue: turn(), BackgroundLightness: backgroundLightness(r.Float64()),
		Gradient: turn(), HueShift: r.Uniform(-1, 1),
		Texture: Texture(r.IntN(4)), OnObject: r.IntN(2) == 1, Frequency: r.Uniform(3.5, 7),
		TextureAngle: r.Uniform(0, math.Pi), Light: turn(), Brightness: r.Uniform(0.65, 1.05),
	}
}

// backgroundLightness maps (0, 1) to dark (0.26 to 0.44) and light (0.76 to 0.86) backgrounds,
// two to one, so that every object stands out.
func backgroundLightness(u float64) float64 {
	if u < 2.0/3 {
		return 0.26 + 0.18*u*1.5
	}
	return 0.76 + 0.10*(u*3-2)
}

// sceneFactorNames returns the columns of Factors.Vector.
func sceneFactorNames() []string {
	return strings.Fields(`position.x position.y size angle.sin angle.cos
		object.hue.sin object.hue.cos object.lightness
		background.hue.sin background.hue.cos background.lightness
		gradient.sin gradient.cos gradient.hueshift
		texture.object texture.background texture.frequency texture.sin texture.cos
		light.sin light.cos light.brightness`)
}

// Vector returns the factors other than the shape as numbers a regressor can predict, in the
// order of the scenes' FactorNames. A direction φ that repeats every 2π/k is given as
// (sin kφ, cos kφ): k is the shape's Symmetry for the angle, 2 for stripes, 4 for checks and dots,
// 1 otherwise. What an image does not show is 0: the angle of circles and rings, direction of a
// missing texture; the frequency of a missing texture is 5.25, its mean.
func (f Factors) Vector() []float32 {
	var v []float32
	add := func(x ...float64) {
		for _, x := range x {
			v = append(v, float32(x))
		}
	}
	turn := func(angle float64, k int) (sin, cos float64) {
		if k == 0 {
			return 0, 0
		}
		return math.Sincos(float64(k) * angle)
	}
	add(f.X, f.Y, f.Size)
	add(turn(f.Angle, f.Shape.Symmetry()))
	add(turn(f.Hue, 1))
	add(f.Lightness)
	add(turn(f.BackgroundHue, 1))
	add(f.BackgroundLightness)
	add(turn(f.Gradient, 1))
	add(f.HueShift)
	onObject, onBackground, frequency := 0.0, 0.0, (3.5+7)/2
	if f.Texture != Plain {
		frequency = f.Frequency
		if onBackground = 1; f.OnObject {
			onObject, onBackground = 1, 0
		}
	}
	add(onObject, onBackground, frequency)
	add(turn(f.TextureAngle, [...]int{Plain: 0, Stripes: 2, Checks: 4, Dots: 4}[f.Texture]))
	add(turn(f.Light, 1))
	add(f.Brightness)
	return v
}
