package cuda_test

import (
	"fmt"

	"afterimage/cuda"
)

// A program takes a GPU by name and says in one line why it cannot.
func Example() {
	index, err := cuda.ParseName("cuda:1")
	fmt.Println(index, err)
	_, err = cuda.ParseName("gpu")
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// "gpu" names no GPU: expected cuda:0, cuda:1, …
}
