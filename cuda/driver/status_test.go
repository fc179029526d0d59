package driver

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// dnnAnswers are all of cuDNN 9's answers, by the names of cudnn_graph.h without CUDNN_STATUS_, and
// whether the library then does not offer what it was asked for; anything else is a failure.
var dnnAnswers = map[string]struct {
	code       int
	notOffered bool
}{
	"SUCCESS":                        {0, false},
	"NOT_INITIALIZED":                {1001, false},
	"SUBLIBRARY_VERSION_MISMATCH":    {1002, false},
	"SERIALIZATION_VERSION_MISMATCH": {1003, false},
	"DEPRECATED":                     {1004, false},
	"LICENSE_ERROR":                  {1005, false},
	"RUNTIME_IN_PROGRESS":            {1006, false},
	"RUNTIME_FP_OVERFLOW":            {1007, false},
	"SUBLIBRARY_LOADING_FAILED":      {1008, false},

	"BAD_PARAM":                     {2000, true},
	"INVALID_VALUE":                 {2001, true},
	"BAD_PARAM_NULL_POINTER":        {2002, false},
	"BAD_PARAM_MISALIGNED_POINTER":  {2003, false},
	"BAD_PARAM_NOT_FINALIZED":       {2004, false},
	"BAD_PARAM_OUT_OF_BOUND":        {2005, true},
	"BAD_PARAM_SIZE_INSUFFICIENT":   {2006, false},
	"BAD_PARAM_STREAM_MISMATCH":     {2007, false},
	"BAD_PARAM_SHAPE_MISMATCH":      {2008, true},
	"BAD_PARAM_DUPLICATED_ENTRIES":  {2009, false},
	"BAD_PARAM_ATTRIBUTE_TYPE":      {2010, false},
	"BAD_PARAM_CUDA_GRAPH_MISMATCH": {2011, false},
	"BAD_PARAM_DESCRIPTOR_TYPE":     {2012, false},

	"NOT_SUPPORTED":                              {3000, true},
	"NOT_SUPPORTED_GRAPH_PATTERN":                {3001, true},
	"NOT_SUPPORTED_SHAPE":                        {3002, true},
	"NOT_SUPPORTED_DATA_TYPE":                    {3003, true},
	"NOT_SUPPORTED_LAYOUT":                       {3004, true},
	"NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER":     {3005, false},
	"NOT_SUPPORTED_INCOMPATIBLE_CUDART":          {3006, false},
	"NOT_SUPPORTED_ARCH_MISMATCH":                {3007, true},
	"NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING": {3008, false},
	"NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE":       {3009, false},
	"NOT_SUPPORTED_SHARED_MEMORY_INSUFFICIENT":   {3010, true},
	"NOT_SUPPORTED_PADDING":                      {3011, true},
	"NOT_SUPPORTED_BAD_LAUNCH_PARAM":             {3012, true},
	"NOT_SUPPORTED_CUDA_GRAPH_NATIVE_API":        {3013, true},
	"NOT_SUPPORTED_INVALID_DYNAMIC_SHAPE":        {3014, true},

	"INTERNAL_ERROR":                          {4000, false},
	"INTERNAL_ERROR_COMPILATION_FAILED":       {4001, false},
	"INTERNAL_ERROR_UNEXPECTED_VALUE":         {4002, false},
	"INTERNAL_ERROR_HOST_ALLOCATION_FAILED":   {4003, false},
	"INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": {4004, false},
	"INTERNAL_ERROR_BAD_LAUNCH_PARAM":         {4005, false},
	"INTERNAL_ERROR_TEXTURE_CREATION_FAILED":  {4006, false},

	"EXECUTION_FAILED":             {5000, false},
	"EXECUTION_FAILED_CUDA_DRIVER": {5001, false},
	"EXECUTION_FAILED_CUBLAS":      {5002, false},
	"EXECUTION_FAILED_CUDART":      {5003, false},
	"EXECUTION_FAILED_CURAND":      {5004, false},
}

// TestNotOffered tells what a library does not have from what failed.
func TestNotOffered(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("other"), false},
		{&Error{Library: CuBLASLt, Code: 7}, true},
		{&Error{Library: CuBLASLt, Code: 15}, true},
		{&Error{Library: CuBLASLt, Code: 3}, false}, // CUBLAS_STATUS_ALLOC_FAILED
		{fmt.Errorf("plan: %w", &Error{Library: CuDNN, Code: 3004}), true},
		{&Error{Library: CuDNN, Code: 3999}, true}, // a kind that is not known yet
		{&Error{Library: CUDA, Code: 7}, false},
	} {
		if got := NotOffered(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	for name, c := range dnnAnswers {
		if got := NotOffered(&Error{Library: CuDNN, Code: c.code}); got != c.notOffered {
			t.Errorf("%s: %v, want %v", name, got, c.notOffered)
		}
	}
}

// TestErrorText wants what to do in the line of an error, after the library's words.
func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		e    Error
		want string
	}{
		{Error{Library: CuDNN, Path: "a.so", Version: "9.19.0", Call: "execute", Code: 4004,
			Name: "CUDNN_STATUS_X", Text: " no\n room "}, "execute: CUDNN_STATUS_X (4004): no room: " +
			"the GPU's memory is full: use a smaller batch, or end what else runs on it " +
			"[cuDNN 9.19.0, a.so]"},
		{Error{Library: CuDNN, Path: "a.so", Version: "9.19.0", Call: "plan", Code: 3009},
			"plan: error (3009): a part of cuDNN is missing or does not open: install all of it in one " +
				"folder [cuDNN 9.19.0, a.so]"},
		{Error{Library: CUDA, Path: "a.so", Version: "13.0", Call: "sync", Code: 999, Name: "X"},
			"sync: X (999): no explanation [CUDA driver 13.0, a.so]"},
		{Error{Library: CUDA, Path: "a.so", Version: "13.0", Call: "sync", Code: 700, Name: "X"},
			"sync: X (700): the GPU has given up what this process does: start the program again; a " +
				"training goes on from its last checkpoint [CUDA driver 13.0, a.so]"},
	} {
		if got := c.e.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestAnswersABI compares dnnAnswers with the header: every answer there is in the table, under its
// number.
func TestAnswersABI(t *testing.T) {
	flags, text := headers(t), "#include <cudnn_graph.h>\n"
	for name, c := range dnnAnswers {
		text += fmt.Sprintf("_Static_assert(CUDNN_STATUS_%s == %d, \"%s\");\n", name, c.code, name)
	}
	check(t, "cuDNN's answers", text, "gcc", append([]string{"-x", "c", "-w"}, flags...))
	cmd := exec.Command("gcc", append(flags, "-E", "-x", "c", "-")...)
	cmd.Stdin = strings.NewReader("#include <cudnn_graph.h>\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]bool{}
	for _, c := range dnnAnswers {
		known[c.code] = true
	}
	number := regexp.MustCompile(`(CUDNN_STATUS_\w+)\s*=\s*(\d+),`)
	found := number.FindAllStringSubmatch(string(out), -1)
	for _, m := range found {
		if code, _ := strconv.Atoi(m[2]); !known[code] {
			t.Errorf("%s = %s is not in the table", m[1], m[2])
		}
	}
	if len(found) < len(dnnAnswers)-1 { // INVALID_VALUE is declared with an attribute
		t.Errorf("%d answers in the header, %d in the table", len(found), len(dnnAnswers))
	}
}
