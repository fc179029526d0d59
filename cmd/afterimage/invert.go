package main

import (
	"fmt"
	"image"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/gan"
	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn"
	"afterimage/nn/data"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type trainInverterCmd struct {
	dataFlags
	runFlags
	Classifier string `help:"Classifier to invert: a run directory, a file of weights, an ONNX file, or shipped:scenes-robust or shipped:scenes-standard." placeholder:"RUN|FILE"`
	foreignFlags
	Condition   string  `help:"What the generator is told: label, logits or features." default:"logits"`
	Raw         bool    `help:"Give logits as they are instead of standardised per dimension."`
	Steps       int     `help:"Generator steps." default:"8000"`
	Batch       int     `help:"Images per step." default:"32"`
	DSteps      int     `help:"Discriminator steps for each generator step." default:"1"`
	Ch          int     `help:"Channel unit of both networks." default:"16"`
	Net         string  `help:"Network: slim (32 pixels, widths fall as the image grows), or BigGAN's for 32, 64 or 128 pixels: biggan, biggan64, biggan128. The larger ones are for images of that size: a folder's." default:"slim"`
	LRG         float64 `help:"Learning rate of the generator." default:"0.0004" name:"lr-g"`
	LRD         float64 `help:"Learning rate of the discriminator." default:"0.0008" name:"lr-d"`
	Beta1       float64 `help:"Adam's beta1." default:"0.5" name:"beta1"`
	EMA         float64 `help:"Decay of the average of the generator's weights." default:"0.999" name:"ema"`
	NoFlip      bool    `help:"Do not mirror training images."`
	Seed        uint64  `help:"Seed of weights, order and noise." default:"1"`
	TrainImages int     `help:"Use only the first so many training images; 0 uses all."`
	SaveEvery   int     `help:"Steps between checkpoints." default:"250"`
	SampleEvery int     `help:"Steps between sample sheets and collapse checks." default:"1000"`
}

// Help shows examples under the flags.
func (trainInverterCmd) Help() string {
	return `Examples:
  afterimage train inverter --classifier runs/scenes --out runs/inverter
  afterimage train inverter --classifier resnet2b.pth --arch resnet2b --dataset cifar-10
  afterimage train inverter --classifier resnet_2b.onnx --dataset cifar-10
  afterimage train inverter --classifier runs/standard --condition label --out runs/control
  afterimage train inverter --classifier net64.onnx --dataset folder:photos --net biggan64
  afterimage train inverter --resume runs/inverter`
}

// config makes the run's configuration from the flags.
func (c *trainInverterCmd) config() (gan.InverterConfig, error) {
	cfg := gan.DefaultInverter()
	if c.Ch < 1 {
		return cfg, tensor.Refuse("--ch %d: expected 1 or more", c.Ch)
	}
	cfg.Classifier, cfg.Condition, cfg.Raw, cfg.Dataset, cfg.Data = c.Classifier,
		gan.Condition(c.Condition), c.Raw, c.Dataset, c.Data
	cfg.Steps, cfg.Batch, cfg.DSteps, cfg.LRG, cfg.LRD, cfg.Beta1, cfg.EMA = c.Steps, c.Batch,
		c.DSteps, c.LRG, c.LRD, c.Beta1, c.EMA
	cfg.Flip, cfg.Seed, cfg.TrainImages, cfg.Recompute, cfg.SaveEvery, cfg.SampleEvery = !c.NoFlip,
		c.Seed, c.TrainImages, c.Recompute, c.SaveEvery, c.SampleEvery
	switch c.Net {
	case "slim":
		cfg.Net = gan.Slim32(c.Ch, 0)
	case "biggan":
		cfg.Net = gan.BigGAN32(c.Ch, 0)
	case "biggan64":
		cfg.Net = gan.BigGAN64(c.Ch, 0)
	case "biggan128":
		cfg.Net = gan.BigGAN128(c.Ch, 0)
	default:
		return cfg, tensor.Refuse("--net %q: expected slim, biggan, biggan64 or biggan128", c.Net)
	}
	return cfg, nil
}

// Run trains an inverter.
func (c *trainInverterCmd) Run(e *env) error {
	at, err := c.place("inverter-" + c.Condition)
	if err != nil {
		return err
	}
	var cfg gan.InverterConfig
	flags := classifierFlags{c.Classifier, c.foreignFlags}
	if at.resume {
		if err := e.readRun(at.dir, "inverter", &cfg); err != nil {
			return err
		}
		if e.isGiven("recompute") {
			cfg.Recompute = c.Recompute
		}
		// The run keeps its own copy: what was inverted cannot change between two starts.
		flags = kept(gan.ClassifierFile(filepath.Join(at.dir, train.CheckpointDir)))
	} else if cfg, err = c.config(); err != nil {
		return err
	}
	return e.trainInverter(at, cfg, flags)
}

// trainInverter trains at a place until the end or an interrupt.
func (e *env) trainInverter(at place, cfg gan.InverterConfig, flags classifierFlags) error {
	b, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	// A negative number of images is for the trainer to refuse, in the configuration's words.
	images := cfg.Images()
	images.Train = max(0, images.Train)
	set, err := data.Open(cfg.Dataset, cfg.Data, images)
	if err != nil {
		return err
	}
	m, note, err := flags.load(s, set)
	if err != nil {
		return err
	}
	t, err := gan.NewTrainerOn(b, m, set, cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, n := range []string{note, digitsNote(cfg.Dataset, cfg.Net.Size, 3, data.FitAuto)} {
		if n != "" && !at.resume { // a resumed run's is what the first start said
			fmt.Fprintln(e.err, n)
		}
	}
	stopped, done := e.interrupts() // from here on, a signal saves what there is
	defer done()
	r, err := begin(e, b, at, t.Config, t.SaveClassifier)
	if err != nil {
		return err
	}
	bar := newProgress(e.err, "train inverter", cfg.Steps)
	defer bar.close()
	err = attempt(r, at, func() error { return t.Run(r, bar.step, stopped) })
	e.noteCalls(t.Replayed())
	if err != nil {
		return fmt.Errorf("%s: %w", at.dir, err)
	}
	page, err := runPage(at.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: trained %s; the page is %s\n", at.dir, counting(cfg.Steps, "step"), page)
	return nil
}

type invertCmd struct {
	Images   []string `arg:"" help:"PNG or JPEG files; photographs are turned upright as their Exif data say."`
	Inverter string   `help:"Inverter: a run directory, a folder of weights, or shipped:scenes-robust or shipped:scenes-standard." required:"" placeholder:"DIR"`
	Draws    int      `help:"Noise draws for each image." default:"8"`
	Seed     uint64   `help:"Seed of the noise." default:"1"`
	Scale    int      `help:"Enlargement of the pictures." default:"4"`
	Out      string   `help:"Folder for the pictures." default:"inverted" placeholder:"DIR"`
}

// Help shows examples under the flags.
func (invertCmd) Help() string {
	return `Examples:
  afterimage invert --inverter shipped:scenes-robust photo.png
  afterimage invert --inverter runs/inverter --draws 8 cat.png dog.jpg

Every image becomes a strip: the image as the classifier sees it, then what its logits let
through, once for every noise draw. The single pictures lie beside the strips.`
}

// Run paints images back.
func (c *invertCmd) Run(e *env) error {
	if c.Draws < 1 || c.Draws > mostDraws {
		return tensor.Refuse("--draws %d: expected 1 to %d", c.Draws, mostDraws)
	}
	if c.Scale < 1 || c.Scale > mostScale {
		return tensor.Refuse("--scale %d: expected 1 to %d", c.Scale, mostScale)
	}
	b, s, closeAll, err := e.openScope()
	if err != nil {
		return err
	}
	defer closeAll()
	v, err := openInverter(s, c.Inverter)
	if err != nil {
		return err
	}
	if err := c.checkNames(); err != nil {
		return err
	}
	photos := make([]photo, len(c.Images))
	for i, path := range c.Images { // before anything is written
		if photos[i], err = readPhoto(path, v.Config.Net.Size); err != nil {
			return err
		}
	}
	if err := makeFolder("out", c.Out); err != nil {
		return err
	}
	classes := classNames(v)
	w := painter{v, b, v.Conditioner.Model.Inference(b), v.Inference(b)}
	defer w.ask.Close()
	defer w.paint.Close()
	for i, p := range photos {
		if err := c.invert(e, w, p, i, classes); err != nil {
			return err
		}
	}
	return nil
}

// classNames returns the names of the classes where they are to be had without reading images;
// else nil.
func classNames(v *gan.Inverter) []string {
	if v.Config.Dataset != "scenes" {
		return nil
	}
	set, err := data.Open("scenes", "", data.Options{Train: 1, Val: 1, Test: 1})
	if err != nil || len(set.Classes()) != v.Conditioner.Model.Classes() {
		return nil
	}
	return set.Classes()
}

// Bounds on what one image turns into: pictures of a few hundred megabytes.
const (
	mostDraws = 1024
	mostScale = 32
)

// smallestPart is how small an image may be: with less than a quarter of the pixels across that a
// network takes, what it sees is the enlargement and not the image.
const smallestPart = 4

// A photo is an image as the network sees it.
type photo struct {
	path          string
	pix           []uint8 // size×size pixels
	width, height int     // of the file
}

// readPhoto reads an image file as size×size pixels.
func readPhoto(path string, size int) (p photo, err error) {
	pix, err := data.ReadImage(path, size, 3)
	if err != nil {
		return p, err
	}
	f, err := tensor.OpenRegular(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	cfg, _, err := image.DecodeConfig(f)
	if err != nil {
		return p, tensor.Refuse("%s: %w", path, err)
	}
	if least := size / smallestPart; min(cfg.Width, cfg.Height) < least {
		return p, tensor.Refuse("%s has %d×%d pixels: expected at least %d×%d, of which the network "+
			"sees %d×%d; give a larger image", path, cfg.Width, cfg.Height, least, least, size, size)
	}
	return photo{path, pix, cfg.Width, cfg.Height}, nil
}

// checkNames returns an error if two pictures would be written to one file, or one over an image
// that was given.
func (c *invertCmd) checkNames() error {
	from := map[string]string{}
	for i, path := range c.Images {
		if slices.Contains(c.Images[:i], path) {
			return tensor.Refuse("%s is given twice: leave one out", path)
		}
		names := []string{pictureName(path)}
		for k := range c.Draws {
			names = append(names, drawName(path, k))
		}
		for _, name := range names {
			if other, ok := from[name]; ok {
				return tensor.Refuse("%s and %s would both be painted to %s: rename one", other, path,
					filepath.Join(c.Out, name))
			}
			from[name] = path
		}
	}
	for _, path := range c.Images {
		given, err := os.Stat(path)
		if err != nil {
			continue // whoever reads it says so
		}
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if old, err := os.Stat(filepath.Join(c.Out, name)); err == nil && os.SameFile(given, old) {
				return tensor.Refuse("%s would be painted over: give another folder as --out", path)
			}
		}
	}
	return nil
}

// pictureName and drawName are the files an image's strip and its k-th draw are written to.
func pictureName(path string) string { return stem(path) + ".png" }

func drawName(path string, k int) string { return fmt.Sprintf("%s-%02d.png", stem(path), k) }

func stem(path string) string { return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) }

// A painter is an inverter at work: what its two networks derive from their weights is computed
// once for all photos.
type painter struct {
	*gan.Inverter
	b          tensor.Backend
	ask, paint *nn.Inference
}

// invert paints the i-th photo back and writes the pictures.
func (c *invertCmd) invert(e *env, v painter, p photo, i int, classes []string) error {
	path, size := p.path, v.Config.Net.Size
	original := metrics.FromBytes(1, size, size, 3, p.pix).In(metrics.Unit)
	s := tensor.NewScope(v.b)
	defer s.Close()
	a := v.Conditioner.AskWith(v.ask, s, tensor.FromSlice(s, original.Pix, 1, size, size, 3))
	d := v.Conditioner.Dim()
	cond := s.New(tensor.F32, c.Draws, d)
	for k := range c.Draws {
		v.b.CopyRegion(cond, a.Cond, tensor.Region{DstStart: []int{k, 0}, DstStep: []int{1, 1},
			SrcStart: []int{0, 0}, SrcStep: []int{1, 1}, Size: []int{1, d}})
	}
	z := v.Noise(s, tensor.NewKey(c.Seed, "noise/invert"), uint32(i), c.Draws)
	painted := v.PaintWith(v.paint, s, cond, z)
	draws := report.Pictures(metrics.NewImages(c.Draws, size, size, 3, metrics.Signed,
		tensor.ToHost[float32](painted)))
	row := report.SheetRow{Images: append(report.Pictures(original), draws...)}
	strip := filepath.Join(c.Out, pictureName(path))
	if err := report.WritePNG(strip, (&report.Sheet{Scale: c.Scale, Lead: true,
		Rows: []report.SheetRow{row}}).Draw()); err != nil {
		return err
	}
	for k, img := range draws {
		if err := report.WritePNG(filepath.Join(c.Out, drawName(path, k)), img); err != nil {
			return err
		}
	}
	best := metrics.Argmax(metrics.Matrix(1, v.Conditioner.Model.Classes(),
		tensor.ToHost[float32](a.Logits)))[0]
	class := fmt.Sprint(best)
	if int(best) < len(classes) {
		class = fmt.Sprintf("%d (%s)", best, classes[best])
	}
	resized := ""
	if p.width != size || p.height != size {
		resized = fmt.Sprintf("; resized %d×%d → %d×%[3]d", p.width, p.height, size)
	}
	fmt.Fprintf(e.out, "%s: class %s%s; wrote %s and %s\n", path, class, resized, strip,
		counting(c.Draws, "draw"))
	return nil
}
