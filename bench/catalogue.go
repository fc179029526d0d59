package bench

import (
	"fmt"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/tensor/cpu/conv"
)

// kernels lists what single kernels and layers are measured on.
func kernels() []Spec {
	var all []Spec
	all = append(all, machineSpecs()...)
	all = append(all, matmulSpecs()...)
	all = append(all, convSpecs()...)
	all = append(all, depthwiseSpecs()...)
	all = append(all, normSpecs()...)
	all = append(all, elementSpecs()...)
	all = append(all, poolSpecs()...)
	all = append(all, softmaxSpecs()...)
	all = append(all, optimizerSpecs()...)
	return all
}

// copyBytes is the size of the copy in the table's first rows: far beyond any cache of a core.
const copyBytes = 256 << 20

// machineSpecs are what the fractions are fractions of.
func machineSpecs() []Spec {
	return []Spec{
		{Key: "machine/fma-peak", Name: "peak FMA", Shape: "registers only",
			Groups: []string{"machine"}, Kind: "fma", Work: 1, Unit: FLOPs},
		{Key: "machine/copy", Name: "copy", Shape: fmt.Sprintf("%d MB", copyBytes>>20),
			Groups: []string{"machine"}, Kind: "copy", Args: map[string]int{"bytes": copyBytes},
			Modes: []string{Eager}, Work: copyBytes / 1e9, Unit: Bytes},
	}
}

// matmulSpecs: squares, the skinny products that convolutions of the networks would be as matrices
// (measurements of other libraries use the same three), and the linear layers.
func matmulSpecs() []Spec {
	var all []Spec
	add := func(group string, m, n, k, transB int, uses map[string]int) {
		key := fmt.Sprintf("sgemm/m%dn%dk%d", m, n, k)
		if transB == 1 {
			key += "t"
		}
		all = append(all, Spec{Key: key, Name: "sgemm", Shape: fmt.Sprintf("%d×%d×%d", m, n, k),
			Groups: []string{group}, Kind: "sgemm", Modes: []string{Eager}, Uses: uses,
			Args: map[string]int{"m": m, "n": n, "k": k, "transb": transB},
			Work: 2 * float64(m) * float64(n) * float64(k) / 1e9, Unit: FLOPs})
	}
	for _, n := range []int{256, 384, 512, 768, 1024, 2048} {
		add("sgemm square", n, n, n, 0, nil)
	}
	for _, s := range [][3]int{{64, 1024, 576}, {64, 3136, 576}, {256, 784, 1152}} {
		add("sgemm skinny", s[0], s[1], s[2], 0, nil)
	}
	for _, l := range linearShapes() {
		add("sgemm linear layers", l.rows, l.out, l.in, 1, l.uses)
	}
	return all
}

// convSpecs counts taps in the padding as work, as is usual: on small images a kernel that leaves
// them out can pass the peak, and so can Winograd's form, which counts as the direct one does.
func convSpecs() []Spec {
	var all []Spec
	for _, c := range convShapes() {
		s := c.Shape
		if s.H != s.W || s.KH != s.KW || s.StrideH != s.StrideW || s.PadTop != s.PadLeft ||
			s.PadTop != s.PadBottom || s.PadLeft != s.PadRight || s.DilH != 1 || s.DilW != 1 ||
			s.Groups != 1 {
			panic(fmt.Sprintf("bench: %+v is not square: the list of arguments has to grow", s))
		}
		key := fmt.Sprintf("conv/n%dh%dc%d-o%dk%ds%dp%d", s.N, s.H, s.C, s.O, s.KH, s.StrideH, s.PadTop)
		class := fmt.Sprintf("conv %d×%d", s.KH, s.KW)
		if s.StrideH > 1 {
			class += fmt.Sprintf(" stride %d", s.StrideH)
		}
		for _, direction := range []string{"forward", "input-grad", "weight-grad"} {
			all = append(all, Spec{Key: key + "/" + direction, Name: "conv " + direction,
				Shape: describe(s), Groups: []string{"conv " + direction, class}, Kind: "conv-" + direction,
				Args: map[string]int{"n": s.N, "h": s.H, "c": s.C, "o": s.O, "k": s.KH, "s": s.StrideH,
					"p": s.PadTop},
				Modes: layouts(), Uses: c.uses, Work: s.FLOPs() / 1e9, Unit: FLOPs})
		}
	}
	return all
}

