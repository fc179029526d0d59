package models_test

import (
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// TestInferenceOwnsFile: a classifier read from a file answers the same with weights that are given
// up, whatever the batches, for less memory; in our layout and in PyTorch's, with its prefix.
func TestInferenceOwnsFile(t *testing.T) {
	if testing.Short() {
		t.Skip("short: passes through a ResNet-18")
	}
	b := cpu.Open(2)
	defer b.Close()
	s := tensor.NewScope(b)
	defer s.Close()
	opts := models.Options{Classes: 10, InputSize: 16}
	made, err := models.New("resnet18-cifar", opts)
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, made, 1)
	foreign := checkpoint.NewFile()
	for name, a := range models.Export(made, made.Mapping(), models.OIHW).All() {
		foreign.Set("_orig_mod.module."+name, a)
	}
	for what, f := range map[string]*checkpoint.File{"ours": made.Export(), "PyTorch's": foreign} {
		path := filepath.Join(t.TempDir(), "net.safetensors")
		if err := checkpoint.SaveSafetensors(path, f); err != nil {
			t.Fatal(err)
		}
		opened, err := checkpoint.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := models.New("resnet18-cifar", opts)
		if err != nil {
			t.Fatal(err)
		}
		in := tensor.NewScope(b)
		if err := m.Load(in, opened); err != nil {
			t.Fatal(err)
		}
		before := b.Memory().InUse
		lent, kept := passes(b, m, nn.NewInference(b))
		owned, given := passes(b, m, m.Inference(b))
		if !slices.Equal(lent, owned) {
			t.Errorf("%s: weights that are given up answer otherwise", what)
		}
		large := 0
		for _, p := range nn.List(m) {
			if n := 4 * p.Param.Shape.Size(); n >= 256<<10 {
				large += n
			}
		}
		if runtime.GOOS == "linux" && kept-given != large {
			t.Errorf("%s: %d bytes above %d with weights, %d without, expected %d less", what,
				kept-before, before, given-before, large)
		}
		in.Close()
	}
}

// passes returns the logits of batches of several sizes and the memory in use behind them.
func passes(b *cpu.Backend, m *models.Classifier, i *nn.Inference) (y []float32, inUse int) {
	defer i.Close()
	for _, n := range []int{4, 1, 4} {
		i.Pass(func(c *nn.Ctx) {
			x := c.Graph.Scope().Full(tensor.F32, 0.25, n, 16, 16, 3)
			y = append(y, tensor.ToHost[float32](m.Forward(c, c.Graph.Const(x)).Tensor())...)
		})
	}
	return y, b.Memory().InUse
}
