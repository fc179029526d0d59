package train_test

import (
	"fmt"
	"log"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/attack"
	"afterimage/nn/data"
	"afterimage/nn/loss"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
)

// A network of one's own on data of one's own, from the first pixel to the score: the whole
// training loop, without anything of this package.
func Example_yourOwnNetwork() {
	bars := bars(600) // 8×8 pixels: a horizontal or a vertical bar in noise
	batches := must(data.NewLoader(data.First(bars, 500), data.LoaderConfig{Batch: 50, Seed: 1}))
	net := nn.Sequential{
		nn.NewConv2D(nn.ConvConfig{In: 1, Out: 8, Kernel: 3, Pad: 1, NoBias: true}),
		nn.NewBatchNorm2D(8),
		nn.Func(autodiff.ReLU),
		nn.Func(autodiff.GlobalAvgPool),
		nn.NewLinear(nn.LinearConfig{In: 8, Out: 2}),
	}
	b := cpu.Open(0) // all cores; their number does not change the result
	defer b.Close()
	s := tensor.NewScope(b) // owns the weights and the optimizer's state
	defer s.Close()
	nn.Init(s, net, 1)
	weights := nn.Trainable(net)
	sgd := optim.NewSGD(s, weights, optim.SGDConfig{Momentum: 0.9})

	for i, batch := range batches.Stream(0) {
		if i == 60 {
			break
		}
		g := autodiff.NewGraph(b) // owns everything this step computes
		c := nn.NewCtx(g, nn.Train, weights)
		c.Updates = nn.NewUpdates(b)
		x := g.Const(tensor.FromSlice(g.Scope(), batch.X, batch.Shape()...))
		labels := tensor.FromSlice(g.Scope(), batch.Labels, batch.N())
		l := loss.CrossEntropy(net.Forward(c, x), labels, 0)
		sgd.Begin(i+1, 0.1)
		sgd.Update(autodiff.Grad(l, c.Values(weights)))
		c.Updates.Apply() // batch norm's running statistics
		g.Close()
	}

	unseen := data.Read(bars, data.Signed, numbers(500, 600)...)
	x := tensor.FromSlice(s, unseen.X, unseen.Shape()...)
	labels := tensor.FromSlice(s, unseen.Labels, unseen.N())
	right := count(attack.Correct(s, net, x, labels))
	fmt.Println("95 or more of 100 unseen images right:", right >= 95)
	// Output: 95 or more of 100 unseen images right: true
}

// bars draws n grey images of 8×8 pixels with a brighter row (class 0) or column (class 1).
func bars(n int) data.Dataset {
	const size = 8
	rng := tensor.NewRNG(tensor.NewKey(1, "example/bars"), 0)
	pixels, labels := make([]uint8, n*size*size), make([]int32, n)
	for i := range n {
		labels[i] = int32(rng.IntN(2))
		at := rng.IntN(size)
		for p := range size * size {
			v := rng.IntN(100)
			if labels[i] == 0 && p/size == at || labels[i] == 1 && p%size == at {
				v += 100
			}
			pixels[i*size*size+p] = uint8(v)
		}
	}
	return must(data.NewMemory(data.Images{Name: "bars", Classes: []string{"row", "column"},
		H: size, W: size, C: 1, Pixels: pixels, Labels: labels}))
}

// must returns v, or ends the program with err.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// count returns how many of ok are true.
func count(ok []bool) int {
	n := 0
	for _, v := range ok {
		if v {
			n++
		}
	}
	return n
}

// numbers returns from, from+1, …, to−1.
func numbers(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}
