package ref_test

import (
	"fmt"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// A 3×3 box filter over a 3×3 image of ones counts the neighbours inside the image.
func Example() {
	b := ref.New()
	s := tensor.NewScope(b)
	defer s.Close()
	x := s.Full(tensor.F64, 1, 1, 3, 3, 1)
	w := s.Full(tensor.F64, 1, 1, 3, 3, 1)
	y := s.Like(x)
	b.Conv2D(y, x, w, tensor.ConvParams{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1,
		PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1})
	fmt.Println(y.Floats())
	// Output: [4 6 4 6 9 6 4 6 4]
}
