package onnx

import "fmt"

// resnet writes the residual networks with batch normalisation. Names and shapes of the weights say
// which one it is: torchvision's call the head "fc" and start with a 7×7 convolution and a maximum,
// bottlenecks have a third convolution, and where channels change without a projection the shortcut
// takes every second pixel and pads channels with zeros (option A).
func (e *exporter) resnet(x string) string {
	stem := e.shape("conv1.weight")
	wide := stem[2] == 7
	stride := 1
	if wide {
		stride = 2
	}
	x = e.relu(e.norm(e.same(x, "conv1", stride), "bn1"))
	if wide {
		x = e.maxPool(x, 3, 2, 1)
	}
	channels := stem[0]
	for s := 1; e.has(fmt.Sprintf("layer%d.0.conv1.weight", s)); s++ {
		for i := 0; e.has(fmt.Sprintf("layer%d.%d.conv1.weight", s, i)); i++ {
			stride := 1
			if s > 1 && i == 0 {
				stride = 2
			}
			x, channels = e.block(x, fmt.Sprintf("layer%d.%d", s, i), channels, stride)
		}
	}
	return e.head(x)
}

// block writes one residual unit of in channels and returns its output and channels.
func (e *exporter) block(x, name string, in, stride int) (string, int) {
	last := "2"
	if e.has(name + ".conv3.weight") {
		last = "3"
	}
	out := e.shape(name + ".conv" + last + ".weight")[0]
	strides := map[string]int{"1": stride, "2": 1, "3": 1}
	if last == "3" { // the 3×3 convolution of a bottleneck carries the stride
		strides["1"], strides["2"] = 1, stride
	}
	h := x
	for _, k := range []string{"1", "2", "3"} {
		if k > last {
			break
		}
		h = e.norm(e.same(h, name+".conv"+k, strides[k]), name+".bn"+k)
		if k < last {
			h = e.relu(h)
		}
	}
	res := x
	switch {
	case e.has(name + ".downsample.0.weight"):
		res = e.norm(e.same(x, name+".downsample.0", stride), name+".downsample.1")
	case e.has(name + ".shortcut.0.weight"):
		res = e.norm(e.same(x, name+".shortcut.0", stride), name+".shortcut.1")
	case in != out:
		res = e.optionA(x, name, in, out, stride)
	}
	return e.relu(e.sum(name, h, res)), out
}

// optionA writes the shortcut without parameters.
func (e *exporter) optionA(x, name string, in, out, stride int) string {
	vec := func(what string, v ...int) string { return e.Longs(name+"/"+what, v...) }
	const end = 1 << 31 // beyond any extent
	x = e.Node("Slice", name+"/subsampled", []string{x, vec("starts", 0, 0), vec("ends", end, end),
		vec("axes", 2, 3), vec("steps", stride, stride)})
	before := (out - in) / 2
	return e.Node("Pad", name+"/padded", []string{x,
		vec("pads", 0, before, 0, 0, 0, out-in-before, 0, 0)})
}

// head writes the mean over the pixels and the linear layer.
func (e *exporter) head(x string) string {
	x = e.flatten(e.Node("GlobalAveragePool", "pool", []string{x}))
	if e.has("fc.weight") {
		return e.linear(x, "fc")
	}
	return e.linear(x, "linear")
}

// preact writes the pre-activation networks: with a last normalisation "bn" the projection reads
// the raw input of a block, else the activated one.
func (e *exporter) preact(x string) string {
	x = e.same(x, "conv1", 1)
	raw := e.has("bn.weight")
	for s := 1; e.has(fmt.Sprintf("layer%d.0.conv1.weight", s)); s++ {
		for i := 0; e.has(fmt.Sprintf("layer%d.%d.conv1.weight", s, i)); i++ {
			name, stride := fmt.Sprintf("layer%d.%d", s, i), 1
			if s > 1 && i == 0 {
				stride = 2
			}
			a := e.relu(e.norm(x, name+".bn1"))
			res := x
			if e.has(name + ".shortcut.0.weight") {
				from := a
				if raw {
					from = x
				}
				res = e.same(from, name+".shortcut.0", stride)
			}
			h := e.relu(e.norm(e.same(a, name+".conv1", stride), name+".bn2"))
			x = e.sum(name, e.same(h, name+".conv2", 1), res)
		}
	}
	if raw {
		x = e.relu(e.norm(x, "bn"))
	}
	return e.head(x)
}

// resnet2b writes the verification competition's network.
func (e *exporter) resnet2b(x string) string {
	x = e.relu(e.same(x, "conv1", 2))
	for i, stride := range []int{2, 1} {
		name := fmt.Sprintf("layer1.%d", i)
		h := e.same(e.relu(e.same(x, name+".conv1", stride)), name+".conv2", 1)
		res := x
		if e.has(name + ".shortcut.0.weight") {
			res = e.conv(x, name+".shortcut.0", stride, 0)
		}
		x = e.relu(e.sum(name, h, res))
	}
	return e.linear(e.relu(e.linear(e.flatten(x), "linear1")), "linear2")
}

func (e *exporter) lenet(x string) string {
	x = e.maxPool(e.relu(e.conv(x, "convnet.c1", 1, 0)), 2, 2, 0)
	x = e.maxPool(e.relu(e.conv(x, "convnet.c3", 1, 0)), 2, 2, 0)
	x = e.flatten(e.relu(e.conv(x, "convnet.c5", 1, 0)))
	return e.linear(e.relu(e.linear(x, "fc.f6")), "fc.f7")
}

func (e *exporter) convnet(x string) string {
	x = e.relu(e.conv(x, "0", 2, 1))
	x = e.flatten(e.relu(e.conv(x, "2", 2, 1)))
	return e.linear(e.relu(e.linear(x, "5")), "7")
}

// squeezenet writes SqueezeNet 1.1 as torchvision has it, without the dropout. Its pools round
// extents up. Where a side has two pixels ONNX's window overhangs it, which changes no maximum.
func (e *exporter) squeezenet(x string) string {
	x = e.relu(e.conv(x, "features.0", 2, 0))
	for i := 2; i <= 12; i++ {
		name := fmt.Sprintf("features.%d", i)
		if !e.has(name + ".squeeze.weight") {
			x = e.maxPool(x, 3, 2, 0, IntAttr("ceil_mode", 1))
			continue
		}
		s := e.relu(e.conv(x, name+".squeeze", 1, 0))
		x = e.Node("Concat", name, []string{e.relu(e.conv(s, name+".expand1x1", 1, 0)),
			e.relu(e.conv(s, name+".expand3x3", 1, 1))}, IntAttr("axis", 1))
	}
	x = e.relu(e.conv(x, "classifier.1", 1, 0))
	return e.flatten(e.Node("GlobalAveragePool", "pool", []string{x}))
}
