package autodiff_test

import (
	"fmt"

	"afterimage/autodiff"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// The third derivative of tanh at 0.5. Each gradient but the last is recorded, so that it can be
// differentiated in turn.
func Example() {
	backend := ref.New()
	params := tensor.NewScope(backend) // outlives the graph
	defer params.Close()
	at := tensor.FromSlice(params, []float64{0.5}, 1)

	g := autodiff.NewGraph(backend)
	defer g.Close()
	x := []*autodiff.Value{g.Leaf(at)}
	y := autodiff.Tanh(x[0])
	d1 := autodiff.Grad(y, x, autodiff.CreateGraph())[0]
	d2 := autodiff.Grad(d1, x, autodiff.CreateGraph())[0]
	d3 := autodiff.Grad(d2, x)[0]
	fmt.Printf("%.4f %.4f %.4f %.4f\n", y.Item(), d1.Item(), d2.Item(), d3.Item())
	// Output: 0.4621 0.7864 -0.7269 -0.5652
}

// One training step of a linear model: gradients are returned, not stored, and closing the graph
// gives all its memory back.
func ExampleGrad() {
	backend := ref.New()
	params := tensor.NewScope(backend)
	defer params.Close()
	w := tensor.FromSlice(params, []float64{1, 1}, 1, 2)
	x := tensor.FromSlice(params, []float64{1, 2, 3, 4}, 2, 2)
	y := tensor.FromSlice(params, []float64{5, 11}, 2, 1) // made with w = [1 2]

	g := autodiff.NewGraph(backend)
	weight := g.Leaf(w)
	residual := autodiff.Sub(autodiff.Linear(g.Const(x), weight, nil), g.Const(y))
	loss := autodiff.Mean(autodiff.Square(residual))
	dw := autodiff.Grad(loss, []*autodiff.Value{weight})[0]
	fmt.Println(loss.Item(), dw.Tensor().Floats())
	g.Close()
	// Output: 10 [-14 -20]
}
