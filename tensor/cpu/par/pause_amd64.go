//go:build !purego

package par

// pause executes n > 0 PAUSE instructions: a hint to the core that this is a waiting loop, which
// saves power and leaves the execution units to a sibling hyper-thread.
func pause(n uint32)
