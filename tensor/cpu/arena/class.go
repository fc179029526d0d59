package arena

import "math/bits"

// leastBlock is the smallest block.
const leastBlock = 256

// classes is how many size classes there are below big.
const classes = 40

// SizeClass returns the class of blocks of n bytes. Classes are numbered by size: a power of two or
// one of three sizes between it and the next, in cache lines, 256 bytes at least. Beyond that at
// most a fifth of a block is unused.
func SizeClass(n int) int {
	q := uint(max(n, leastBlock)+line-1) / line
	e := max(0, bits.Len(q-1)-3)
	step := uint(1) << e
	return 4*e + int((q+step-1)>>e) - 4
}

// ClassSize returns the bytes of a block of a class, the most for which SizeClass gives it.
func ClassSize(class int) int {
	e, m := class/4, class%4
	return line * ((m + 4) << e)
}
