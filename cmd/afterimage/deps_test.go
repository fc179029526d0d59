package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// policy is the import graph of this repository: each line names a package, then what of this
// module it may import; a trailing /… stands for everything below. Tests may import
// anything but cmd. It states the architecture: change the code, not the policy, to make the test
// pass.
const policy = `
tensor              :
tensor/ref          : tensor
tensor/atomicfile   :
tensor/cpu/arena    :
tensor/cpu/par      : tensor/cpu/arena
tensor/cpu/gemm     : tensor/cpu/par tensor/cpu/gemm/…
tensor/cpu/gemm/…   : tensor/cpu/par tensor/cpu/gemm/…
tensor/cpu/conv     : tensor/cpu/par tensor/cpu/gemm tensor/cpu/gemm/… tensor/cpu/vec
tensor/cpu/vec      :
tensor/cpu          : tensor tensor/ref tensor/cpu/…
tensor/backendtest  : tensor tensor/ref
cuda/kernels        : tensor
cuda/internal/ksim  : tensor cuda/kernels
cuda/driver         :
cuda/internal/fakecuda :
cuda                : tensor tensor/atomicfile cuda/driver cuda/kernels
cuda/cudatest       : cuda/internal/fakecuda cuda/internal/ksim
autodiff            : tensor
autodiff/gradcheck  : autodiff tensor tensor/ref
nn                  : autodiff tensor nn/checkpoint
nn/nntest           : nn
nn/checkpoint       : tensor tensor/atomicfile
nn/data             : tensor tensor/atomicfile
nn/loss             : autodiff tensor nn
nn/onnx             : autodiff tensor tensor/atomicfile nn nn/checkpoint nn/models
nn/onnx/cases       : autodiff tensor nn/onnx
nn/optim            : autodiff tensor nn
nn/models           : autodiff tensor nn nn/checkpoint
nn/attack           : autodiff tensor nn nn/loss nn/models
nn/tensorboard      :
nn/train            : autodiff tensor tensor/atomicfile nn nn/…
gan                 : autodiff tensor tensor/atomicfile nn nn/… gan/metrics gan/report
gan/metrics         : tensor
gan/metrics/lpips   : autodiff tensor nn nn/checkpoint nn/models gan/metrics
gan/report          : tensor tensor/atomicfile gan/metrics
gan/explore         : autodiff tensor tensor/atomicfile nn nn/… gan gan/metrics gan/report
gan/study           : autodiff tensor tensor/atomicfile nn nn/… gan gan/…
gan/shipped         : tensor gan
bench               : autodiff tensor tensor/… nn nn/… gan gan/…
bench/envelope      :
bench/pytorch/golden : autodiff tensor tensor/cpu tensor/ref nn/checkpoint bench/envelope
bench/figures       :
bench/agreement     : tensor/… nn/checkpoint nn/onnx nn/onnx/cases bench/figures bench/pytorch/…
bench/onnxcases     : tensor tensor/ref nn/onnx nn/onnx/cases
bench/exports       : tensor tensor/cpu nn nn/models gan
bench/imported      : autodiff tensor tensor/cpu nn nn/checkpoint nn/onnx
cmd/afterimage      : autodiff tensor tensor/… cuda nn nn/… gan gan/… bench
.ci/summary         :
cmd/gpumon          :
cmd/gpucheck        : autodiff tensor tensor/… cuda cuda/driver nn nn/… gan bench/envelope
`

// TestImportPolicy fails on an import that the policy does not allow, and on a package that the
// policy does not know.
func TestImportPolicy(t *testing.T) {
	const module, root = "afterimage/", "../.."
	rules := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(policy), "\n") {
		pkg, allowed, _ := strings.Cut(line, ":")
		rules[strings.TrimSpace(pkg)] = strings.Fields(allowed)
	}
	checked := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "asmgen" || d.Name() == ".git" || d.Name() == "runs") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, _ := filepath.Rel(root, filepath.Dir(path))
		pkg := filepath.ToSlash(rel)
		allowed, known := lookup(rules, pkg)
		if !known {
			t.Errorf("package %s is not in the import policy", pkg)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			if dep, ours := strings.CutPrefix(name, module); ours && dep != pkg && !permits(allowed, dep) {
				t.Errorf("%s imports %s, which the policy does not allow", path, dep)
			}
		}
		checked++
		return nil
	})
	if err != nil || checked == 0 {
		t.Fatalf("walked %d files: %v", checked, err)
	}
}

// TestKernelFiles wants a kernel to have the same file stem everywhere, so that finding one finds
// all: in the reference, on the CPU, on GPUs with text and launch plan, and in the suite.
func TestKernelFiles(t *testing.T) {
	files := func(dir string) map[string]string { // of the methods of Backend
		at := map[string]string{}
		paths, _ := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range backendMethod.FindAllSubmatch(text, -1) {
				at[string(m[1])] = strings.TrimSuffix(filepath.Base(path), ".go")
			}
		}
		return at
	}
	homes := []string{"tensor/backendtest/%.go", "cuda/kernels/%.go", "cuda/kernels/%.cu"}
	// Abilities (tensor/abilities.go) that a GPU does without: autodiff composes them there.
	withoutGPU := []string{"layernorm", "view"}
	fast, checked := files("tensor/cpu"), 0
	for name, stem := range files("tensor/ref") {
		if stem == "buffer" {
			continue // memory, in which every device has its ways
		}
		checked++
		if own, ok := fast[name]; ok && own != stem {
			t.Errorf("%s is in tensor/ref/%s.go and in tensor/cpu/%s.go", name, stem, own)
		}
		for _, home := range homes {
			if strings.HasPrefix(home, "cuda/") && slices.Contains(withoutGPU, stem) {
				continue
			}
			path := strings.Replace(home, "%", stem, 1)
			if _, err := os.Stat(filepath.Join("../..", path)); err != nil {
				t.Errorf("%s is in tensor/ref/%s.go, and there is no %s", name, stem, path)
			}
		}
	}
	if checked == 0 {
		t.Error("no kernels found")
	}
}

// backendMethod is an exported method of a type named Backend.
var backendMethod = regexp.MustCompile(`(?m)^func \(b \*Backend\) ([A-Z]\w*)\(`)

func lookup(rules map[string][]string, pkg string) ([]string, bool) {
	if r, ok := rules[pkg]; ok {
		return r, true
	}
	for dir := pkg; dir != "."; dir = filepath.Dir(dir) {
		if r, ok := rules[dir+"/…"]; ok {
			return r, true
		}
	}
	return nil, false
}

func permits(allowed []string, dep string) bool {
	for _, a := range allowed {
		if tree, ok := strings.CutSuffix(a, "/…"); a == dep || ok && strings.HasPrefix(dep, tree+"/") {
			return true
		}
	}
	return false
}
