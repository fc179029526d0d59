package data

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// plainScene is a scene of even background without texture, lit from the upper left.
func plainScene(s Shape) Factors {
	return Factors{Shape: s, X: 0.5, Y: 0.5, Size: 0.3, Angle: 0.3, Hue: 0.5, Lightness: 0.65,
		BackgroundHue: 3, BackgroundLightness: 0.3, Gradient: math.Pi / 2, Light: -2, Brightness: 1}
}

// difference is the mean absolute difference of two images in steps of 1/255.
func difference(a, b []uint8) float64 {
	sum := 0.0
	for i := range a {
		sum += math.Abs(float64(a[i]) - float64(b[i]))
	}
	return sum / float64(len(a))
}

func TestScenesArePureFunctionsOfSeedAndIndex(t *testing.T) {
	p := NewPainter()
	c := ScenesConfig{Seed: 7, First: 100, N: 200, Size: 16, Channels: 3}
	a := NewScenes(p, c)
	c.Seed = 8
	other := NewScenes(p, c)
	b := NewScenes(NewPainter(), ScenesConfig{Seed: 7, First: 150, N: 10, Size: 16, Channels: 3})
	x, y, z := make([]uint8, 16*16*3), make([]uint8, 16*16*3), make([]uint8, 16*16*3)
	if la, lb := a.Read(52, x), b.Read(2, y); la != lb || !slices.Equal(x, y) {
		t.Error("image 152 depends on where its dataset begins or on what was read before")
	}
	if other.Read(52, z); slices.Equal(x, z) {
		t.Error("another seed gives the same image")
	}
	if runtime.GOARCH != "amd64" {
		return // the compiler may fuse operations elsewhere: the digest is that of amd64
	}
	h := sha256.New()
	for i := range a.Len() {
		a.Read(i, x)
		h.Write(x)
	}
	const want = "31362b5f45396bad9579a0a00620307656ebd3bf0e527c05f70ab16687f0ecd0"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("200 scenes have digest %s, want %s: shipped weights were trained on the latter", got,
			want)
	}
}

