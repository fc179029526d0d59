package bench

import (
	"fmt"
	"maps"
	"strings"

	"afterimage/gan"
	"afterimage/nn/models"
)

// steps lists whole steps, inference, the loader, starting a program, and memory. The work of a
// step is 6 × MACs of convolutions and linear layers for an image of training, 4 × MACs for one of
// an attack's iteration, which needs no gradient of the weights, 2 × MACs for a forward pass;
// nothing else is counted.
func steps() []Spec {
	train := []Spec{
		classifierSpec("resnet20-cifar", 128, 32, 0), classifierSpec("resnet18-cifar", 64, 32, 0),
		classifierSpec("resnet50", 8, 224, 0), classifierSpec("resnet20-cifar", 128, 32, 7),
		playerSpec("D", 64, 64), playerSpec("G", 64, 64),
		playerSpec("D", 16, 32), playerSpec("G", 16, 32),
	}
	all := append([]Spec{}, train...)
	for _, s := range train {
		s.Key, s.Name, s.Precision = s.Key+"/bf16", s.Name+", bf16", "bf16"
		s.Groups, s.Modes = []string{"steps bf16"}, []string{BF16CL}
		all = append(all, s)
	}
	var recomputed []Spec
	for _, s := range train {
		recomputed = append(recomputed, recomputedSpec(s))
	}
	all = append(all, recomputed...)
	all = append(all, slimSpec(16, 32), drawnSpec(train[0]))
	all = append(all, growthSpecs()...)
	inference := []Spec{inferenceSpec("resnet50", 1), inferenceSpec("resnet50", 8), paintSpec(64)}
	all = append(all, inference...)
	all = append(all, loaderSpec(), startSpec(train[0]))
	for _, s := range append(train, inference...) {
		all = append(all, memoryOf(s))
	}
	for i, s := range recomputed {
		m := memoryOf(s)
		m.Modes, m.Groups = train[i].Modes, []string{"memory recomputed"}
		all = append(all, m)
	}
	return all
}

// recomputeSuffix ends the key of a step that recomputes.
const recomputeSuffix = "/recompute"

// recomputedSpec is a step that keeps only what goes into the blocks of its networks. It counts the
// same work, so that its rate shows the price. The other program makes the plain step.
func recomputedSpec(s Spec) Spec {
	s.Key, s.Name = s.Key+recomputeSuffix, s.Name+", recomputed"
	s.Groups, s.Modes = []string{"steps recomputed"}, nil
	s.Args = maps.Clone(s.Args)
	s.Args["recompute"] = 1
	return s
}

// classifierSpec is one step of train.Classifier, of adversarial training with an attack of so many
// iterations if pgd > 0.
func classifierSpec(arch string, batch, size, pgd int) Spec {
	m, err := models.New(arch, models.Options{InputSize: size})
	if err != nil {
		panic(err) // a name of the registry, written above
	}
	s := Spec{Key: fmt.Sprintf("step/%s-n%dh%d", arch, batch, size), Name: "step " + arch,
		Shape: fmt.Sprintf("%d×%d×%d×3", batch, size, size), Groups: []string{"steps"},
		Kind: "classifier", Arch: arch, Images: batch, Modes: allModes(),
		Args: map[string]int{"n": batch, "h": size, "pgd": pgd, "classes": m.Classes()},
		Work: float64(6+4*pgd) * float64(m.MACs()) * float64(batch) / 1e9, Unit: FLOPs}
	if pgd > 0 {
		s.Key, s.Name = fmt.Sprintf("%s-pgd%d", s.Key, pgd), fmt.Sprintf("%s PGD-%d", s.Name, pgd)
	}
	return s
}

// netArgs put a network's configuration into s.
func netArgs(s *Spec, c gan.Config, batch int) {
	down := make([]int, len(c.DDown))
	for i, d := range c.DDown {
		if d {
			down[i] = 1
		}
	}
	s.Args = map[string]int{"n": batch, "h": c.Size, "ch": c.ChG, "cond": c.Cond, "z": c.ZDim,
		"embed": c.Embed}
	s.Lists = map[string][]int{"g_mult": c.GMult, "d_mult": c.DMult, "d_down": down}
}

// playerSpec is one step of one of BigGAN's players, "D" or "G". With N images and D, G the
// multiply-adds of discriminator and generator for one of them, a discriminator step counts
// N·(2·6·D + 2·G), real and painted images passing together, and a generator step N·(6·G + 4·D).
func playerSpec(player string, ch, batch int) Spec {
	c := biggan(ch)
	d, g := float64(gan.NewDiscriminator(c).MACs()), float64(gan.NewGenerator(c).MACs())
	flops := 12*d + 2*g
	if player == "G" {
		flops = 6*g + 4*d
	}
	s := Spec{Key: fmt.Sprintf("step/biggan32-ch%d-n%d-%s", ch, batch, player),
		Name:   fmt.Sprintf("step BigGAN-32 ch%d %s", ch, player),
		Groups: []string{"steps", "steps BigGAN"},
		Shape:  fmt.Sprintf("%d×32×32×3", batch), Kind: "gan-" + strings.ToLower(player), Images: batch,
		Modes: allModes(), Work: flops * float64(batch) / 1e9, Unit: FLOPs}
	netArgs(&s, c, batch)
	return s
}

