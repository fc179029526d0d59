package kernels

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"afterimage/tensor"
)

//go:embed *.cu *.h
var files embed.FS

// A Launch is one kernel launch.
type Launch struct {
	Entry       string    // the name of the entry point; Entries says in which stem it lies
	Grid, Block [3]uint32 // x, y, z
	Shared      uint32    // bytes of dynamic shared memory
	Args        []byte    // the argument struct, passed by value as the kernel's only parameter
}

// An Entry describes an entry point.
type Entry struct{ Name, Stem string }

// Stems returns the names of the translation units, sorted: "conv", "copy", ….
func Stems() []string {
	names, _ := files.ReadDir(".") // embedded: cannot fail
	var stems []string
	for _, f := range names {
		if s, ok := strings.CutSuffix(f.Name(), ".cu"); ok {
			stems = append(stems, s)
		}
	}
	slices.Sort(stems)
	return stems
}

// Text returns the complete translation unit of a stem: what it includes is inlined, with #line
// directives, so that a compiler's message names the file a reader knows. Panics with
// *tensor.Error on an unknown stem.
func Text(stem string) string {
	text, err := files.ReadFile(stem + ".cu")
	if err != nil {
		panic(&tensor.Error{Op: "kernels.Text", Reason: "there is no kernel file " + stem + ".cu"})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "#line 1 \"%s.cu\"\n", stem)
	inline(&out, string(text), stem+".cu", map[string]bool{})
	return out.String()
}

// Inline replaces the headers of this folder that a text includes by their contents.
func Inline(text string) string {
	var out strings.Builder
	inline(&out, text, "text", map[string]bool{})
	return out.String()
}

var includeLine = regexp.MustCompile(`^#include "(\w+\.h)"`)

// inline writes text, replacing an include by the file the first time it is met. name is the text's
// own file, if it has one.
func inline(out *strings.Builder, text, name string, seen map[string]bool) {
	for i, line := range strings.SplitAfter(text, "\n") {
		m := includeLine.FindStringSubmatch(line)
		if m == nil {
			out.WriteString(strings.Replace(line, "#pragma once", "", 1))
			continue
		}
		header, err := files.ReadFile(m[1])
		if err != nil { // the emulator's own: not ours to inline
			out.WriteString(line)
			continue
		}
		if !seen[m[1]] {
			seen[m[1]] = true
			fmt.Fprintf(out, "#line 1 \"%s\"\n", m[1])
			inline(out, string(header), m[1], seen)
		}
		fmt.Fprintf(out, "\n#line %d \"%s\"\n", i+2, name)
	}
}

var entryLine = regexp.MustCompile(
	`(?m)^extern "C" __global__ (?:__launch_bounds__\([^)]*\) )?void\s+(\w+)\(`)

// Entries returns all entry points by name, as the texts declare them.
func Entries() map[string]Entry { return entries() }

var entries = sync.OnceValue(func() map[string]Entry {
	all := map[string]Entry{}
	for _, stem := range Stems() {
		for _, m := range entryLine.FindAllStringSubmatch(Text(stem), -1) {
			all[m[1]] = Entry{m[1], stem}
		}
	}
	return all
})

// An Array is a tensor in device memory. The zero Array stands for a tensor that is absent.
type Array struct {
	Ptr   uint64
	DType tensor.DType
	Shape tensor.Shape
}

// absent reports whether a is the zero Array.
func (a Array) absent() bool { return a.DType == tensor.Invalid }

func (a Array) size() int { return a.Shape.Size() }

func (a Array) dim(i int) int {
	if i < 0 {
		i += len(a.Shape)
	}
	return a.Shape[i]
}

// An Encoder plans the launches of backend calls. Its methods are those of tensor.Backend; operands
// were checked by the caller. A method that meets a dtype without a kernel panics with
// *tensor.Error.
type Encoder struct {
	// Emit receives the launches of a call in order; each may read what the one before wrote.
	Emit func(Launch)
	// Scratch returns 256-byte aligned device memory with undefined contents that nobody else uses
	// before the launches of this call have run.
	Scratch func(bytes int) uint64
	// Hopper makes products of BF16 operands by the instructions of compute capability 9.0, which
	// only a module compiled for sm_90a has.
	Hopper bool

	wide bool // tests: choose the wide tiles whatever the shape
}

