package kernels

// The argument structs of the kernels, field for field as the .cu files declare them under the same
// name in C's spelling (fillArgs is fill_args). A test compares every offset with what the C++
// compiler says.

const maxRank = 8 // MAX_RANK of port.h

type fillArgs struct {
	Dst     uint64
	N       int64
	Pattern uint64
}

type unaryArgs struct {
	Dst, X uint64
	N      int64
	A, B   float64
	Op     int32
	Pad    int32
}

type binaryArgs struct {
	Dst, X, Y uint64
	N         int64
	Sx, Sy    [maxRank]int64
	Shape     [maxRank]int32
	Rank, Op  int32
}

type selectArgs struct {
	Dst, Cond, X, Y uint64
	N               int64
}

type castArgs struct {
	Dst, X uint64
	N      int64
}
