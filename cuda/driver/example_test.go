package driver_test

import (
	"fmt"

	"afterimage/cuda/driver"
)

// A batch is encoded without a device; Context.Run executes it in one call of C.
func ExampleBatch() {
	var b driver.Batch
	b.Set(0x10000, 0, 256)
	b.Copy(0x20000, 0x10000, 256)
	b.Launch(0x30000, [3]uint32{4, 1, 1}, [3]uint32{256, 1, 1}, 0, make([]byte, 12))
	fmt.Println(b.Len(), "commands in", len(b.Words()), "words")
	// Output:
	// 3 commands in 17 words
}
