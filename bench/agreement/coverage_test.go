package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A subject is a package whose exported functions have to be compared with PyTorch.
type subject struct {
	dir    string
	prefix string // how its golden test names it
	// result is what a function returns that counts: others compute nothing.
	result *regexp.Regexp
	// without says why a function needs no golden of its own.
	without map[string]string
}

func subjects() []subject {
	return []subject{
		{"autodiff", "ad", regexp.MustCompile(`\*Value`), map[string]string{
			"Grad":          "every golden's gradient",
			"BatchNorm":     "batchNorm of table_test.go, which has goldens",
			"BatchNormReLU": "batchNormReLU of table_test.go, which has goldens",
			"SpectralQuotients": "SpectralQuotient, which has goldens, for each of a list: " +
				"postpone_test.go",
			"SlicePad": "Slice and Pad, which have goldens, in one copy",
			"Conv2DAct": "Conv2DBiasAct and the activations, which have goldens, to the bit: " +
				"op_test.go",
			"BatchNormReLUUpsample": "BatchNormReLU and Upsample, which have goldens, to the bit: " +
				"op_test.go"}},
		{"nn/loss", "loss", regexp.MustCompile(`\*autodiff\.Value`), map[string]string{
			"Targets": "the smoothed targets of cross-entropy, which has goldens of both"}},
		{"nn/optim", "optim", regexp.MustCompile(`Schedule|\*SGD|\*Adam|\*EMA|\*autodiff\.Value`),
			map[string]string{"SquaredNorm": "the square of ClipNorm's norm, which has goldens"}},
		{"nn/attack", "attack", regexp.MustCompile(`\*tensor\.Tensor|^Config`), nil},
		{"nn", "nn", regexp.MustCompile(`^\*[A-Z]|Func$|\*autodiff\.Value`), map[string]string{
			"Flatten": "a reshape; the goldens of nn/attack use it",
			"AvgPool": "autodiff.AvgPool", "MaxPool": "autodiff.MaxPool",
			"NewInference":    "passes of layers that have goldens, bit by bit: inference_test.go",
			"NewSpectralNorm": "what Spectral of a layer makes; its file has goldens of two layers"}},
	}
}

// TestEveryFunctionHasAGolden finds an exported operation, layer, loss, optimizer, schedule or
// attack that the golden test of its package does not name.
func TestEveryFunctionHasAGolden(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subjects() {
		text, err := os.ReadFile(filepath.Join(root, s.dir, "golden_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		names := exported(t, filepath.Join(root, s.dir), s.result)
		if len(names) < 3 {
			t.Errorf("%s: found %v only", s.dir, names)
		}
		for _, name := range names {
			named := regexp.MustCompile(`\b` + s.prefix + `\.` + name + `\b`).Match(text)
			if why := s.without[name]; !named && why == "" {
				t.Errorf("%s.%s is not compared with PyTorch: add a golden to bench/pytorch, or say here "+
					"why it needs none", s.dir, name)
			} else if named && why != "" {
				t.Errorf("%s.%s has a golden and a reason to have none: %s", s.dir, name, why)
			}
		}
	}
}

// exported returns the exported functions of the package in dir whose results match.
func exported(t *testing.T, dir string, result *regexp.Regexp) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil {
				continue
			}
			for _, r := range fn.Type.Results.List {
				from, to := fset.Position(r.Type.Pos()).Offset, fset.Position(r.Type.End()).Offset
				if result.Match(text[from:to]) {
					out = append(out, fn.Name.Name)
					break
				}
			}
		}
	}
	return out
}
