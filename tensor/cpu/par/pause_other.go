//go:build !amd64 || purego

package par

// pause is a short wait between two looks at shared memory.
func pause(n uint32) {
	for i := uint32(0); i < 8*n; i++ {
		spun(i)
	}
}

// spun keeps the compiler from removing the waiting loop.
//
//go:noinline
func spun(uint32) {}
