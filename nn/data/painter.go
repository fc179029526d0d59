package data

import "math"

// A Painter draws scenes. It is immutable: any number of goroutines may share one.
type Painter struct {
	fields [shapeCount]*field
	srgb   [srgbSteps + 1]uint8
}

// NewPainter prepares the shapes and tables; it takes a few hundredths of a second.
func NewPainter() *Painter {
	p := new(Painter)
	for s := range shapeCount {
		p.fields[s] = newField(s)
	}
	for i := range p.srgb {
		p.srgb[i] = toSRGB(float64(i) / srgbSteps)
	}
	return p
}

// The look of the scenes, in one place.
const (
	elevation        = 0.75 // of the light, radians above the image plane
	ambient          = 0.34 // light that comes from everywhere
	gloss            = 0.30 // strength of the highlight
	relief           = 1.15 // how strongly the rim bends the normal
	shadowShift      = 0.30 // of the shadow, in object sizes
	shadowSoft       = 0.45 // width of the shadow's edge, in object sizes
	shadowDark       = 0.55 // how much light the shadow takes
	lightFalloff     = 0.20 // the background is brighter towards the light
	gradientRise     = 0.10 // lightness gained from the middle to the end of the gradient
	backgroundChroma = 0.075
	objectChroma     = 0.155
	backgroundWeave  = 0.20 // contrast of a texture on the background
	objectWeave      = 0.50 // how far a texture on the object goes towards its tint
)

// Draw draws the scene f into pix, size×size RGB pixels in HWC order. Edges are anti-aliased from
// signed distances; colours are mixed in linear light.
// It panics with *tensor.Error if pix has another length than 3·size² or f.Shape is unknown.
func (p *Painter) Draw(f Factors, size int, pix []uint8) {
	if size < 1 || len(pix) != 3*size*size || f.Shape < 0 || f.Shape >= shapeCount {
		misuse("Painter.Draw", "shape %d, size %d, %d bytes: expected shape 0 to %d and 3·size² bytes",
			f.Shape, size, len(pix), shapeCount-1)
	}
	b := newBrush(p, f, size)
	step := 1 / float64(size)
	for i := range size {
		for j := range size {
			c := b.colour((float64(j)+0.5)*step, (float64(i)+0.5)*step)
			for k, v := range c {
				pix[3*(i*size+j)+k] = p.srgb[int(clamp(v)*srgbSteps+0.5)]
			}
		}
	}
}

// A brush holds what is the same for all pixels of one scene.
type brush struct {
	f              Factors
	field          *field
	scale          float64 // pixels per unit
	shrink         float64 // object sizes per unit
	sin, cos       float64 // of the object's angle
	lightX, lightY float64 // towards the light, in the image plane
	gradX, gradY   float64
	texX, texY     float64
	from, to       rgb // ends of the background's gradient
	body, tint     rgb // the object and the light colour of its texture
}

func newBrush(p *Painter, f Factors, size int) *brush {
	b := &brush{f: f, field: p.fields[f.Shape], scale: float64(size), shrink: 1 / f.Size}
	b.sin, b.cos = math.Sincos(f.Angle)
	b.lightY, b.lightX = math.Sincos(f.Light)
	b.gradY, b.gradX = math.Sincos(f.Gradient)
	b.texY, b.texX = math.Sincos(f.TextureAngle)
	b.from = oklch(f.BackgroundLightness-gradientRise, backgroundChroma, f.BackgroundHue-f.HueShift)
	b.to = oklch(f.BackgroundLightness+gradientRise, backgroundChroma, f.BackgroundHue+f.HueShift)
	b.body = oklch(f.Lightness, objectChroma, f.Hue)
	b.tint = oklch(0.92, 0.05, f.Hue)
	return b
}

// local turns a point of the image into the object's own coordinates.
func (b *brush) local(u, v float64) (x, y float64) {
	dx, dy := (u-b.f.X)*b.shrink, (v-b.f.Y)*b.shrink
	return dx*b.cos + dy*b.sin, dy*b.cos - dx*b.sin
}

// colour is the linear light at a point of the unit square.
func (b *brush) colour(u, v float64) rgb {
	x, y := b.local(u, v)
	cover := clamp(0.5 - b.field.distance(x, y)*b.f.Size*b.scale)
	var c rgb
	if cover < 1 {
		c = b.background(u, v)
	}
	if cover > 0 {
		sx, sy := b.field.slope(x, y)
		c = mix(c, b.object(u, v, sx, sy), cover)
	}
	return c.times(b.f.Brightness)
}

// background is the gradient with its texture, the light's falloff and the object's shadow.
func (b *brush) background(u, v float64) rgb {
	along := (u-0.5)*b.gradX + (v-0.5)*b.gradY
	c := mix(b.from, b.to, clamp(0.5+along))
	light := 1 + lightFalloff*2*((u-0.5)*b.lightX+(v-0.5)*b.lightY)
	if b.f.Texture != Plain && !b.f.OnObject {
		light *= 1 + backgroundWeave*b.weave(u, v)
	}
	shift := shadowShift * b.f.Size
	d := b.field.distance(b.local(u+shift*b.lightX, v+shift*b.lightY))
	if t := clamp(0.5 - d/shadowSoft); t > 0 {
		light *= 1 - shadowDark*t*t*(3-2*t)
	}
	return c.times(light)
}

// object is the body, a rounded solid under one lamp: Lambert's law, Blinn's highlight, and
// some light from everywhere. (sx, sy) is the solid's slope in its own coordinates.
func (b *brush) object(u, v, sx, sy float64) rgb {
	const upZ = 0.6816387600233341 // sin(elevation)
	const upXY = 0.731688868873821 // cos(elevation)
	nx, ny := -relief*(sx*b.cos-sy*b.sin), -relief*(sx*b.sin+sy*b.cos)
	norm := 1 / math.Sqrt(1+nx*nx+ny*ny)
	facing := (nx*b.lightX + ny*b.lightY) * norm
	diffuse := max(facing*upXY+norm*upZ, 0) / upZ
	half := (facing*upXY + norm*(upZ+1)) / math.Sqrt(upXY*upXY+(upZ+1)*(upZ+1))
	shine := half * half
	for range 4 { // half³²
		shine *= shine
	}
	c := b.body
	if b.f.Texture != Plain && b.f.OnObject {
		c = mix(c, b.tint, objectWeave*(0.5+0.5*b.weave(u, v)))
	}
	c = c.times(ambient + (1-ambient)*diffuse)
	return rgb{c[0] + gloss*shine, c[1] + gloss*shine, c[2] + gloss*shine}
}

// weave is the texture at a point, −1 to 1, with edges one pixel wide.
func (b *brush) weave(u, v float64) float64 {
	s, t := (u*b.texX+v*b.texY)*b.f.Frequency, (v*b.texX-u*b.texY)*b.f.Frequency
	sharp := b.scale / b.f.Frequency // pixels per period
	switch b.f.Texture {
	case Stripes:
		return stripe(s, sharp)
	case Checks:
		return stripe(s/2, 2*sharp) * stripe(t/2, 2*sharp)
	}
	s, t = s-math.Floor(s)-0.5, t-math.Floor(t)-0.5
	const radius = 0.32 // of a dot, in periods
	return 2*clamp(0.5+(radius-math.Sqrt(s*s+t*t))*sharp) - 1
}

// stripe is a square wave of period 1 whose edges are one pixel wide.
func stripe(x, sharp float64) float64 {
	x -= math.Floor(x)
	return 2*clamp(0.5+(0.25-math.Abs(x-0.5))*sharp) - 1
}
