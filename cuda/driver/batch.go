package driver

import "encoding/binary"

// Pinned is host memory that asynchronous copies may use.
type Pinned struct {
	Address uint64
	Size    int
}

// A command is the code of one entry of a Batch, by the numbers of shim.h.
type command uint32

const (
	cmdLaunch command = iota + 1
	cmdCopyIn
	cmdCopyOut
	cmdCopy
	cmdSet
	cmdRecord
	cmdWait
	cmdGraph
	cmdSync
	cmdDNN
	cmdLt
)

// String names the function behind a command.
func (c command) String() string {
	return [...]string{"", "cuLaunchKernel", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync",
		"cuMemcpyDtoDAsync", "cuMemsetD8Async", "cuEventRecord", "cuStreamWaitEvent",
		"cuGraphLaunch", "cuStreamSynchronize", "cudnnBackendExecute", "cublasLtMatmul"}[c]
}

func (c command) library() Library {
	switch c {
	case cmdDNN:
		return CuDNN
	case cmdLt:
		return CuBLASLt
	}
	return CUDA
}

// A Batch is a sequence of commands that one call of C executes in order. The zero Batch is empty
// and ready to use.
type Batch struct {
	words []uint64
	codes []command
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.words, b.codes = b.words[:0], b.codes[:0] }

// Len returns the number of commands.
func (b *Batch) Len() int { return len(b.codes) }

// Words returns the encoded commands, for tests.
func (b *Batch) Words() []uint64 { return b.words }

func (b *Batch) add(c command, w ...uint64) {
	b.words = append(b.words, uint64(c)|uint64(len(w)+1)<<32)
	b.words = append(b.words, w...)
	b.codes = append(b.codes, c)
}

// Launch runs a kernel with one by-value argument struct, args; shared is its dynamic shared
// memory in bytes.
func (b *Batch) Launch(function uint64, grid, block [3]uint32, shared uint32, args []byte) {
	words := (len(args) + 7) / 8
	const fixed = 7
	b.words = append(b.words, uint64(cmdLaunch)|uint64(fixed+words)<<32, function,
		uint64(grid[0])|uint64(grid[1])<<32, uint64(grid[2]),
		uint64(block[0])|uint64(block[1])<<21|uint64(block[2])<<42, uint64(shared),
		uint64(len(args)))
	b.codes = append(b.codes, cmdLaunch)
	for ; len(args) >= 8; args = args[8:] {
		b.words = append(b.words, binary.LittleEndian.Uint64(args))
	}
	if len(args) > 0 {
		var last [8]byte
		copy(last[:], args)
		b.words = append(b.words, binary.LittleEndian.Uint64(last[:]))
	}
}

// CopyIn copies bytes from pinned host memory to the device.
func (b *Batch) CopyIn(dst, host uint64, bytes int) { b.add(cmdCopyIn, dst, host, uint64(bytes)) }

// CopyOut copies bytes from the device to pinned host memory.
func (b *Batch) CopyOut(host, src uint64, bytes int) { b.add(cmdCopyOut, host, src, uint64(bytes)) }

// Copy copies bytes on the device.
func (b *Batch) Copy(dst, src uint64, bytes int) { b.add(cmdCopy, dst, src, uint64(bytes)) }

// Set writes the same value to every byte.
func (b *Batch) Set(dst uint64, v byte, bytes int) { b.add(cmdSet, dst, uint64(v), uint64(bytes)) }

// Record marks an event when the work before it is done.
func (b *Batch) Record(event uint64) { b.add(cmdRecord, event) }

// Wait holds the stream until an event that another stream records.
func (b *Batch) Wait(event uint64) { b.add(cmdWait, event) }

// Graph launches an executable graph.
func (b *Batch) Graph(exec uint64) { b.add(cmdGraph, exec) }

// Sync waits for the stream.
func (b *Batch) Sync() { b.add(cmdSync) }

// DNN executes a cuDNN plan; ids and addresses name its tensors in the same order.
func (b *Batch) DNN(handle, plan, workspace uint64, ids []int64, addresses []uint64) {
	w := []uint64{handle, plan, workspace, uint64(len(ids))}
	for _, id := range ids {
		w = append(w, uint64(id))
	}
	b.add(cmdDNN, append(w, addresses...)...)
}

// Product executes a cuBLASLt plan on a, b and c.
func (b *Batch) Product(p *ProductPlan, x, y, dst, workspace uint64) {
	double := uint64(0)
	if p.Double {
		double = 1
	}
	w := []uint64{p.Handle, p.out[0], p.out[1], p.out[2], p.out[3], x, y, dst, double, workspace,
		uint64(p.Workspace)}
	b.add(cmdLt, append(w, p.out[4:12]...)...)
}

// A ProductKind says in which types a product is computed.
type ProductKind int

// The kinds of products.
const (
	ProductF32  ProductKind = iota // F32 throughout
	ProductTF32                    // F32 in memory; the operands are rounded to TF32 on the way in
	ProductBF16                    // BF16 operands, F32 sums and result
	ProductHalf                    // BF16 operands and result, F32 sums
	ProductF64                     // F64 throughout
)

// A ProductPlan is one of cuBLASLt's algorithms for one shape of product.
type ProductPlan struct {
	Handle    uint64
	Double    bool
	Workspace int   // bytes it needs
	Engine    int64 // the algorithm: its number in the upper half, a digest of its settings below
	out       [14]uint64
}

// A ProductSpec describes dst = op(a)·op(b), row-major: m×n from k, batch times, one after the
// other.
type ProductSpec struct {
	M, N, K, Batch int
	TransA, TransB bool
	Kind           ProductKind
	Workspace      int // bytes that may be used
}
