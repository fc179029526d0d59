package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// pages returns the documents that people read before the code.
func pages() []string {
	return []string{"README.md", "gan/PAPER.md", "bench/README.md", "bench/LOG.md"}
}

// TestDocumentedCommandsParse fails on a command line in a page's shell blocks, or in the examples
// of --help, that the program does not understand.
func TestDocumentedCommandsParse(t *testing.T) {
	for _, page := range pages() {
		inShell := false
		for line := range strings.Lines(pageText(t, page)) {
			if strings.HasPrefix(line, "```") {
				inShell = strings.TrimSpace(line) == "```sh"
			} else if inShell {
				checkParses(t, page, line)
			}
		}
	}
	shown := 0
	for _, command := range newParser(t).Model.Leaves(false) {
		for line := range strings.Lines(command.Detail) {
			if strings.HasPrefix(line, "  afterimage ") {
				checkParses(t, command.FullPath()+" --help", line)
				shown++
			}
		}
	}
	if shown == 0 {
		t.Error("no command shows an example: has the way they are written changed?")
	}
}

// word is one argument of a command line; quotes hold blanks together.
var word = regexp.MustCompile(`'[^']*'|[^\s']+`)

// checkParses fails if line, up to a comment, is a call of the program that it does not understand.
func checkParses(t *testing.T, where, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "#")
	args := word.FindAllString(line, -1)
	if len(args) < 2 || args[0] != "afterimage" {
		return
	}
	for i, a := range args {
		args[i] = strings.Trim(a, "'")
	}
	if _, err := newParser(t).Parse(args[1:]); err != nil {
		t.Errorf("%s: %s: %v", where, strings.Join(args, " "), err)
	}
}

func newParser(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("afterimage"),
		kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// TestPagesLinkToWhatIsThere fails on a relative link or picture whose target does not exist.
func TestPagesLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	for _, page := range pages() {
		for _, m := range link.FindAllStringSubmatch(pageText(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}

// TestReadmeNamesEveryPackage fails on a package that the layout page does not link to.
func TestReadmeNamesEveryPackage(t *testing.T) {
	readme := pageText(t, "README.md")
	goFiles(t, func(path string, _ []byte) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if !strings.Contains(readme, "]("+dir+")") {
			t.Errorf("README.md does not link to %s, the package of %s", dir, filepath.Base(path))
		}
	})
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
