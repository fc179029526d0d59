package cases

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn/onnx"
	"afterimage/tensor"
)

// The tolerances of ONNX's backend test runner: its float32 references were computed in various
// orders of summation.
const (
	RelTol = 1e-3
	AbsTol = 1e-7
	// The relative tolerances of 16-bit types: two units in the last place. Here a network computes
	// in 32 bits and rounds its outputs once; the stored values were rounded after every step, of
	// which attention has six.
	RelTolBFloat16 = 2.0 / 128
	RelTolFloat16  = 2.0 / 1024
)

// relTol returns the relative tolerance of an element type.
func relTol(e onnx.Elem) float64 {
	switch e {
	case onnx.BFloat16:
		return RelTolBFloat16
	case onnx.Float16:
		return RelTolFloat16
	}
	return RelTol
}

// Status is how a case ended.
type Status uint8

// The ends of a case.
const (
	Passed Status = iota
	Failed
	Unsupported
)

// String returns "passed", "failed" or "unsupported".
func (s Status) String() string { return [...]string{"passed", "failed", "unsupported"}[s] }

// A Result is how one case ended and why.
type Result struct {
	Dir    string
	Status Status
	Reason string  // empty when it passed
	Worst  float64 // the largest |got − want|/(AbsTol + RelTol·|want|); at most 1 when it passed
}

// Find returns every folder below dir, sorted, that holds model.onnx and a test_data_set_*.
func Find(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "model.onnx" {
			return err
		}
		sets, err := filepath.Glob(filepath.Join(escape(filepath.Dir(path)), "test_data_set_*"))
		if len(sets) > 0 {
			found = append(found, filepath.Dir(path))
		}
		return err
	})
	slices.Sort(found)
	return found, err
}

// escape protects the special characters of a path from Glob.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// Run imports the model in dir on b, runs it on every data set there and compares. A case whose
// values ONNX's own text contradicts counts as unsupported.
func Run(b tensor.Backend, dir string, o onnx.Options) Result {
	r := Result{Dir: dir}
	err := r.run(b, o)
	switch {
	case err == nil:
		return r
	case onnx.IsUnsupported(err):
		r.Status = Unsupported
	default:
		r.Status = Failed
	}
	r.Reason = strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	if why := disputed()[filepath.Base(dir)]; why != "" && r.Status == Failed {
		r.Status, r.Reason = Unsupported, why
	}
	return r
}

// disputed lists the cases whose stored values are those of ONNX's reference evaluator only, and
// why this package computes others.
func disputed() map[string]string {
	return map[string]string{
		"test_resize_downsample_scales_linear_align_corners": "its values come of a width of 2.4, " +
			"before it is rounded: ONNX's text, ONNX Runtime and PyTorch take the width of the result",
	}
}

func (r *Result) run(b tensor.Backend, o onnx.Options) error {
	m, err := onnx.Open(filepath.Join(r.Dir, "model.onnx"))
	if err != nil {
		return err
	}
	s := tensor.NewScope(b)
	defer s.Close()
	g, err := onnx.Import(s, m, o)
	if err != nil {
		return err
	}
	sets, err := filepath.Glob(filepath.Join(escape(r.Dir), "test_data_set_*"))
	if err != nil {
		return err
	}
	for _, set := range sets {
		if err := r.set(b, m, g, set); err != nil {
			return err
		}
	}
	return nil
}

// set runs one data set.
func (r *Result) set(b tensor.Backend, m *onnx.Model, g *onnx.Graph, dir string) error {
	in, err := read(dir, "input", m.Inputs())
	if err != nil {
		return err
	}
	want, err := read(dir, "output", m.Outputs())
	if err != nil {
		return err
	}
	ag := autodiff.NewGraph(b)
	defer ag.Close()
	values := map[string]*onnx.Value{}
	for name, a := range in {
		values[name] = onnx.Host(a)
	}
	got, err := g.Run(ag, values)
	if err != nil {
		return err
	}
	for _, o := range m.Outputs() {
		w, ok := want[o.Name]
		if !ok {
			return fmt.Errorf("%s: no stored value of output %q", dir, o.Name)
		}
		if err := r.compare(o.Name, got[o.Name], w); err != nil {
			return err
		}
	}
	return nil
}

// read reads input_0.pb, input_1.pb, …, which belong to the graph's values in order. An absent
// optional one has no elements of any known type and is left out by ONNX's own writer.
func read(dir, kind string, infos []onnx.Input) (map[string]*onnx.Array, error) {
	out := map[string]*onnx.Array{}
	for i, info := range infos {
		path := filepath.Join(dir, kind+"_"+strconv.Itoa(i)+".pb")
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cases: Run: %w", err)
		}
		if out[info.Name], err = onnx.ReadTensor(path, data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compare checks one output.
func (r *Result) compare(name string, got *onnx.Value, want *onnx.Array) error {
	if got.Elem() != want.Elem || !got.Shape().Equal(want.Shape) {
		return fmt.Errorf("output %q is %v %v, expected %v %v", name, got.Elem(), got.Shape(),
			want.Elem, want.Shape)
	}
	a := got.Array()
	for i := range want.Shape.Size() {
		x, y := element(a, i), element(want, i)
		if x == y || math.IsNaN(x) && math.IsNaN(y) {
			continue
		}
		off := math.Abs(x-y) / (AbsTol + relTol(want.Elem)*math.Abs(y))
		if !(off <= 1) || math.IsInf(y, 0) {
			return fmt.Errorf("output %q, element %d of %v: got %g, expected %g", name, i,
				want.Shape, x, y)
		}
		r.Worst = max(r.Worst, off)
	}
	return nil
}

func element(a *onnx.Array, i int) float64 {
	if a.Elem.IsFloat() {
		return a.F[i]
	}
	return float64(a.I[i])
}

// Count returns how many results have each status.
func Count(rs []Result) (passed, failed, unsupported int) {
	for _, r := range rs {
		switch r.Status {
		case Passed:
			passed++
		case Failed:
			failed++
		default:
			unsupported++
		}
	}
	return passed, failed, unsupported
}
