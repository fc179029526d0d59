package gan_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// saved trains nothing: it saves an inverter of a generator with layers of 96 channels, large
// enough to be given up, and opens it again on b.
func saved(t *testing.T, b *cpu.Backend, s *tensor.Scope) (v *gan.Inverter, dir string) {
	m, err := models.New("convnet-mnist", models.Options{Classes: 10, InputSize: 32, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 3)
	c := tinyInverter()
	c.Net = gan.BigGAN32(24, 10)
	cond, err := gan.NewConditioner(m, gan.Logits)
	if err != nil {
		t.Fatal(err)
	}
	v = &gan.Inverter{Config: c, G: gan.NewGenerator(c.Net), Conditioner: cond}
	nn.Init(s, nn.Join(nn.Prefixed("g", v.G), cond.State()), 1)
	dir = t.TempDir()
	if err := v.Save(dir, tensor.F32, nil); err != nil {
		t.Fatal(err)
	}
	if v, err = gan.OpenInverter(s, dir); err != nil {
		t.Fatal(err)
	}
	return v, dir
}

// TestInferenceOfGenerator: a BigGAN painting with an Inference that owns its weights, spectrally
// normalised and joined with the enlargement, gives the bits of one that paints for itself, in
// float32 and in bfloat16, for one image and for several in turn, and the weights are not there
// until somebody reads them.
func TestInferenceOfGenerator(t *testing.T) {
	if testing.Short() {
		t.Skip("short: paints with a generator of 96 channels")
	}
	for name, d := range map[string]tensor.DType{"f32": tensor.F32, "bf16": tensor.BF16} {
		t.Run(name, func(t *testing.T) {
			b := cpu.Open(2)
			defer b.Close()
			if err := b.SetPrecision(d); err != nil {
				t.Skip(err)
			}
			s := tensor.NewScope(b)
			defer s.Close()
			v, dir := saved(t, b, s)
			images := func(n int, paint func(s *tensor.Scope, cond, z *tensor.Tensor) *tensor.Tensor,
			) []float32 {
				in := tensor.NewScope(b)
				defer in.Close()
				z := v.Noise(in, tensor.NewKey(1, "noise"), uint32(n), n)
				cond := in.Full(tensor.F32, 0.5, n, 10)
				return tensor.ToHost[float32](paint(in, cond, z))
			}
			want := map[int][]float32{1: images(1, v.Paint), 3: images(3, v.Paint)}
			used := map[bool]int{}
			for _, own := range []bool{false, true} {
				i := nn.NewInference(b)
				if own {
					i = v.Inference(b)
				}
				for _, n := range []int{3, 1, 1, 3} {
					got := images(n, func(s *tensor.Scope, cond, z *tensor.Tensor) *tensor.Tensor {
						return v.PaintWith(i, s, cond, z)
					})
					if !slices.Equal(got, want[n]) {
						t.Errorf("%d images differ", n)
					}
				}
				used[own] = b.Memory().InUse
				i.Close()
			}
			if less := used[false] - used[true]; runtime.GOOS == "linux" && less != largeWeights(v.G) {
				t.Errorf("%d bytes less in use with %d bytes of large weights owned", less, largeWeights(v.G))
			}
			if !slices.Equal(images(3, v.Paint), want[3]) {
				t.Error("read again, the weights are others")
			}
			lostFile(t, b, v, dir, images)
		})
	}
}

// largeWeights is how many bytes weights take that are large enough to be given up.
func largeWeights(m nn.Module) (bytes int) {
	for _, p := range nn.List(m) {
		if n := 4 * p.Param.Shape.Size(); n >= 256<<10 {
			bytes += n
		}
	}
	return bytes
}

// lostFile paints with weights that are given up, and cannot be read again: from a file of another
// length in its place, and from none.
func lostFile(t *testing.T, b *cpu.Backend, v *gan.Inverter, dir string, images func(int,
	func(s *tensor.Scope, cond, z *tensor.Tensor) *tensor.Tensor) []float32) {
	if runtime.GOOS != "linux" {
		return // nothing is given up
	}
	i := v.Inference(b)
	defer i.Close()
	images(1, func(s *tensor.Scope, cond, z *tensor.Tensor) *tensor.Tensor {
		return v.PaintWith(i, s, cond, z)
	})
	path := filepath.Join(dir, gan.FinalInverter)
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range nn.List(nn.Prefixed("generator", v.G)) {
		f.Set(p.Name, checkpoint.FromFloat32s([]int{3}, []float32{1, 2, 3}))
	}
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	err = tensor.Try(func() { images(1, v.Paint) })
	if err == nil || !strings.Contains(err.Error(), "expected ") ||
		!strings.Contains(err.Error(), "put that file back") || strings.Contains(err.Error(), "nil") {
		t.Errorf("with another file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	err = tensor.Try(func() { images(1, v.Paint) })
	if err == nil || !strings.Contains(err.Error(), "file is gone") {
		t.Errorf("without the file: %v", err)
	}
}