// depthwiseSpecs: a filter for each channel, of MobileNet v2 and ConvNeXt-T at 224 pixels, eight
// images. No network of ours has such layers; imported ones do. Taps are counted as in convSpecs; a
// 3×3 row has so few operations for each number that memory, not the multiply-add peak, bounds it.
func depthwiseSpecs() []Spec {
	var all []Spec
	for _, d := range []struct{ h, c, k, s int }{{112, 32, 3, 1}, {112, 96, 3, 2}, {56, 144, 3, 1},
		{56, 144, 3, 2}, {14, 384, 3, 1}, {14, 576, 3, 2}, {56, 96, 7, 1}} {
		const batch = 8
		s := conv.Square(batch, d.h, d.h, d.c, d.c, d.k, d.s, d.k/2)
		s.Groups = d.c
		for _, direction := range []string{"forward", "input-grad", "weight-grad"} {
			all = append(all, Spec{
				Key:  fmt.Sprintf("depthwise/n%dh%dc%dk%ds%d/%s", batch, d.h, d.c, d.k, d.s, direction),
				Name: "depthwise " + direction, Shape: describe(s),
				Groups: []string{"depthwise", "depthwise " + direction}, Kind: "depthwise-" + direction,
				Args: map[string]int{"n": batch, "h": d.h, "c": d.c, "o": d.c, "k": d.k, "s": d.s,
					"p": d.k / 2, "groups": d.c},
				Modes: layouts(), Work: s.FLOPs() / 1e9, Unit: FLOPs})
		}
	}
	return all
}

// image is the shape of an activation.
type image struct{ n, h, c int }

func (i image) args() map[string]int { return map[string]int{"n": i.n, "h": i.h, "c": i.c} }
func (i image) floats() int          { return i.n * i.h * i.h * i.c }
func (i image) String() string       { return fmt.Sprintf("%d×%d²×%d", i.n, i.h, i.c) }
func (i image) key() string          { return fmt.Sprintf("n%dh%dc%d", i.n, i.h, i.c) }

// activations are what memory-bound rows run on: of ResNet-20 (8.4 MB), ResNet-18-CIFAR (16.8 MB,
// beyond a core's caches), ResNet-50 (25.7 MB).
func activations() []image { return []image{{128, 32, 16}, {64, 32, 64}, {8, 56, 256}} }

// memorySpec is a row whose work is passes over an activation of i, each operand read once and
// each result written once a pass.
func memorySpec(group, kind, name string, i image, passes float64, modes []string) Spec {
	return Spec{Key: kind + "/" + i.key(), Name: name, Shape: i.String(), Groups: []string{group},
		Kind: kind, Args: i.args(), Modes: modes, Work: passes * 4 * float64(i.floats()) / 1e9,
		Unit: Bytes}
}

// normSpecs: batch normalisation in training reads x twice, for the statistics and for the result,
// and writes y; its gradient reads x and dy twice and writes dx, with a residual input and a ReLU
// also its gradient, dy masked by y. Without a residual a ReLU costs nothing: x says where it was
// positive. Rows with a gradient count both passes.
func normSpecs() []Spec {
	var all []Spec
	add := func(i image, name, kind string, forward, backward float64, args map[string]int) {
		for grad, passes := range []float64{forward, forward + backward} {
			s := memorySpec("norm", kind, name+" forward", i, passes, allModes())
			if grad == 1 {
				s.Name, s.Key = name+" forward, backward", s.Key+"/grad"
			}
			for k, v := range args {
				s.Args[k] = v
			}
			s.Args["grad"] = grad
			all = append(all, s)
		}
	}
	for _, i := range activations() {
		add(i, "BN", "norm", 3, 5, map[string]int{"relu": 0, "add": 0})
		add(i, "BN+ReLU", "norm-relu", 3, 5, map[string]int{"relu": 1, "add": 0})
		add(i, "BN+ReLU+add", "norm-relu-add", 4, 8, map[string]int{"relu": 1, "add": 1})
	}
	for _, i := range []image{{64, 32, 256}, {32, 32, 64}} {
		add(i, "conditional BN+ReLU", "cond-norm", 3, 5, map[string]int{"cond": 148})
	}
	return all
}

func elementSpecs() []Spec {
	var all []Spec
	for _, i := range activations()[:2] {
		for _, e := range []struct {
			kind, name string
			passes     float64
		}{{"relu", "ReLU", 2}, {"relu-grad", "ReLU gradient", 3}, {"add", "add", 3},
			{"tanh", "tanh", 2}, {"bias-grad", "bias gradient", 1}} {
			all = append(all, memorySpec("element-wise", e.kind, e.name, i, e.passes, layouts()))
		}
	}
	return all
}

// poolSpecs: the smaller image counts as what it is, the winners of a maximum as another image.
func poolSpecs() []Spec {
	var all []Spec
	add := func(i image, kind, name string, passes float64) {
		all = append(all, memorySpec("pooling", kind, name, i, passes, layouts()))
	}
	for _, i := range activations()[:2] {
		add(i, "avgpool2", "average pool 2×2", 1.25)
		add(i, "avgpool2-grad", "average pool gradient", 1.25)
		add(i, "maxpool2", "max pool 2×2", 1.5)
		add(i, "maxpool2-grad", "max pool gradient", 1.5)
		add(i, "upsample2", "upsample ×2", 1.25)
		add(i, "upsample2-grad", "upsample gradient", 1.25)
	}
	add(image{8, 112, 64}, "maxpool3s2", "max pool 3×3/2", 1.5)
	add(image{8, 7, 2048}, "global-avgpool", "global average pool", 1)
	return all
}

