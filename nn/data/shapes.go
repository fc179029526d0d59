package data

import "math"

// A Shape is the class of a scene.
type Shape int

// The shapes, in label order.
const (
	Circle Shape = iota
	Ring
	Triangle
	Square
	Star
	Cross
	Bar
	Heart
	Crescent
	Arrow
	shapeCount
)

// shapeNames returns the class names of the scenes.
func shapeNames() []string {
	return []string{"circle", "ring", "triangle", "square", "star", "cross", "bar", "heart",
		"crescent", "arrow"}
}

// String returns the shape's name.
func (s Shape) String() string { return shapeNames()[s] }

// Symmetry returns k if the shape looks the same after a turn by 2π/k, and 0 if any turn leaves
// it as it is (circle, ring).
func (s Shape) Symmetry() int {
	return [shapeCount]int{0, 0, 3, 4, 5, 4, 2, 1, 1, 1}[s]
}

// A contour is a closed polygon in shape units: the object's size is 1, y points down.
type contour [][2]float64

// contours returns the outline of a shape; a point is inside if a ray from it crosses the
// contours an odd number of times.
func (s Shape) contours() []contour {
	switch s {
	case Circle:
		return []contour{arc(0, 0, 0.85, 0, 2*math.Pi, 72)}
	case Ring:
		return []contour{arc(0, 0, 0.92, 0, 2*math.Pi, 72), arc(0, 0, 0.46, 0, 2*math.Pi, 48)}
	case Triangle:
		return []contour{star(3, 1.08, 0.54)}
	case Square:
		return []contour{{{-.76, -.76}, {.76, -.76}, {.76, .76}, {-.76, .76}}}
	case Star:
		return []contour{star(5, 1.08, 0.50)}
	case Cross:
		const a, b = 0.30, 0.95
		return []contour{{{-a, -b}, {a, -b}, {a, -a}, {b, -a}, {b, a}, {a, a},
			{a, b}, {-a, b}, {-a, a}, {-b, a}, {-b, -a}, {-a, -a}}}
	case Bar:
		return []contour{{{-1.02, -.34}, {1.02, -.34}, {1.02, .34}, {-1.02, .34}}}
	case Heart:
		return []contour{heart(96)}
	case Crescent:
		return []contour{crescent(0.95, 0.80, 0.48)}
	}
	const shaft, neck, head = 0.24, 0.02, 0.78 // Arrow, pointing up
	return []contour{{{0, -1}, {head, -neck}, {shaft, -neck}, {shaft, .95},
		{-shaft, .95}, {-shaft, -neck}, {-head, -neck}}}
}

// corner is by how much a shape's corners are rounded.
func (s Shape) corner() float64 {
	switch s {
	case Triangle, Square, Bar, Star, Cross, Arrow:
		return 0.08
	}
	return 0.02
}

// arc returns n points on a circle from angle a to angle b (the end excluded).
func arc(cx, cy, r, a, b float64, n int) contour {
	c := make(contour, n)
	for i := range c {
		t := a + (b-a)*float64(i)/float64(n)
		c[i] = [2]float64{cx + r*math.Cos(t), cy + r*math.Sin(t)}
	}
	return c
}

// star returns a star of n points, its corners alternately at the two radii, one point up.
func star(n int, outer, inner float64) contour {
	c := make(contour, 2*n)
	for i := range c {
		r, t := outer, math.Pi*float64(i)/float64(n)-math.Pi/2
		if i%2 == 1 {
			r = inner
		}
		c[i] = [2]float64{r * math.Cos(t), r * math.Sin(t)}
	}
	return c
}

// heart returns the well-known curve x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t.
func heart(n int) contour {
	c := make(contour, n)
	for i := range c {
		t := 2 * math.Pi * float64(i) / float64(n)
		s := math.Sin(t)
		y := 13*math.Cos(t) - 5*math.Cos(2*t) - 2*math.Cos(3*t) - math.Cos(4*t)
		c[i] = [2]float64{16 * s * s * s / 17, -(y + 2.5) / 16}
	}
	return c
}

// crescent returns a disc of radius r less a disc of radius q whose centre is shift to the right.
func crescent(r, q, shift float64) contour {
	x := (r*r - q*q + shift*shift) / (2 * shift) // the circles meet at (x, ±y)
	y := math.Sqrt(r*r - x*x)
	a, b := math.Atan2(y, x), math.Atan2(y, x-shift)
	const centre = 0.25 // the crescent's mass lies left of the disc's middle
	outer := arc(centre, 0, r, a, 2*math.Pi-a, 64)
	return append(outer, arc(centre+shift, 0, q, 2*math.Pi-b, b, 48)...)
}

// fieldSide and fieldSpan: a field is sampled at fieldSide² points of [−fieldSpan, fieldSpan]².
const (
	fieldSide = 112
	fieldSpan = 1.45
	reach     = 1.10 // of the furthest corner
	farAway   = 1.42 // beyond reach and the soft edge of the shadow
	bevel     = 0.46 // width of the rounded rim, in shape units
)

