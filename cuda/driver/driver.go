package driver

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoCgo says that this program cannot open NVIDIA's libraries: it was built without cgo or for
// another system than Linux.
var ErrNoCgo = errors.New("this program was built without cgo (or not for Linux), which opening " +
	"NVIDIA's libraries takes: build it on Linux with CGO_ENABLED=1 and gcc")

// ErrNoDriver says that the search for the CUDA driver's library found none.
var ErrNoDriver = errors.New("no NVIDIA driver on this machine")

// A Library is one of NVIDIA's libraries.
type Library int

// The libraries.
const (
	CUDA     Library = iota // the driver, which comes with the kernel module
	NVRTC                   // the run-time compiler
	CuDNN                   // convolutions
	CuBLASLt                // matrix products
	CUPTI                   // the profiler: what ran on the device, and when
)

// String returns the library's name as people write it.
func (l Library) String() string {
	return [...]string{"CUDA driver", "NVRTC", "cuDNN", "cuBLASLt", "CUPTI"}[l]
}

// An Error is a failure that one of the libraries reported.
type Error struct {
	Library Library
	Path    string // the file the library was loaded from
	Version string // its version
	Call    string // what was called
	Code    int    // the library's number for the failure
	Name    string // its name, "CUDA_ERROR_OUT_OF_MEMORY"
	Text    string // its words, or a compiler's messages
}

// Error returns one line: call, name, number, words, what to do where that is known, library with
// path and version.
func (e *Error) Error() string {
	text, remedy := strings.Join(strings.Fields(e.Text), " "), e.remedy()
	switch {
	case text == "" && remedy == "":
		text = "no explanation"
	case text == "":
		text = remedy
	case remedy != "":
		text += ": " + remedy
	}
	name := e.Name
	if name == "" {
		name = "error"
	}
	return fmt.Sprintf("%s: %s (%d): %s [%v %s, %s]", e.Call, name, e.Code, text, e.Library,
		e.Version, e.Path)
}

// The driver's results that callers tell apart, by the numbers of cuda.h.
const (
	OutOfMemory    = 2   // CUDA_ERROR_OUT_OF_MEMORY
	NoDevice       = 100 // CUDA_ERROR_NO_DEVICE
	InvalidImage   = 200 // CUDA_ERROR_INVALID_IMAGE
	NoBinary       = 209 // CUDA_ERROR_NO_BINARY_FOR_GPU
	InvalidPTX     = 218 // CUDA_ERROR_INVALID_PTX
	UnsupportedPTX = 222 // CUDA_ERROR_UNSUPPORTED_PTX_VERSION
	NotFound       = 500 // CUDA_ERROR_NOT_FOUND, also: the driver lacks an optional function
	NotReady       = 600 // CUDA_ERROR_NOT_READY
)

// Code returns the number of a driver's failure, or 0 if err is none.
func Code(err error) int {
	var e *Error
	if errors.As(err, &e) && e.Library == CUDA {
		return e.Code
	}
	return 0
}

// A Found says what became of looking for a library.
type Found struct {
	Library Library
	Path    string   // the file, "" if none could be opened
	Version string   // "13.0", "" if not opened
	Missing []string // optional functions it lacks, and parts that do not open
	Err     error    // why it cannot be used
}

// String returns one line for people.
func (f Found) String() string {
	if f.Err != nil {
		return fmt.Sprintf("%v: %v", f.Library, f.Err)
	}
	s := fmt.Sprintf("%v %s (%s)", f.Library, f.Version, f.Path)
	if len(f.Missing) > 0 {
		s += ", without " + strings.Join(f.Missing, ", ")
	}
	return s
}

// Alive counts what a program has of NVIDIA's libraries: created and not yet given back.
type Alive struct {
	Contexts, Streams, Events, Graphs int
	Execs                             int // executable graphs
	Modules                           int
	Blocks                            int // of device memory
	Pinned                            int // blocks of host memory
	Handles                           int // of cuDNN and cuBLASLt
	Descriptors                       int // of cuDNN, and products of cuBLASLt
}

// A Trace sums up what ran on the GPU for a while, as CUPTI noted it.
type Trace struct {
	Kernels, Others       int           // launches; copies and fills
	KernelTime, OtherTime time.Duration // of each added up, also where they ran beside each other
	Busy                  time.Duration // in which anything ran
	Span                  time.Duration // from the first start to the last end
	Lost                  int           // pieces of work that CUPTI had no room to note
}

// MinVersion is the oldest driver interface that serves: CUDA 12.0, which every card that the
// kernels are compiled for has had a driver of since 2022. Older ones lack functions' present
// meaning (graph instantiation changed in 12.0).
const MinVersion = 12000

// version writes the driver's and cuBLAS's and cuDNN's numbers as people do: 13000 is 13.0.
func version(n, thousand int) string {
	return fmt.Sprintf("%d.%d", n/thousand, n%thousand/(thousand/100))
}

// Attribute is a number of cuda.h's CUdevice_attribute.
type Attribute int

// The attributes that are asked for.
const (
	Multiprocessors     Attribute = 16  // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
	MemoryClockKHz      Attribute = 36  // CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE
	MemoryBusBits       Attribute = 37  // CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH
	L2Bytes             Attribute = 38  // CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
	ComputeMajor        Attribute = 75  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
	ComputeMinor        Attribute = 76  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
	SharedPerBlockOptin Attribute = 97  // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
	MemoryPools         Attribute = 115 // CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
)

// FunctionAttribute is a number of cuda.h's CUfunction_attribute.
type FunctionAttribute int

// The attributes of a compiled kernel.
const (
	// LocalBytes are spilled registers and arrays, per thread.
	LocalBytes FunctionAttribute = 3 // CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES
	Registers  FunctionAttribute = 4 // CU_FUNC_ATTRIBUTE_NUM_REGS, per thread
	// MaxDynamicShared is the bytes of dynamic shared memory that a launch may ask for.
	MaxDynamicShared FunctionAttribute = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
)
