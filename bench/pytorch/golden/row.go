package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"afterimage/nn/checkpoint"
)

// RowAttr is the key of the test attribute under which a run reports its rows, one attribute a row,
// as JSON. "go test -json" prints attributes as events of their own, which bench/agreement reads:
// so the tests are the one place where errors are computed.
const RowAttr = "golden"

// A Row is what one case of a file measured on one backend: the largest error of its value, of its
// gradients and of the gradients of gradients, as text ("1.2e-16"; empty: the case has none).
type Row struct {
	File    string // the golden file's path from its package, without the extension
	Case    string
	Backend string // Double or Single
	Value   string `json:",omitempty"`
	Grad    string `json:",omitempty"`
	Second  string `json:",omitempty"`
	Bound   string
	OK      bool   // no error above the bound
	Note    string `json:",omitempty"`

	errors [kinds]float64
	seen   [kinds]bool
	bound  float64
}

// The kinds of errors that a row keeps apart.
const (
	value = iota
	gradient
	second
	kinds
)

// Rows lists the cases of a golden file, sorted: what a run on it reports, and so the rows that
// bench/AGREEMENT.md has for it. Arrays below "in/" are inputs.
func Rows(f *checkpoint.File) []string {
	rows := map[string]bool{}
	for _, name := range f.Names() {
		if !strings.HasPrefix(name, "in/") {
			rows[rowOf(f, name)] = true
		}
	}
	return slices.Sorted(maps.Keys(rows))
}

// rowOf names the row that an array belongs to: its case, or else what stands before the first
// slash, where steps and gradients of a whole network are one row each.
func rowOf(f *checkpoint.File, name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if _, ok := f.Get(name[:i] + "/in0"); ok {
			return name[:i]
		}
	}
	row, _, _ := strings.Cut(name, "/")
	switch row {
	case "grad", "sum":
		return "every parameter's gradient"
	case "u":
		return "power iteration"
	}
	if numbered := strings.TrimRight(row, "0123456789"); numbered == "" || numbered == "step" {
		return "steps"
	}
	return row
}

// kindOf says what an array of a case is from its name.
func kindOf(name string) int {
	last := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case strings.HasPrefix(name, "grad/") || strings.HasPrefix(name, "sum/"):
		return gradient
	case numbered(last, "ddx") || last == "ddy":
		return second
	case numbered(last, "dx"):
		return gradient
	}
	return value
}

func numbered(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// row returns the row of an array.
func (r *Run) row(name string) *Row {
	key := rowOf(r.file, name)
	if r.rows[key] == nil {
		r.rows[key] = &Row{Case: key, bound: r.Tol, OK: true}
	}
	return r.rows[key]
}

func (w *Row) note(e float64, kind int) {
	w.seen[kind] = true
	w.OK = w.OK && e <= w.bound
	if !(e <= w.errors[kind]) { // a NaN is the largest
		w.errors[kind] = e
	}
}

// report hands the rows to whoever reads the test's attributes, and fails when the rows compared
// are not those that Rows lists.
func (r *Run) report() {
	r.T.Helper()
	if got, want := slices.Sorted(maps.Keys(r.rows)), Rows(r.file); !slices.Equal(got, want) {
		r.T.Errorf("%s: compared %q, the file's rows are %q: inputs belong below in/", r.path, got, want)
	}
	backend := Single
	if r.DType.Size() == 8 {
		backend = Double
	}
	for _, key := range slices.Sorted(maps.Keys(r.rows)) {
		w := r.rows[key]
		w.File, w.Backend = strings.TrimSuffix(r.path, ".safetensors"), backend
		w.Bound = fmt.Sprintf("%.0e", w.bound)
		for k, text := range []*string{&w.Value, &w.Grad, &w.Second} {
			if w.seen[k] {
				*text = strings.TrimSuffix(fmt.Sprintf("%.1e", w.errors[k]), ".0e+00") // 0 is 0
			}
		}
		raw, err := json.Marshal(w)
		if err != nil {
			r.T.Fatal(err)
		}
		r.T.Attr(RowAttr, string(raw))
	}
}