func TestScenesManyReaders(t *testing.T) {
	c := ScenesConfig{Seed: 1, N: 300, Size: 8, Channels: 1}
	s, want := NewScenes(NewPainter(), c), Materialize(NewScenes(NewPainter(), c))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			pix, ref := make([]uint8, 64), make([]uint8, 64)
			for i := range 300 {
				k := (i*7 + w*75) % 300
				s.Read(k, pix)
				if want.Read(k, ref); !slices.Equal(pix, ref) {
					t.Errorf("image %d differs when read by several goroutines", k)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestScenesSplits(t *testing.T) {
	set, err := Open("scenes", "", Options{Train: 500, Size: 8})
	if err != nil {
		t.Fatal(err)
	}
	if set.Train.Len() != 500 || set.Val.Len() != 2000 || set.Test.Len() != 2000 ||
		set.TrainVal.Len() != 2500 {
		t.Errorf("splits %d %d %d", set.Train.Len(), set.Val.Len(), set.Test.Len())
	}
	if got := ClassCounts(set.Test); !slices.Equal(got, slices.Repeat([]int{200}, 10)) {
		t.Errorf("test images per class: %v, want 200 each", got)
	}
	seen := map[Factors]bool{}
	for _, ds := range []Dataset{set.Train, set.Val, set.Test} {
		for i := range ds.Len() {
			seen[ds.(*Scenes).Factors(i)] = true
		}
	}
	if len(seen) != 4500 {
		t.Errorf("%d different scenes among 4500 of three splits", len(seen))
	}
	for _, o := range []Options{{Train: -1}, {Size: -1}, {Channels: 2}} {
		if _, err := Open("scenes", "", o); err == nil {
			t.Errorf("options %+v accepted", o)
		}
	}
}

func TestFactorVectors(t *testing.T) {
	names := sceneFactorNames()
	s := NewScenes(NewPainter(), ScenesConfig{Seed: 3, N: 2000, Size: 8, Channels: 3})
	groups := map[string]bool{}
	for _, n := range names {
		group, _, _ := strings.Cut(n, ".")
		groups[group] = true
	}
	if len(groups) != 8 || !groups["position"] || !groups["light"] {
		t.Errorf("groups of factors: %v", groups)
	}
	lo, hi := make([]float32, len(names)), make([]float32, len(names))
	for i := range s.Len() {
		f, v := s.Factors(i), s.FactorVector(i)
		if len(v) != len(names) {
			t.Fatalf("%d factors, %d names", len(v), len(names))
		}
		for k := range v {
			lo[k], hi[k] = min(lo[k], v[k]), max(hi[k], v[k])
		}
		again := f
		if k := f.Shape.Symmetry(); k > 0 { // the vector, like the image, does not see a turn by 2π/k
			again.Angle += 2 * math.Pi / float64(k)
		} else {
			again.Angle++
		}
		for k, w := range again.Vector() {
			if math.Abs(float64(w-v[k])) > 1e-6 { // float32 rounding of a number below 1
				t.Fatalf("%v: %s changes from %g to %g with a turn the shape does not show", f.Shape, names[k],
					v[k], w)
			}
		}
	}
	for k, n := range names {
		if !(hi[k] > lo[k]) {
			t.Errorf("%s never changes", n)
		}
	}
	if i := slices.Index(names, "texture.frequency"); lo[i] != 0 || hi[i] > 7 || hi[i] < 6.9 {
		t.Errorf("frequency reaches from %g to %g", lo[i], hi[i])
	}
}

// A symmetric shape turned by 2π/k gives the same image; a smaller turn does not.
func TestSymmetryIsWhatThePicturesShow(t *testing.T) {
	// 1.5 steps: the fields are sampled on a square grid and interpolated, which a turn by 2π/3
	// or 2π/5 does not respect; a turn by half of that changes thirty times as much.
	const same, other = 1.5, 2.5
	p := NewPainter()
	for s := range shapeCount {
		f := plainScene(s)
		a, b := make([]uint8, 64*64*3), make([]uint8, 64*64*3)
		p.Draw(f, 64, a)
		k := s.Symmetry()
		turn := 1.0
		if k > 0 {
			turn = 2 * math.Pi / float64(k)
		}
		f.Angle += turn
		if p.Draw(f, 64, b); difference(a, b) > same {
			t.Errorf("%v: a turn by its symmetry changes the image by %.2f", s, difference(a, b))
		}
		f.Angle += turn / 2
		if p.Draw(f, 64, b); k > 0 && difference(a, b) < other {
			t.Errorf("%v: half that turn changes the image by %.2f only", s, difference(a, b))
		}
	}
}

// centroid is the centre of where two images differ.
func centroid(a, b []uint8, size int) (x, y, area float64) {
	for i := range size {
		for j := range size {
			p := 3 * (i*size + j)
			if w := difference(a[p:p+3], b[p:p+3]); w > 8 {
				x, y, area = x+float64(j)+0.5, y+float64(i)+0.5, area+1
			}
		}
	}
	return x / area / float64(size), y / area / float64(size), area / float64(size*size)
}

func TestFactorsMoveWhatTheyName(t *testing.T) {
	const size = 64
	p := NewPainter()
	draw := func(change func(*Factors)) []uint8 {
		f := plainScene(Square)
		change(&f)
		pix := make([]uint8, 3*size*size)
		p.Draw(f, size, pix)
		return pix
	}
	// An object far outside shows the background alone.
	empty := func(f *Factors) { f.X, f.Y, f.Size = -5, -5, 1e-3 }
	bare := draw(empty)
	x0, y0, a0 := centroid(bare, draw(func(*Factors) {}), size)
	x1, y1, _ := centroid(bare, draw(func(f *Factors) { f.X += 0.1; f.Y -= 0.05 }), size)
	// One pixel of 64: the centroid's resolution.
	if math.Abs(x1-x0-0.1) > 1.0/size || math.Abs(y1-y0+0.05) > 1.0/size {
		t.Errorf("moved by (0.1, -0.05), found (%.3f, %.3f)", x1-x0, y1-y0)
	}
	_, _, a1 := centroid(bare, draw(func(f *Factors) { f.Size *= 1.2 }), size)
	if r := a1 / a0; r < 1.3 || r > 1.6 { // 1.2² = 1.44, shadow included
		t.Errorf("an object 1.2 times as large covers %.2f times the area", r)
	}
	mean := func(pix []uint8) float64 { return difference(pix, make([]uint8, len(pix))) }
	if bright, dark := mean(draw(func(*Factors) {})),
		mean(draw(func(f *Factors) { f.Brightness = 0.65 })); dark > 0.9*bright {
		t.Errorf("brightness 0.65 gives a mean of %.1f instead of %.1f", dark, bright)
	}
	halves := func(light float64) (left, right float64) {
		pix := draw(func(f *Factors) { f.Light, f.Angle = light, 0 })
		for i := range size {
			left += mean(pix[3*i*size : 3*(i*size+size/2)])
			right += mean(pix[3*(i*size+size/2) : 3*(i+1)*size])
		}
		return left, right
	}
	if l, r := halves(0); r < 1.1*l {
		t.Errorf("light from the right: left half %.0f, right half %.0f", l, r)
	}
	if l, r := halves(math.Pi); l < 1.1*r {
		t.Errorf("light from the left: left half %.0f, right half %.0f", l, r)
	}
	textured := draw(func(f *Factors) { f.Texture, f.Frequency = Checks, 5 })
	on := draw(func(f *Factors) { f.Texture, f.Frequency, f.OnObject = Checks, 5, true })
	if c := 0; difference(textured[:3*size*8], on[:3*size*8]) < 2 || c != 0 {
		t.Error("texture on the object reaches the background's first rows")
	}
}

// No pixel is left to a nearest-neighbour rule: the classes must be hard for raw pixels, or a
// classifier would learn nothing worth inverting.
func TestScenesAreNotTrivial(t *testing.T) {
	set, err := Open("scenes", "", Options{Train: 1000, Test: 200, Size: 16})
	if err != nil {
		t.Fatal(err)
	}
	train, test := Materialize(set.Train), Materialize(set.Test)
	size, right := 16*16*3, 0
	for i := range test.Len() {
		best, label := math.MaxInt, int32(-1)
		x := test.pix[i*size : (i+1)*size]
		for k := range train.Len() {
			d := 0
			for p, v := range train.pix[k*size : (k+1)*size] {
				e := int(v) - int(x[p])
				d += e * e
			}
			if d < best {
				best, label = d, train.labels[k]
			}
		}
		if label == test.labels[i] {
			right++
		}
	}
	if right > 100 { // of 200; chance is 20
		t.Errorf("the nearest of 1000 training images has the right class for %d of 200 test images",
			right)
	}
}

func TestDrawMisuse(t *testing.T) {
	p := NewPainter()
	wantMisuse(t, func() { p.Draw(Factors{Shape: shapeCount, Size: 0.3}, 4, make([]uint8, 48)) })
	wantMisuse(t, func() { p.Draw(Factors{Size: 0.3}, 4, make([]uint8, 47)) })
	wantMisuse(t, func() {
		NewScenes(p, ScenesConfig{First: math.MaxUint32, N: 2, Size: 4, Channels: 3})
	})
}

func BenchmarkDraw32(b *testing.B) {
	p, pix := NewPainter(), make([]uint8, 32*32*3)
	i := uint32(0)
	for b.Loop() {
		p.Draw(drawFactors(1, i), 32, pix)
		i++
	}
}
