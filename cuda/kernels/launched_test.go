package kernels_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"afterimage/cuda/kernels"
	"afterimage/tensor"
)

// waiting are kernels that nothing launches yet, by the encoder's method, and what they wait for.
var waiting = map[string]string{
	"Augment": "a loader that hands out uint8 images: nn/data augments them on the CPU",
}

// TestLaunched wants every kernel launched by somebody, tests aside: a method of the contract, or
// package cuda, must lead to a function of this package that holds its name or the parts of it. So
// must every exported method of the encoder. What nothing launches costs compile time, registers'
// tables and readers, and no card ever runs it.
func TestLaunched(t *testing.T) {
	here, above := functions(t, "."), functions(t, "..")
	reached := map[string]bool{}
	var visit func(f function)
	visit = func(f function) {
		for _, name := range f.mentions {
			if !reached[name] {
				reached[name] = true
				for _, next := range here[name] {
					visit(next)
				}
			}
		}
	}
	for _, f := range slices.Concat(slices.Collect(maps.Values(above))...) {
		visit(f)
	}
	for _, f := range slices.Concat(slices.Collect(maps.Values(here))...) {
		if f.receiver == "Methods" {
			visit(f)
		}
	}
	for name := range waiting {
		if reached[name] {
			t.Errorf("%s is used now: it waits for nothing", name)
		}
		visit(function{mentions: []string{name}})
	}
	parts := slices.Collect(maps.Keys(suffixes))
	for name, fs := range here {
		for _, f := range fs {
			if reached[name] {
				parts = append(parts, f.texts...)
			} else if f.receiver == "Encoder" && ast.IsExported(name) {
				t.Errorf("nobody calls Encoder.%s", name)
			}
		}
	}
	whole := composed(parts)
	for name := range kernels.Entries() {
		if !whole.MatchString(name) {
			t.Errorf("nobody launches %s", name)
		}
	}
}

// A function is one of Go's as far as launches go.
type function struct {
	receiver        string
	mentions, texts []string // names, and what of its strings may be part of a kernel's
}

// functions reads the functions of a folder's files by name, tests aside.
func functions(t *testing.T, dir string) map[string][]function {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no Go files (%v)", dir, err)
	}
	all := map[string][]function{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				all[fn.Name.Name] = append(all[fn.Name.Name], read(fn))
			}
		}
	}
	return all
}

// read notes what a function mentions.
func read(fn *ast.FuncDecl) (f function) {
	if fn.Recv != nil {
		of := fn.Recv.List[0].Type
		if p, ok := of.(*ast.StarExpr); ok {
			of = p.X
		}
		f.receiver = of.(*ast.Ident).Name
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			f.mentions = append(f.mentions, n.Name)
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				f.texts = append(f.texts, text)
			}
		}
		return true
	})
	return f
}

// suffixes are the dtypes' names, which no function here spells out.
var suffixes = map[string]bool{tensor.F32.String(): true, tensor.F64.String(): true,
	tensor.BF16.String(): true, tensor.I32.String(): true, tensor.U8.String(): true}

// composed matches the names that can be put together from parts, %d standing for a number.
func composed(parts []string) *regexp.Regexp {
	plausible := regexp.MustCompile(`^([a-z0-9_]|%d)+$`)
	var alternatives []string
	for _, p := range parts {
		if plausible.MatchString(p) {
			alternatives = append(alternatives, strings.ReplaceAll(p, "%d", `\d+`))
		}
	}
	slices.Sort(alternatives)
	return regexp.MustCompile("^(" + strings.Join(slices.Compact(alternatives), "|") + ")+$")
}
