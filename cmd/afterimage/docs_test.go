package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docPage is what the page that begins a package has to say besides what the package is for.
var docPage = []*regexp.Regexp{
	regexp.MustCompile(`(Non-goals|Not its purpose|Not here|It is not):`),
	regexp.MustCompile(`[Ii]nvariants`),
	regexp.MustCompile(`Comes from:`),
	regexp.MustCompile(`Goes to:`),
}

// TestExportsAreDocumented fails on an exported identifier without a doc comment, on a package
// without doc.go, and on a doc.go that leaves out what docPage asks for. A program's comment may
// stand in any of its files.
func TestExportsAreDocumented(t *testing.T) {
	hasDoc, packages := map[string]bool{}, map[string]bool{}
	goFiles(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		dir, name := filepath.Split(path)
		packages[dir] = true
		hasDoc[dir] = hasDoc[dir] || name == "doc.go"
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name.Name == "main" {
			hasDoc[dir] = hasDoc[dir] || f.Doc != nil
			return // nothing of a program is importable
		}
		for _, r := range docPage {
			if name == "doc.go" && !r.MatchString(f.Doc.Text()) {
				t.Errorf("%s says nothing that matches %q", path, r)
			}
		}
		for _, decl := range f.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s is exported without a doc comment", fset.Position(decl.Pos()), name)
			}
		}
	})
	for dir := range packages {
		if !hasDoc[dir] {
			t.Errorf("%s has no doc.go", dir)
		}
	}
}

// TestDocsNameWhatIsThere fails on a doc.go that sends its reader to a file that is not in the
// package.
func TestDocsNameWhatIsThere(t *testing.T) {
	named := regexp.MustCompile(`[\w/.]*[a-z0-9]\.(go|cu|md)\b`)
	goFiles(t, func(path string, text []byte) {
		dir, name := filepath.Split(path)
		if name != "doc.go" {
			return
		}
		for _, file := range named.FindAllString(string(text), -1) {
			if _, err := os.Stat(filepath.Join("../..", dir, file)); err == nil {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil { // from the root
				t.Errorf("%s names %s, which is not there", path, file)
			}
		}
	})
}

// undocumented returns the exported names of a declaration that no comment describes. A comment on
// a group of constants or variables describes its members.
func undocumented(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if idx, ok := t.(*ast.IndexExpr); ok {
		t = idx.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

// testOnly returns the packages that serve the tests of others: those tests show them at work.
func testOnly() []string { return []string{"nn/nntest", "bench/pytorch/golden", "bench/figures"} }

// TestEveryPackageHasAnExample fails on a package that nobody shows at work. Programs have --help.
func TestEveryPackageHasAnExample(t *testing.T) {
	shown, packages := map[string]bool{}, map[string]bool{}
	for _, dir := range testOnly() {
		shown[dir] = true
	}
	goFiles(t, func(path string, text []byte) {
		f, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if !strings.HasSuffix(path, "_test.go") {
			packages[dir] = f.Name.Name != "main"
			return
		}
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(d.Name.Name, "Example") {
				shown[dir] = true
			}
		}
	})
	for dir, wanted := range packages {
		if wanted && !shown[dir] {
			t.Errorf("%s has no Example", dir)
		}
	}
}

// goFiles calls f with every Go file of the module, by its path from the module's root.
func goFiles(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	sources(t, ".go", f)
}

// sources calls f for every file of the repository whose name ends in suffix, with its path from
// the root. A virtual environment of Python's that lies in it is other people's.
func sources(t *testing.T, suffix string, f func(path string, text []byte)) {
	t.Helper()
	const root = "../.."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "runs") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "pyvenv.cfg")); err == nil {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, suffix) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files++
		f(filepath.ToSlash(rel), text)
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("walked %d files: %v", files, err)
	}
}
