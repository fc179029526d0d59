package driver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// headers returns the flags with which gcc finds NVIDIA's headers in the virtual environment that
// AFTERIMAGE_CUDA_VENV names; see requirements-abi.txt.
func headers(t *testing.T) []string {
	venv := os.Getenv("AFTERIMAGE_CUDA_VENV")
	if venv == "" {
		t.Skip("AFTERIMAGE_CUDA_VENV names no virtual environment with NVIDIA's headers: see " +
			"requirements-abi.txt")
	}
	found, _ := filepath.Glob(filepath.Join(venv, "lib/python3*/site-packages/nvidia/*/include"))
	if len(found) == 0 {
		t.Fatalf("%s holds no headers of NVIDIA's: see requirements-abi.txt", venv)
	}
	for i, f := range found {
		found[i] = "-I" + f
	}
	return found
}

// check compiles a text, which holds assertions, and reports what does not hold.
func check(t *testing.T, what, text, compiler string, flags []string) {
	t.Helper()
	cmd := exec.Command(compiler, append(flags, "-fsyntax-only", "-")...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", what, err, out)
	}
}

// vendor lists NVIDIA's headers with the prefixes of what each declares.
var vendor = []struct {
	header, table string
	prefixes      []string
}{
	{"cuda.h", "DRIVER_API", []string{"CU_", "CUDA_SUCCESS", "CUDA_ERROR"}},
	{"nvrtc.h", "NVRTC_API", []string{"NVRTC_"}},
	{"cudnn_graph.h", "CUDNN_API", []string{"CUDNN_"}},
	{"cublasLt.h", "CUBLASLT_API", []string{"CUBLAS", "CUDA_R_"}},
	{"cupti.h", "CUPTI_API", []string{"CUPTI_"}},
}

// TestABI compares every number that this package and its callers copied from NVIDIA's headers
// with the headers themselves, and every function's arguments and result: their count and for each
// whether it is a pointer, a whole number or a real one, and its size. It needs no library:
//
//	make abi VENV=DIR
func TestABI(t *testing.T) {
	flags := headers(t)
	numbers := map[string]string{}
	inC := regexp.MustCompile(`(?m)^  ((?:CU|NVRTC)[A-Z0-9]*_\w+) = (\d+),`)
	inMap := regexp.MustCompile(`(?m)^\t(\d+): true, +// (CUDA_\w+)`)
	inGo := regexp.MustCompile(`(?m)^\s+\w+ +(?:\w+ )?= (\d+) +// ((?:CU|NVRTC)[A-Z0-9]*_\w+)`)
	for _, file := range []string{"abi.h", "libs.c", "driver.go", "libs.go",
		"status.go", "../dnn_numbers.go", "../modules.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := inC.FindAllStringSubmatch(string(text), -1)
		for _, m := range inGo.FindAllStringSubmatch(string(text), -1) {
			found = append(found, []string{"", m[2], m[1]})
		}
		for _, m := range inMap.FindAllStringSubmatch(string(text), -1) {
			found = append(found, []string{"", m[2], m[1]})
		}
		if len(found) == 0 {
			t.Errorf("%s: no number was found in it", file)
		}
		for _, m := range found {
			if was, ok := numbers[m[1]]; ok && was != m[2] {
				t.Errorf("%s is %s in one place and %s in %s", m[1], was, m[2], file)
			}
			numbers[m[1]] = m[2]
		}
	}
	for _, v := range vendor {
		text, n := "#include <"+v.header+">\n", 0
		for name, value := range numbers {
			for _, p := range v.prefixes {
				if strings.HasPrefix(name, p) {
					text += fmt.Sprintf("_Static_assert((int)%s == %s, \"%s\");\n", name, value, name)
					n++
					break
				}
			}
		}
		check(t, v.header, text, "gcc", append([]string{"-x", "c"}, flags...))
		check(t, v.header+"'s functions", prototypes(v.header, v.table), "g++",
			append([]string{"-x", "c++", "-std=c++17", "-I."}, flags...))
		t.Logf("%s: %d numbers and the functions of %s were compared", v.header, n, v.table)
	}
	check(t, "results of cuBLASLt's heuristics", heuristicLayout, "gcc",
		append([]string{"-x", "c"}, flags...))
	check(t, "CUPTI's records", recordLayout, "gcc", append([]string{"-x", "c"}, flags...))
}

// heuristicLayout states what libs.c takes for granted of a structure.
const heuristicLayout = `#include <cublasLt.h>
#include <stddef.h>
#define AT(f, n) _Static_assert(offsetof(cublasLtMatmulHeuristicResult_t, f) == n, #f)
AT(algo, 0); AT(workspaceSize, 64); AT(state, 72); AT(wavesCount, 76);
_Static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96, "size");
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64, "algorithm");
`

// recordLayout states what trace.c takes for granted of three structures.
const recordLayout = `#include <cupti.h>
#include <stddef.h>
#define BEGINS(r)                                                                    \
  _Static_assert(offsetof(r, kind) == 0 && sizeof(((r *)0)->kind) == 4, "kind");     \
  _Static_assert(offsetof(r, start) == 16 && sizeof(((r *)0)->start) == 8, "start"); \
  _Static_assert(offsetof(r, end) == 24 && sizeof(((r *)0)->end) == 8, "end");
BEGINS(CUpti_ActivityKernel10) BEGINS(CUpti_ActivityMemcpy6) BEGINS(CUpti_ActivityMemset4)
`

// prototypes returns a text in C++ that asserts of each function in one of abi.h's tables that it
// is called as the vendor's header declares it.
func prototypes(header, table string) string {
	return `#include <` + header + `>
#include <stddef.h>
#include <stdint.h>
#include <type_traits>
template <typename T> constexpr int kind =
    std::is_void_v<T> ? 1 : std::is_pointer_v<T> ? 2 : std::is_floating_point_v<T> ? 3 :
    std::is_enum_v<T> || std::is_integral_v<T> ? 4 : 0;
template <typename T> constexpr size_t size = sizeof(T);
template <> constexpr size_t size<void> = 0;
template <typename A, typename B> constexpr bool alike =
    kind<A> != 0 && kind<A> == kind<B> && size<A> == size<B>;
template <typename F, typename G> struct Same { static constexpr bool value = false; };
template <typename R, typename... A, typename Q, typename... B> struct Same<R(A...), Q(B...)> {
  static constexpr bool value = [] {
    if constexpr (sizeof...(A) == sizeof...(B)) return alike<R, Q> && (alike<A, B> && ...);
    else return false;
  }();
};
#undef CU_MEMHOSTALLOC_PORTABLE
namespace ours {
#define _Static_assert static_assert
#include "abi.h"
#undef _Static_assert
#define X(need, field, symbol, result, args)                                    \
  static_assert(Same<decltype(::symbol), result args>::value, #symbol " differs");
` + table + `(X)
}
`
}