// A field is a shape turned into numbers once, so that drawing it costs the same whatever its
// outline: the signed distance to the outline (negative inside) and the slope of the rounded
// solid whose height grows with depth.
type field [fieldSide * fieldSide]fieldPoint

type fieldPoint struct{ d, sx, sy float32 }

// newField samples a shape.
func newField(s Shape) *field {
	f := new(field)
	cs, r := s.contours(), s.corner()
	const step = 2 * fieldSpan / (fieldSide - 1)
	height := make([]float64, len(f))
	for j := range fieldSide {
		for i := range fieldSide {
			// Growing the outline by r rounds the convex corners; scaling by 1+r undoes the growth.
			x, y := (float64(i)*step-fieldSpan)*(1+r), (float64(j)*step-fieldSpan)*(1+r)
			d := (distance(cs, x, y) - r) / (1 + r)
			t := min(max(-d/bevel, 0), 1)
			f[j*fieldSide+i].d, height[j*fieldSide+i] = float32(d), bevel*math.Sin(math.Pi/2*t)
		}
	}
	for range 3 { // three box filters: ridges and rim become smooth
		height = smooth(height)
	}
	for j := 1; j < fieldSide-1; j++ {
		for i := 1; i < fieldSide-1; i++ {
			p := j*fieldSide + i
			f[p].sx = float32((height[p+1] - height[p-1]) / (2 * step))
			f[p].sy = float32((height[p+fieldSide] - height[p-fieldSide]) / (2 * step))
		}
	}
	return f
}

// distance is the signed distance from (x, y) to the nearest edge, negative inside.
func distance(cs []contour, x, y float64) float64 {
	best, inside := math.Inf(1), false
	for _, c := range cs {
		a := c[len(c)-1]
		for _, b := range c {
			ex, ey, px, py := b[0]-a[0], b[1]-a[1], x-a[0], y-a[1]
			t := min(max((px*ex+py*ey)/(ex*ex+ey*ey), 0), 1)
			dx, dy := px-t*ex, py-t*ey
			best = min(best, dx*dx+dy*dy)
			if (a[1] > y) != (b[1] > y) && x < a[0]+ex*(y-a[1])/ey {
				inside = !inside
			}
			a = b
		}
	}
	if inside {
		return -math.Sqrt(best)
	}
	return math.Sqrt(best)
}

// smooth is a 3×3 box filter; the border, far outside every shape, stays.
func smooth(h []float64) []float64 {
	out := make([]float64, len(h))
	copy(out, h)
	for j := 1; j < fieldSide-1; j++ {
		for i := 1; i < fieldSide-1; i++ {
			sum := 0.0
			for p := (j-1)*fieldSide + i; p <= (j+1)*fieldSide+i; p += fieldSide {
				sum += h[p-1] + h[p] + h[p+1]
			}
			out[j*fieldSide+i] = sum / 9
		}
	}
	return out
}

// cell finds the four samples round a point, which must lie within the span, and the point's
// place between them.
func (f *field) cell(x, y float64) (q00, q10, q01, q11 *fieldPoint, a, b float64) {
	const scale = (fieldSide - 1) / (2 * fieldSpan)
	u, v := (x+fieldSpan)*scale, (y+fieldSpan)*scale
	i, j := int(u), int(v)
	p := f[j*fieldSide+i:]
	return &p[0], &p[1], &p[fieldSide], &p[fieldSide+1], u - float64(i), v - float64(j)
}

// distance interpolates the signed distance bilinearly. Further than farAway from the centre it
// is the distance to the circle no shape reaches beyond.
func (f *field) distance(x, y float64) float64 {
	if r2 := x*x + y*y; r2 >= farAway*farAway {
		return math.Sqrt(r2) - reach
	}
	q00, q10, q01, q11, a, b := f.cell(x, y)
	top := float64(q00.d) + a*float64(q10.d-q00.d)
	bottom := float64(q01.d) + a*float64(q11.d-q01.d)
	return top + b*(bottom-top)
}

// slope interpolates the slope of the solid; it is 0 further away than farAway.
func (f *field) slope(x, y float64) (sx, sy float64) {
	if x*x+y*y >= farAway*farAway {
		return 0, 0
	}
	q00, q10, q01, q11, a, b := f.cell(x, y)
	w00, w10, w01, w11 := (1-a)*(1-b), a*(1-b), (1-a)*b, a*b
	sx = w00*float64(q00.sx) + w10*float64(q10.sx) + w01*float64(q01.sx) + w11*float64(q11.sx)
	sy = w00*float64(q00.sy) + w10*float64(q10.sy) + w01*float64(q01.sy) + w11*float64(q11.sy)
	return sx, sy
}
