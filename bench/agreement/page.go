package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/bench/figures"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn/checkpoint"
	"afterimage/nn/onnx/cases"
)

// A page is all that AGREEMENT.md says.
type page struct {
	data    bool // whether other people's files were at hand
	goldens []goldenFile
	figures []figureRow
	cases   []caseRow
}

// A goldenFile is a golden file with what the tests measured of it.
type goldenFile struct {
	path string // from the module's root, without the extension
	rows []goldenRow
	meta map[string]string
}

// A goldenRow is a case, measured on either backend or both.
type goldenRow struct {
	name           string
	double, single *golden.Row // nil: not measured there
}

// A figureRow is a published figure with its measurement.
type figureRow struct {
	figures.Figure
	measured string // "": not measured
	value    float64
	skipped  string // why it was not measured
	recorded bool   // the measurement is read from the figure's Record
}

// A caseRow is an ONNX case.
type caseRow struct {
	name, family string
	cases.Result
}

// script is how a golden file says which program wrote it.
const script = "bench/pytorch/goldens.py"

// goldenFiles lists the golden files of the module with their rows, unmeasured.
func goldenFiles(root string) ([]goldenFile, error) {
	var out []goldenFile
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && at != root {
			return filepath.SkipDir
		}
		if filepath.Base(filepath.Dir(at)) != "testdata" || filepath.Ext(at) != ".safetensors" {
			return nil
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		f, err := checkpoint.ReadSafetensors(data)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if f.Metadata["script"] != script {
			return nil
		}
		rel, err := filepath.Rel(root, at)
		g := goldenFile{path: strings.TrimSuffix(filepath.ToSlash(rel), ".safetensors"),
			meta: f.Metadata}
		for _, name := range golden.Rows(f) {
			g.rows = append(g.rows, goldenRow{name: name})
		}
		out = append(out, g)
		return err
	})
	slices.SortFunc(out, func(a, b goldenFile) int { return strings.Compare(a.path, b.path) })
	return out, err
}

// newPage lists every row of the page, unmeasured; the cases only if data names their folder.
func newPage(root, data string) (*page, error) {
	p := &page{data: data != ""}
	var err error
	if p.goldens, err = goldenFiles(root); err != nil {
		return nil, err
	}
	for _, f := range figures.All() {
		p.figures = append(p.figures, figureRow{Figure: f})
	}
	if data == "" {
		return p, nil
	}
	dir := filepath.Join(data, "onnx")
	if _, err := os.Stat(dir); err != nil {
		return p, nil
	}
	found, err := cases.Find(dir)
	for _, at := range found {
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return nil, err
		}
		name := filepath.ToSlash(rel)
		p.cases = append(p.cases, caseRow{name, family(name), cases.Result{Dir: at}})
	}
	return p, err
}

func (g goldenFile) title() string {
	return path.Dir(path.Dir(g.path)) + ": " + path.Base(g.path)
}

// ok reports whether everything measured is within its bound, and at least one backend measured.
func (r goldenRow) ok() bool {
	return (r.double != nil || r.single != nil) && (r.double == nil || r.double.OK) &&
		(r.single == nil || r.single.OK)
}

func (f figureRow) ok() bool {
	_, met := f.Judge(f.value)
	return f.measured != "" && met
}

// count returns how many rows agree, disagree (or were to be measured and were not), and are
// skipped or unsupported.
func (p *page) count() (ok, bad, skipped int) {
	add := func(agrees, left bool) {
		switch {
		case left:
			skipped++
		case agrees:
			ok++
		default:
			bad++
		}
	}
	for _, g := range p.goldens {
		for _, r := range g.rows {
			add(r.ok(), false)
		}
	}
	for _, f := range p.figures {
		add(f.ok(), f.skipped != "")
	}
	for _, c := range p.cases {
		add(c.Status == cases.Passed, c.Status == cases.Unsupported)
	}
	return ok, bad, skipped
}

func (p *page) agrees() bool { _, bad, _ := p.count(); return bad == 0 }

func (p *page) verdict() string {
	ok, bad, skipped := p.count()
	return fmt.Sprintf("%d rows agree, %d do not, %d are skipped or unsupported", ok, bad, skipped)
}
