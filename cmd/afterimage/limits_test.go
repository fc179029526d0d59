package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits of a page that can be read without scrolling sideways or losing the thread. They count
// characters (a tab is one) and lines; generated files are exempt.
const (
	maxColumns   = 100
	maxFileLines = 800
	maxFuncLines = 60
)

// TestLimits fails on a line that is too wide, a file that is too long and a function that does
// not fit a screen, tests included. A line may be wide up to the end of a struct tag, since Go cannot
// break it.
func TestLimits(t *testing.T) {
	goFiles(t, func(path string, text []byte) {
		if generated(text) {
			return
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", path, len(lines), maxFileLines)
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		tagged := map[int]int{} // a line's tag ends at this column
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				if n.Tag != nil {
					end := fset.Position(n.Tag.End())
					tagged[end.Line] = utf8.RuneCountInString(lines[end.Line-1][:end.Column-1])
				}
			case *ast.FuncDecl:
				from, to := fset.Position(n.Pos()).Line, fset.Position(n.End()).Line
				if k := to - from + 1; k > maxFuncLines {
					t.Errorf("%s:%d: %s has %d lines, more than %d", path, from, n.Name.Name, k,
						maxFuncLines)
				}
			}
			return true
		})
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > max(maxColumns, tagged[i+1]) {
				t.Errorf("%s:%d has %d characters, more than %d", path, i+1, n, maxColumns)
			}
		}
	})
}

// TestPythonLimits holds what others' programs are asked with to the same width.
func TestPythonLimits(t *testing.T) {
	sources(t, ".py", func(path string, text []byte) { narrow(t, path, text) })
}

// narrow fails on lines that are too wide.
func narrow(t *testing.T, path string, text []byte) {
	t.Helper()
	for i, line := range strings.Split(string(text), "\n") {
		if n := utf8.RuneCountInString(line); n > maxColumns {
			t.Errorf("%s:%d has %d characters, more than %d", path, i+1, n, maxColumns)
		}
	}
}

// TestPresetLimits is TestLimits for the studies' settings, which people read and copy, too.
func TestPresetLimits(t *testing.T) {
	presets, err := filepath.Glob("../../gan/study/presets/*.yaml")
	if err != nil || len(presets) == 0 {
		t.Fatalf("found %d presets: %v", len(presets), err)
	}
	for _, path := range presets {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		narrow(t, path, text)
	}
}

// generated reports whether a file says in its first lines that no person wrote it.
func generated(text []byte) bool {
	head, _, _ := bytes.Cut(text, []byte("\npackage "))
	return bytes.Contains(head, []byte("// Code generated "))
}