// slimSpec is one step of gan.Trainer with the slim 32-pixel networks, this program's default: the
// drawing of scenes, the classifier's answers, a discriminator and a generator step. The classifier
// passes once forward.
func slimSpec(ch, batch int) Spec {
	c := gan.Slim32(ch, scenesClasses)
	m, err := models.New(slimClassifier, models.Options{Classes: scenesClasses})
	if err != nil {
		panic(err) // a name of the registry
	}
	perImage := 16*gan.NewDiscriminator(c).MACs() + 8*gan.NewGenerator(c).MACs() + 2*m.MACs()
	s := Spec{Key: fmt.Sprintf("step/slim32-ch%d-n%d", ch, batch), Kind: "inverter",
		Name: fmt.Sprintf("step Slim BigGAN-32 ch%d", ch), Groups: []string{"steps of its own"},
		Shape: fmt.Sprintf("%d×32×32×3", batch), Images: batch,
		Work: float64(batch*perImage) / 1e9, Unit: FLOPs}
	netArgs(&s, c, batch)
	return s
}

// drawnSpec is the step of a classifier's training as a run makes it: on batches that the loader
// draws meanwhile, cropped out of a border of 4 and mirrored by chance.
func drawnSpec(s Spec) Spec {
	s.Key, s.Name, s.Kind = s.Key+"/drawn", s.Name+", drawn", "training"
	s.Groups, s.Modes = []string{"steps of its own"}, nil
	s.Args = maps.Clone(s.Args)
	s.Args["images"], s.Args["crop"] = 10000, 4
	return s
}

// slimClassifier is what the slim step inverts.
const slimClassifier = "resnet8"

// growthSpecs show how the cost grows with the batch and with the image.
func growthSpecs() []Spec {
	var all []Spec
	for _, s := range []Spec{classifierSpec("resnet20-cifar", 32, 32, 0),
		classifierSpec("resnet20-cifar", 512, 32, 0), classifierSpec("resnet18-cifar", 64, 16, 0),
		classifierSpec("resnet18-cifar", 64, 64, 0)} {
		s.Groups, s.Modes = []string{"growth"}, layouts()
		all = append(all, s)
	}
	return all
}

// inferenceSpec is one forward pass in evaluation mode, logits left where they are.
func inferenceSpec(arch string, batch int) Spec {
	s := classifierSpec(arch, batch, 224, 0)
	s.Key, s.Name = fmt.Sprintf("inference/%s-n%d", arch, batch), "inference "+arch
	s.Groups, s.Kind, s.Work = []string{"inference"}, "inference", s.Work/3
	s.Modes = append(allModes(), Freeze)
	return s
}

// paintSpec is one image painted from a condition and noise: one pass of the generator.
func paintSpec(ch int) Spec {
	c := biggan(ch)
	s := Spec{Key: fmt.Sprintf("inference/biggan32-ch%d-n1", ch), Kind: "paint", Shape: "1×32×32×3",
		Name: fmt.Sprintf("one image inverted ch%d", ch), Groups: []string{"inference"}, Images: 1,
		Modes: append(allModes(), Freeze), Unit: FLOPs,
		Work: 2 * float64(gan.NewGenerator(c).MACs()) / 1e9}
	netArgs(&s, c, 1)
	return s
}

// loaderSpec is batches of a training on CIFAR-sized images in memory: order drawn, cropped out of
// a border of 4, mirrored by chance, converted to floats.
func loaderSpec() Spec {
	const n, batches = 128, 20
	return Spec{Key: "loader/crop-flip-n128h32", Name: "loader, crop and flip", Shape: "128×32×32×3",
		Groups: []string{"loader"}, Kind: "loader", Images: n * batches,
		Modes: []string{"workers0", "workers1", "workers2"},
		Args:  map[string]int{"n": n, "h": 32, "crop": 4, "images": 10000, "batches": batches},
		Work:  n * batches, Unit: Images}
}

// startSpec is the time from starting the program to the end of its first training step.
func startSpec(step Spec) Spec {
	return Spec{Key: "start/" + strings.TrimPrefix(step.Key, "step/"), Name: "start to first step",
		Shape: step.Name, Groups: []string{"start"}, Kind: "start", Target: step.Key,
		Modes: []string{Eager}, Work: 1, Unit: Seconds}
}

// memoryOf is how much memory a fresh program takes for a step.
func memoryOf(step Spec) Spec {
	return Spec{Key: "memory/" + step.Key, Name: "memory of " + step.Name, Shape: step.Shape,
		Groups: []string{"memory"}, Kind: "memory", Target: step.Key, Modes: step.Modes, Work: 1,
		Unit: Megabytes}
}
