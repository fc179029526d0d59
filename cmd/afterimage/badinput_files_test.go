package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

func write(t *testing.T, path string, raw []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// resnet8 writes weights of an untrained network of the given number of classes; NaN in place of
// one of them if asked for, and without the metadata that says what they are if foreign.
func resnet8(t *testing.T, path string, classes int, nan, foreign bool) string {
	t.Helper()
	s := tensor.NewScope(ref.New())
	defer s.Close()
	m, err := models.New("resnet8", models.Options{Classes: classes})
	if err != nil {
		t.Fatal(err)
	}
	nn.Init(s, m, 1)
	if nan {
		p := nn.List(m)[3].Param.T
		v := p.Floats()
		v[1] = math.NaN()
		p.SetFloats(v)
	}
	f := m.Export()
	if foreign {
		f = models.Export(m, models.Mapping{}, models.OIHW)
	}
	if err := checkpoint.SaveSafetensors(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

func badWeights(t *testing.T, r runs) []badCase {
	good := read(t, r.weights("classifier", train.FinalFile))
	evaluate := func(weights string, more ...string) []string {
		return append([]string{"evaluate", "classifier", "--count", "8", "--weights", weights}, more...)
	}
	foreign := resnet8(t, r.path("foreign.safetensors"), 10, false, true)
	nan := r.path("nan")
	copyTree(t, r.path("good", "inverter"), nan)
	damaged := filepath.Join(nan, train.CheckpointDir, "inverter.safetensors")
	raw := read(t, damaged)
	copy(raw[len(raw)-4:], "\x00\x00\xc0\x7f")
	write(t, damaged, raw)
	return []badCase{
		{"truncated weights", evaluate(write(t, r.path("cut.safetensors"), good[:len(good)/2])),
			[]string{"cut.safetensors", "damaged or cut short"}},
		{"empty weights", evaluate(write(t, r.path("empty.pth"), nil)),
			[]string{"empty.pth", "an empty file"}},
		{"a text as weights", evaluate(r.path("good", "classifier", train.ConfigFile)),
			[]string{"config.yaml", "expected safetensors"}},
		{"a checkpoint with optimizer as weights", evaluate(r.weights("classifier", train.LatestFile)),
			[]string{"latest.safetensors", "--arch"}},
		{"no such weights", evaluate(r.path("nowhere.pth")),
			[]string{"nowhere.pth", "no such file", "check the path"}},
		{"no weights", []string{"evaluate", "classifier"}, []string{"--classifier"}},
		{"weights of 7 classes", evaluate(resnet8(t, r.path("seven.safetensors"), 7, false, false)),
			[]string{"7 classes", "has 10"}},
		{"NaN in weights", evaluate(resnet8(t, r.path("nan.safetensors"), 10, true, false)),
			[]string{"nan.safetensors", "not finite at element 1"}},
		{"an inverter with a changed number", []string{"invert", "--inverter", nan, "--out", r.path("x"),
			r.path("cat.png")}, []string{"inverter.safetensors", "damaged or changed"}},
		{"foreign weights, no architecture", evaluate(foreign),
			[]string{"--arch", "resnet20-cifar", "ONNX"}},
		{"foreign weights, another architecture", evaluate(foreign, "--arch", "resnet20-cifar"),
			[]string{"ONNX", "missing", "layer1.1.conv1.weight", "use a checkpoint of this network"}},
		{"foreign weights, unknown architecture", evaluate(foreign, "--arch", "resnet21"),
			[]string{"resnet21", "expected one of"}},
		{"means of one channel", evaluate(foreign, "--arch", "resnet8", "--mean", "1",
			"--std", "1"), []string{"expected 3 each"}},
		{"an unfinished run as an inverter", []string{"invert", "--inverter",
			r.path("good", "classifier"), r.path("cat.png")}, []string{"no finished inverter"}},
		{"a classifier to invert that is none", tinyInverter(r.path("good"), "--out", r.path("x")),
			[]string{"holds no trained classifier"}},
		{"no classifier to invert", tinyInverter("", "--out", r.path("x")),
			[]string{"which classifier?"}},
	}
}

func picture(t *testing.T, path string, w, h int) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, color.RGBA{uint8(i), uint8(3 * i), 200, 255})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func badImages(t *testing.T, r runs) []badCase {
	cat := picture(t, r.path("cat.png"), 40, 40)
	if err := os.Mkdir(r.path("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := picture(t, r.path("other", "cat.png"), 40, 40)
	invert := func(args ...string) []string {
		return append([]string{"invert", "--inverter", r.path("good", "inverter"), "--out", r.path("x")},
			args...)
	}
	whole := read(t, cat)
	return []badCase{
		{"a 1-pixel image", invert(picture(t, r.path("one.png"), 1, 1)),
			[]string{"one.png", "1×1 pixels", "expected at least 8×8", "larger"}},
		{"a good and a 1-pixel image", invert(cat, r.path("one.png")), []string{"one.png"}},
		{"half an image", invert(write(t, r.path("half.png"), whole[:len(whole)/2])),
			[]string{"half.png", "damaged"}},
		{"a text as image", invert(r.path("good", "inverter", train.ConfigFile)),
			[]string{"not a PNG or JPEG"}},
		{"a folder as image", invert(r.path("other")), []string{"other", "PNG or JPEG"}},
		{"no such image", invert(r.path("dog.png")), []string{"dog.png", "no such file"}},
		{"two images of one name", invert(cat, other), []string{"both be painted"}},
		{"an image over itself", invert(other, "--out", r.path("other")),
			[]string{"painted over", "--out"}},
		{"no draws", invert(cat, "--draws", "0"), []string{"--draws 0", "expected 1"}},
		{"enormous pictures", invert(cat, "--scale", "100000"), []string{"--scale 100000"}},
	}
}

// badData damages data sets: CIFAR-10 with a batch cut short, with a label that does not exist,
// without its files; folders without images.
func badData(t *testing.T, r runs) []badCase {
	const record = 3073
	cifar := func(name string, raw []byte) string {
		for i := 1; i <= 5; i++ {
			write(t, r.path(name, "cifar-10-batches-bin", fmt.Sprintf("data_batch_%d.bin", i)), raw)
		}
		write(t, r.path(name, "cifar-10-batches-bin", "test_batch.bin"), raw)
		return r.path(name)
	}
	label := make([]byte, 4*record)
	label[2*record] = 11
	few := cifar("few", make([]byte, record))
	folder := r.path("folder")
	write(t, filepath.Join(folder, "a", "x.txt"), nil)
	trainOn := func(dataset, dir string) []string {
		return append(tinyClassifier("--out", r.path("x")), "--dataset", dataset, "--data", dir)
	}
	show := func(dataset, dir string, more ...string) []string {
		return append([]string{"data", "show", "--dataset", dataset, "--data", dir}, more...)
	}
	return []badCase{
		{"no data folder", trainOn("cifar-10", r.path("nodata")),
			[]string{"nodata", "afterimage data get"}},
		{"no data in the folder", trainOn("mnist", r.path("good")),
			[]string{"mnist", "afterimage data get"}},
		{"CIFAR cut short", trainOn("cifar-10", cifar("short", make([]byte, 2*record-5))),
			[]string{"data_batch_1.bin", "expected", "got"}},
		{"CIFAR with a wrong label", trainOn("cifar-10", cifar("label", label)),
			[]string{"data_batch_1.bin", "11"}},
		{"too little data", trainOn("cifar-10", few), []string{"5 training images", "10 or more"}},
		{"a folder without images", trainOn("folder:"+folder, ""), []string{"folder"}},
		{"no such folder", trainOn("folder:"+r.path("nofolder"), ""),
			[]string{"nofolder", "no such file"}},
		{"fewer than no images", show("scenes", "", "--count=-1", "--out", r.path("x.png")),
			[]string{"--count -1"}},
		{"no such split", show("scenes", "", "--split", "dev"), []string{"dev", "train"}},
		{"unknown download", []string{"data", "get", "imagenet", "--data", r.path("x")},
			[]string{"imagenet", "cifar-10"}},
	}
}
