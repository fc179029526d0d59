package onnx

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"afterimage/autodiff"
	"afterimage/tensor/ref"
)

// TestMaxPoolPositions: storage_order changes how positions are counted, never which values win; a
// NaN wins, and a window wholly in padding has the least value of its type, as ONNX Runtime has it.
func TestMaxPoolPositions(t *testing.T) {
	nan := math.NaN()
	image := []float64{11, 2, 3, 4, 5, 9, 7, 8, 23, 22, 20, 19}
	far := []attrProto{ints("kernel_shape", 2, 2), ints("dilations", 4, 1), ints("pads", 1, 0, 1, 0)}
	two := []attrProto{ints("kernel_shape", 2, 2)}
	for i, tc := range []struct {
		elem  Elem
		image []float64
		attr  []attrProto
		y     []float64
		at    []int64
	}{
		{Int8, image, two, []float64{11, 9, 8, 23, 22, 20}, []int64{0, 5, 7, 8, 9, 10}},
		{Int8, image, append(slices.Clone(two), attrI("storage_order", 1)),
			[]float64{11, 9, 8, 23, 22, 20}, []int64{0, 4, 10, 2, 5, 8}},
		{Float, image, append(slices.Clone(two), attrI("storage_order", 1)),
			[]float64{11, 9, 8, 23, 22, 20}, []int64{0, 4, 10, 2, 5, 8}},
		{Float, []float64{1, nan, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9}, two,
			[]float64{nan, nan, 8, 9, 9, 9}, []int64{1, 1, 7, 8, 9, 10}},
		{Int8, image, far, []float64{-128, -128, -128}, []int64{-1, -1, -1}},
		{Uint8, image, far, []float64{0, 0, 0}, []int64{-1, -1, -1}},
		{Float, image, far, []float64{math.Inf(-1), math.Inf(-1), math.Inf(-1)}, []int64{-1, -1, -1}},
	} {
		x := newArray(tc.elem, 1, 1, 3, 4)
		copy(x.F, tc.image)
		for j := range x.I {
			x.I[j] = int64(tc.image[j])
		}
		s := newSketch(17)
		s.node("MaxPool", "y", []string{s.constant("x", x)}, tc.attr...)
		s.graph.nodes[0].out = []string{"y", "at"}
		ag := autodiff.NewGraph(ref.New())
		out, err := importIn(t, s.model(t, "y", "at"), Options{}).Run(ag, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, at := out["y"].Array(), out["at"].Array().I
		for j := range tc.y {
			if fmt.Sprint(y.at(j)) != fmt.Sprint(tc.y[j]) || at[j] != tc.at[j] {
				t.Errorf("case %d, window %d: got %v at %d, want %v at %d", i, j, y.at(j), at[j],
					tc.y[j], tc.at[j])
			}
		}
		ag.Close()
	}
}
