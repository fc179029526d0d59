package data

import (
	"sync"

	"afterimage/tensor"
)

// Where the splits begin in the endless sequence of scenes: they never meet. All are multiples
// of the number of shapes, so that classes are balanced from the first image on.
const (
	trainScenes = 0
	valScenes   = 1_000_000_000
	testScenes  = 2_000_000_000
)

// Sizes of the scenes' splits unless Options say otherwise.
const (
	defaultTrainScenes = 20000
	defaultValScenes   = 2000
	defaultTestScenes  = 2000
)

// defaultSceneSize is the side of a scene in pixels unless Options say otherwise.
const defaultSceneSize = 32

// sceneBlock is how many scenes are drawn together when one of them is first read.
const sceneBlock = 64

// Scenes is a dataset the program draws itself: one shaded object (its shape is the class) on a
// background, image i a pure function of (seed, first index + i). Images are drawn when first
// read and kept. The same build on the same kind of processor gives the same bytes; elsewhere a
// pixel may differ by one step, as the compiler may fuse floating-point operations.
type Scenes struct {
	painter  *Painter
	seed     uint64
	first    uint32
	n        int
	size, c  int
	classes  []string
	names    []string
	once     []sync.Once
	rendered [][]uint8
}

// A ScenesConfig says which scenes a Scenes is of.
type ScenesConfig struct {
	Seed     uint64 // of the endless sequence
	First    uint32 // index in it, from which on N are taken
	N        int
	Size     int // height and width in pixels
	Channels int // 3, or 1: luma
}

// NewScenes returns the scenes of cfg. It panics with *tensor.Error if N or Size is not positive,
// First+N exceeds 2³² or Channels is neither 1 nor 3.
func NewScenes(p *Painter, cfg ScenesConfig) *Scenes {
	if cfg.N < 1 || cfg.Size < 1 || cfg.Channels != 1 && cfg.Channels != 3 ||
		uint64(cfg.First)+uint64(cfg.N) > 1<<32 {
		misuse("NewScenes", "%d scenes from %d on, %dx%dx%d: "+
			"expected positive sizes, indices below 2^32 and 1 or 3 channels",
			cfg.N, cfg.First, cfg.Size, cfg.Size, cfg.Channels)
	}
	blocks := (cfg.N + sceneBlock - 1) / sceneBlock
	return &Scenes{painter: p, seed: cfg.Seed, first: cfg.First, n: cfg.N, size: cfg.Size,
		c: cfg.Channels, classes: shapeNames(), names: sceneFactorNames(),
		once: make([]sync.Once, blocks), rendered: make([][]uint8, blocks)}
}

// openScenes opens the three splits of the scenes.
func openScenes(o Options) (*Set, error) {
	count := func(n, standard int) int {
		if n == 0 {
			return standard
		}
		return n
	}
	train, val, test := count(o.Train, defaultTrainScenes), count(o.Val, defaultValScenes),
		count(o.Test, defaultTestScenes)
	size, channels := count(o.Size, defaultSceneSize), count(o.Channels, 3)
	if size < 1 || channels != 1 && channels != 3 {
		return nil, tensor.Refuse(
			"data: Open scenes: image size %dx%dx%d: expected at least 1 pixel and 1 or 3 channels",
			size, size, channels)
	}
	for _, n := range []int{train, val, test} {
		if n < 1 || n > valScenes {
			return nil, tensor.Refuse("data: Open scenes: number of images: expected 1 to %d, got %d",
				valScenes, n)
		}
	}
	p := NewPainter()
	scenes := func(first uint32, n int) *Scenes {
		return NewScenes(p, ScenesConfig{Seed: o.Seed, First: first, N: n, Size: size,
			Channels: channels})
	}
	s := &Set{Name: "scenes", Train: scenes(trainScenes, train), Val: scenes(valScenes, val),
		Test: scenes(testScenes, test)}
	s.TrainVal = &concat{s.Train, s.Val}
	return s, nil
}

// Name implements Dataset.
func (s *Scenes) Name() string { return "scenes" }

// Len implements Dataset.
func (s *Scenes) Len() int { return s.n }

// Classes implements Dataset.
func (s *Scenes) Classes() []string { return s.classes }

// Size implements Dataset.
func (s *Scenes) Size() (h, w, c int) { return s.size, s.size, s.c }

// Factors returns what scene i is drawn from.
func (s *Scenes) Factors(i int) Factors {
	checkRead("Scenes.Factors", i, s.n, 0, 0)
	return drawFactors(s.seed, s.first+uint32(i))
}

// FactorNames implements Factored.
func (s *Scenes) FactorNames() []string { return s.names }

// FactorVector implements Factored: Factors(i).Vector().
func (s *Scenes) FactorVector(i int) []float32 { return s.Factors(i).Vector() }

// Read implements Dataset.
func (s *Scenes) Read(i int, pix []uint8) int {
	bytes := s.size * s.size * s.c
	checkRead("Scenes.Read", i, s.n, len(pix), bytes)
	block := i / sceneBlock
	s.once[block].Do(func() { s.render(block) })
	at := i % sceneBlock * bytes
	copy(pix, s.rendered[block][at:at+bytes])
	return int(s.Factors(i).Shape)
}

// render draws one block of scenes.
func (s *Scenes) render(block int) {
	begin, end := block*sceneBlock, min((block+1)*sceneBlock, s.n)
	bytes := s.size * s.size * s.c
	out := make([]uint8, (end-begin)*bytes)
	colour := make([]uint8, 3*s.size*s.size)
	for i := begin; i < end; i++ {
		s.painter.Draw(s.Factors(i), s.size, colour)
		if dst := out[(i-begin)*bytes : (i-begin+1)*bytes]; s.c == 3 {
			copy(dst, colour)
		} else {
			recolour(dst, colour, 1)
		}
	}
	s.rendered[block] = out
}
