package arena_test

import (
	"fmt"

	"afterimage/tensor/cpu/arena"
)

func Example() {
	a := arena.New(1 << 30)
	activation, _ := a.Take(8 << 20)
	a.Give(activation)
	gradient, _ := a.Take(1 << 20) // is cut from it
	fmt.Println(len(gradient.Bytes())>>20, "MB of", a.Usage().Peak>>20)
	a.Give(gradient)
	// Output: 1 MB of 8
}