// block is the number of threads of a block where a kernel does not ask for another.
const block = 256

// maxBlocks bounds the grid of grid-stride loops: eight blocks of 256 threads fill a
// multiprocessor, and 2,112 of them the largest card (132 multiprocessors, two waves). A committed
// constant, so that plans do not depend on the card.
const maxBlocks = 2112

// maxGridX and maxGridYZ are how many blocks a launch may have in its first and its other
// directions (CUDA programming guide, technical specifications per compute capability).
const maxGridX, maxGridYZ = 1<<31 - 1, 65535

// emit launches entry with args over a grid. It panics with *tensor.Error if no card takes the
// grid, instead of letting the device fail.
func emit[A any](e *Encoder, entry string, args A, grid [3]int, blockDim [3]uint32, shared int) {
	if grid[0] == 0 || grid[1] == 0 || grid[2] == 0 {
		return
	}
	if grid[0] > maxGridX || max(grid[1], grid[2]) > maxGridYZ {
		panic(&tensor.Error{Op: entry, Reason: fmt.Sprintf("takes %v blocks on a GPU, of at most %d in "+
			"the first direction and %d in the others: use a smaller batch or fewer channels", grid,
			maxGridX, maxGridYZ)})
	}
	b := make([]byte, unsafe.Sizeof(args))
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&args)), len(b)))
	e.Emit(Launch{Entry: entry,
		Grid:  [3]uint32{uint32(grid[0]), uint32(grid[1]), uint32(grid[2])},
		Block: blockDim, Shared: uint32(shared), Args: b})
}

// stride launches a grid-stride loop over n items of work.
func stride[A any](e *Encoder, entry string, args A, n int) {
	blocks := min(ceilDiv(n, block), maxBlocks)
	emit(e, entry, args, [3]int{blocks, 1, 1}, [3]uint32{block, 1, 1}, 0)
}

// maxExtent is what a kernel's 32-bit numbers stay below, so that indices of rows and of k do not
// overflow when they are rounded up to a tile.
const maxExtent = 1<<31 - 1024

// i32 converts a number for an argument struct. It panics with *tensor.Error where that would cut
// it.
func i32(n int) int32 {
	if n >= maxExtent || n <= -maxExtent {
		panic(&tensor.Error{Op: "Launch", Reason: fmt.Sprintf("%d elements along an axis, or in what "+
			"axes make together, are too many for a GPU's kernels, which count to %d: use a smaller batch",
			n, maxExtent-1)})
	}
	return int32(n)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// suffix names the floating-point dtypes in entry points; it panics on others.
func suffix(op string, t Array) string {
	switch t.DType {
	case tensor.F32, tensor.F64, tensor.BF16:
		return "_" + t.DType.String()
	}
	panic(badDType(op, t))
}

// productSuffix names matrix products and convolutions by the dtypes of operands and result: one
// dtype, or "mixed" for F32 sums of BF16 products.
func productSuffix(op string, in, out Array) string {
	switch {
	case in.DType == out.DType:
		return suffix(op, out)
	case in.DType == tensor.BF16 && out.DType == tensor.F32:
		return "_mixed"
	}
	panic(badDType(op, in, out))
}

// Rounded returns x's values rounded to BF16, in scratch memory: the operands of products in mixed
// precision.
func (e *Encoder) Rounded(x Array) Array {
	r := Array{Ptr: e.Scratch(x.size() * tensor.BF16.Size()), DType: tensor.BF16, Shape: x.Shape}
	e.Cast(r, x)
	return r
}

// widthSuffix names kernels that only move elements, by their size.
func widthSuffix(op string, t Array) string {
	switch t.DType.Size() {
	case 1, 2, 4, 8:
		return fmt.Sprintf("_b%d", t.DType.Size())
	}
	panic(badDType(op, t))
}

func badDType(op string, ts ...Array) *tensor.Error {
	e := &tensor.Error{Op: op, Reason: "no kernel for this dtype"}
	for _, t := range ts {
		e.Operands = append(e.Operands, tensor.Operand{Name: "operand", Shape: t.Shape,
			DType: t.DType})
	}
	return e
}