// softmaxSpecs: attention's rows, the class scores of a large batch, attention as a layer with its
// four 1×1 convolutions, and the loss of a batch with its gradient.
func softmaxSpecs() []Spec {
	var all []Spec
	for _, s := range [][2]int{{8192, 256}, {10000, 1000}} {
		all = append(all, Spec{Key: fmt.Sprintf("softmax/n%dc%d", s[0], s[1]), Name: "softmax",
			Shape: fmt.Sprintf("%d×%d", s[0], s[1]), Groups: []string{"softmax, loss"}, Kind: "softmax",
			Args: map[string]int{"n": s[0], "c": s[1]}, Modes: []string{Eager},
			Work: 2 * 4 * float64(s[0]*s[1]) / 1e9, Unit: Bytes})
	}
	for _, s := range [][2]int{{128, 10}, {256, 1000}} {
		all = append(all, Spec{Key: fmt.Sprintf("cross-entropy/n%dc%d/grad", s[0], s[1]),
			Name: "cross-entropy, gradient", Shape: fmt.Sprintf("%d×%d", s[0], s[1]),
			Groups: []string{"softmax, loss"}, Kind: "cross-entropy",
			Args: map[string]int{"n": s[0], "c": s[1]}, Modes: []string{Eager, Compile},
			Work: 3 * 4 * float64(s[0]*s[1]) / 1e9, Unit: Bytes})
	}
	i := image{16, 32, 256}
	for grad, times := range []float64{1, 3} {
		// With q = h² queries and q/4 keys: θ, φ of c/8 and g of c/2 channels, o back to c, and the two
		// products of attention.
		q, c := float64(i.h*i.h), float64(i.c)
		macs := q*c*c*(1./8+1./8+1./2+1./2) + q*q/4*(c/8+c/2)
		s := Spec{Key: "attention/" + i.key(), Name: "attention layer forward", Shape: i.String(),
			Groups: []string{"attention"}, Kind: "attention", Args: i.args(), Modes: allModes(),
			Work: times * 2 * float64(i.n) * macs / 1e9, Unit: FLOPs}
		if grad == 1 {
			s.Key, s.Name = s.Key+"/grad", "attention layer forward, backward"
		}
		s.Args["grad"] = grad
		all = append(all, s)
	}
	return all
}

// optimizerSpecs: one update of every parameter of a network, tensor by tensor as they are, and
// the power iterations and divisions of a network's spectral norms.
func optimizerSpecs() []Spec {
	r18, g := sizes(nets()[1].build()), sizes(gan.NewGenerator(biggan(64)))
	add := func(kind, name string, list []int, of string, passes float64) Spec {
		n := 0
		for _, k := range list {
			n += k
		}
		return Spec{Key: kind + "/" + of, Name: name, Shape: fmt.Sprintf("%s, %.1f M", of,
			float64(n)/1e6), Groups: []string{"optimizer"}, Kind: kind, Modes: []string{Eager},
			Lists: map[string][]int{"sizes": list}, Work: passes * 4 * float64(n) / 1e9, Unit: Bytes}
	}
	const r, b = "resnet18-cifar", "biggan32-ch64-G"
	all := []Spec{add("sgd", "SGD", r18, r, 5), add("adam", "Adam", g, b, 7),
		add("ema", "EMA", g, b, 3), add("adam-ema", "Adam, EMA", g, b, 10)}
	rows, cols, elements := matrices(gan.NewDiscriminator(biggan(64)))
	// Two products with the matrix, a norm's product, the quotient: four reads and a write.
	all = append(all, Spec{Key: "spectral/biggan32-ch64-D", Name: "spectral norms",
		Shape: "biggan32-ch64-D", Groups: []string{"optimizer"}, Kind: "spectral",
		Lists: map[string][]int{"rows": rows, "cols": cols}, Modes: []string{Eager, Compile},
		Work: 5 * 4 * float64(elements) / 1e9, Unit: Bytes})
	return all
}

// sizes lists the trainable parameters' numbers of elements.
func sizes(m nn.Module) (list []int) {
	for _, p := range nn.Trainable(m) {
		list = append(list, p.Param.Shape.Size())
	}
	return list
}

// matrices lists the extents of every convolution's weight as a matrix [out, everything else].
func matrices(m nn.Module) (rows, cols []int, elements int) {
	for _, p := range nn.Trainable(m) {
		if s := p.Param.Shape; len(s) == 4 {
			rows, cols = append(rows, s[0]), append(cols, s[1:].Size())
			elements += s.Size()
		}
	}
	return rows, cols, elements
}
