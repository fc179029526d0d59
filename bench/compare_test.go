package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// A script answers requests as a program would.
type script func(Request) Reply

// starter returns a Starter of programs that answer by s and end when it says so; it counts starts.
func (s script) starter(starts *int) Starter {
	return func() (*Peer, error) {
		*starts++
		requests, in := io.Pipe()
		out, answers := io.Pipe()
		go func() {
			lines := bufio.NewScanner(requests)
			for lines.Scan() {
				var q Request
				if json.Unmarshal(lines.Bytes(), &q) != nil {
					break
				}
				r := s(q)
				if r.Error == "end" {
					break
				}
				if json.NewEncoder(answers).Encode(r) != nil {
					break
				}
			}
			requests.Close()
			answers.Close()
		}()
		return &Peer{in: in, out: bufio.NewReader(out)}, nil
	}
}

// always answers with one time.
func always(t float64) script {
	return func(Request) Reply { return Reply{Seconds: []float64{t}, Bound: 7} }
}

func spec(key string, modes ...string) Spec {
	return Spec{Key: key, Name: key, Shape: "1", Groups: []string{"g"}, Kind: "add", Work: 2,
		Unit: FLOPs, Modes: modes}
}

// compareAll returns the rows of a comparison of two scripts.
func compareAll(t *testing.T, list []Spec, ours, theirs script, o CompareOptions) []Comparison {
	t.Helper()
	var rows []Comparison
	o.Observe = func(c Comparison) error { rows = append(rows, c); return nil }
	o.Threads = 2
	a, b := 0, 0
	if err := Compare(list, ours.starter(&a), theirs.starter(&b), o); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRatioArithmetic: each round's quotient, their median and extremes; of a request's runs the
// median counts; the best mode is the one of the smallest median, and slow ones drop out after the
// first round.
func TestRatioArithmetic(t *testing.T) {
	ours := [][]float64{{2, 9, 1}, {4}, {1}} // medians 2, 4, 1
	theirs := map[string][]float64{Eager: {6, 6, 6}, EagerCL: {5.8, 4, 5}, Compile: {9, 0.1, 0.1}}
	var order []string
	round, asked := 0, map[string]int{}
	rows := compareAll(t, []Spec{spec("row", Eager, EagerCL, Compile)},
		func(q Request) Reply {
			order = append(order, "A")
			round++
			if !q.Bound || q.Seconds != 0.5 || q.Least != 1 {
				t.Errorf("round %d asks %+v", round, q)
			}
			return Reply{Seconds: ours[round-1], Bound: []float64{2, 9, 3}[round-1],
				Roofline: []float64{1, 0.5, 0.8}[round-1]}
		},
		func(q Request) Reply {
			order = append(order, q.Mode)
			asked[q.Mode]++
			return Reply{Seconds: []float64{theirs[q.Mode][asked[q.Mode]-1]}}
		}, CompareOptions{Rounds: 3, Seconds: 0.5})
	want := Comparison{Key: "row", Name: "row", Shape: "1", Groups: []string{"g"}, Threads: 2,
		Unit: FLOPs, Work: 2, Ours: []float64{2, 4, 1}, Theirs: []float64{5.8, 4, 5}, Best: EagerCL,
		Modes: map[string][]float64{Eager: {6, 6, 6}, EagerCL: {5.8, 4, 5}, Compile: {9}},
		Ratio: 2.9, Low: 1, High: 5, Bound: 3, Roofline: 0.8}
	if len(rows) != 1 || !reflect.DeepEqual(rows[0], want) {
		t.Errorf("got  %+v\nwant %+v", rows, want)
	}
	if got := strings.Join(order, " "); got != "A eager eager-cl compile A eager eager-cl A eager "+
		"eager-cl" {
		t.Errorf("the programs took turns as %s", got)
	}
}

// TestCompareNotesWhatIsMissing: a row one program cannot do, fails at or dies of leaves a note and
// no ratio; the program is started again for the next row.
func TestCompareNotesWhatIsMissing(t *testing.T) {
	var rows []Comparison
	theirs := script(func(q Request) Reply {
		switch q.Spec.Key {
		case "failing":
			return Reply{Error: "no memory"}
		case "deadly":
			return Reply{Error: "end"}
		}
		return Reply{Seconds: []float64{1}}
	})
	ours := script(func(q Request) Reply {
		if q.Spec.Key == "theirs-only" {
			return Reply{Error: "bf16", Unsupported: true}
		}
		return Reply{Seconds: []float64{0}} // a clock too coarse
	})
	a, b := 0, 0
	err := Compare([]Spec{spec("failing", Eager), spec("deadly", Eager), spec("theirs-only", Eager),
		spec("ours-only"), spec("left out", Eager)}, ours.starter(&a), theirs.starter(&b),
		CompareOptions{Rounds: 2, Only: regexp.MustCompile("failing|deadly|only"),
			Observe: func(c Comparison) error { rows = append(rows, c); return nil }})
	if err != nil || len(rows) != 4 || a != 1 || b != 2 {
		t.Fatalf("%v, %d rows, %d and %d starts", err, len(rows), a, b)
	}
	for i, want := range []string{"eager failed: no memory",
		"eager failed: bench: the measured program", "this program has no way to do this", ""} {
		notes := strings.Join(rows[i].Notes, "; ")
		if !strings.HasPrefix(notes, want) || want == "" && notes != "" || rows[i].Ratio != 0 {
			t.Errorf("%s: notes %q, ratio %g, expected %q", rows[i].Key, notes, rows[i].Ratio, want)
		}
		if _, err := json.Marshal(rows[i]); err != nil {
			t.Error(err)
		}
	}
}

// TestCompareStops: a program that does not start ends the comparison with the reason, and so does
// a row that cannot be kept.
func TestCompareStops(t *testing.T) {
	n := 0
	none := Start([]string{filepath.Join(t.TempDir(), "no program")})
	o := CompareOptions{Rounds: 1, Observe: func(Comparison) error { return nil }}
	if err := Compare([]Spec{spec("row", Eager)}, always(1).starter(&n), none, o); err == nil ||
		!strings.Contains(err.Error(), "no program") {
		t.Errorf("got %v, expected that the program does not start", err)
	}
	full := errors.New("disk full")
	o.Observe = func(Comparison) error { return full }
	if err := Compare([]Spec{spec("row", Eager)}, always(1).starter(&n), always(1).starter(&n),
		o); !errors.Is(err, full) {
		t.Errorf("got %v, expected %v", err, full)
	}
}

// TestFreshRows: memory is measured in the step's fastest mode and in eager-cl, of which the
// smaller one counts, and its ratio is of growth; the other program's is not measured again where
// ours recomputes.
func TestFreshRows(t *testing.T) {
	step := "step/resnet20-cifar-n128h32"
	memory, err := NewCatalogue().Find("memory/" + step)
	if err != nil {
		t.Fatal(err)
	}
	recomputed, err := NewCatalogue().Find(memory.Key + recomputeSuffix)
	if err != nil {
		t.Fatal(err)
	}
	start, err := NewCatalogue().Find("start/resnet20-cifar-n128h32")
	if err != nil {
		t.Fatal(err)
	}
	growth := map[string]int{"": 50, EagerCL: 80, CompileCL: 95}
	asked := map[string]int{}
	answer := func() script {
		last := ""
		return func(q Request) Reply {
			if q.Op == "memory" {
				return Reply{Start: 100, Peak: 100 + growth[last]}
			}
			if last = q.Mode; strings.TrimSuffix(q.Spec.Key, recomputeSuffix) != step {
				t.Errorf("asked for %s", q.Spec.Key)
			}
			asked[q.Mode]++
			return Reply{Seconds: []float64{1}}
		}
	}
	never := func(Request) Reply { t.Error("asked the program that is kept"); return Reply{} }
	programs := 0
	rows := compareAll(t, []Spec{memory, recomputed, start}, answer(), never,
		CompareOptions{Rounds: 3, Fresh: answer().starter(&programs),
			Done: func(key string, _ int) (Comparison, bool) {
				return Comparison{Best: CompileCL}, key == step // an earlier session knows the fastest
			}})
	m, s := rows[0], rows[2]
	if m.Ratio != 1.6 || len(m.Ours) != 3 || m.TotalOurs != 150 || m.TotalTheirs != 180 ||
		m.Best != EagerCL || len(m.Modes) != 2 || m.Modes[CompileCL][0] != 95 {
		t.Errorf("memory: %+v", m)
	}
	if r := rows[1]; len(r.Ours) != 3 || r.TotalTheirs != 180 || r.Best != EagerCL ||
		!reflect.DeepEqual(r.Theirs, m.Theirs) {
		t.Errorf("memory, recomputed: %+v", r)
	}
	if len(s.Ours) != 3 || len(s.Theirs) != 3 || s.Best != Eager || !(s.Ratio > 0) {
		t.Errorf("start: %+v", s)
	}
	want := map[string]int{"": 18, EagerCL: 6, CompileCL: 6, Eager: 6} // two requests a fresh program
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %v, expected %v", asked, want)
	}
}

// TestMeans: geometric means, of the rows and of each round, with what was tried and when.
func TestMeans(t *testing.T) {
	row := func(key string, threads int, ours, theirs []float64, groups ...string) Comparison {
		c := Comparison{Key: key, Threads: threads, Groups: groups, Ours: ours, Unit: FLOPs, Work: 8,
			Modes: map[string][]float64{Eager: theirs}, Bound: 4 * float64(threads),
			Uses: map[string]int{"net": 3}}
		c.finish()
		c.Session = threads
		return c
	}
	r := &Record{Rows: []Comparison{
		row("a", 2, []float64{1, 1, 1}, []float64{2, 1, 4}, "conv forward", "x"),
		row("b", 2, []float64{1, 1, 1}, []float64{8, 4, 4}, "conv forward"),
		row("a", 1, []float64{1.5}, []float64{5}, "conv forward", "x"),
		row("none", 2, nil, []float64{5}, "other")}}
	r.Rows[1].Modes[Compile] = []float64{9} // which lost, on one row
	means := r.Means(2)
	want := Mean{Group: "conv forward", Threads: 2, Rows: 2, Ratio: math.Sqrt(8), Low: 2, High: 4,
		Worst: 2, Row: "a", Modes: []string{"compile (1)", "eager"}, Sessions: []int{2}}
	if len(means) != 2 || means[1].Group != "x" || !near(means[0], want) {
		t.Errorf("got %+v, expected %+v and one of group x", means, want)
	}
	totals := r.Totals(2)
	if len(totals) != 1 || totals[0] != (Total{"net", 6, 18}) {
		t.Errorf("totals %+v", totals)
	}
	list := r.Scalings(2)
	if len(list) != 1 || list[0].Ours != 1.5 || list[0].Theirs != 2.5 || list[0].Bound != 2 ||
		list[0].Roofline != 2 {
		t.Errorf("scalings %+v", list)
	}
	r.Rows[0].Roofline, r.Rows[2].Roofline = 4, 7
	if list := r.Scalings(2); list[0].Bound != 2 || list[0].Roofline != 1.75 {
		t.Errorf("of a step: %+v", list)
	}
}

func near(a, b Mean) bool {
	for _, p := range [][2]float64{{a.Ratio, b.Ratio}, {a.Low, b.Low}, {a.High, b.High}} {
		if math.Abs(p[0]-p[1]) > 1e-12 {
			return false
		}
	}
	a.Ratio, a.Low, a.High = b.Ratio, b.Low, b.High
	return reflect.DeepEqual(a, b)
}

// recordTwo begins a record in dir with two rows, which it returns.
func recordTwo(t *testing.T, dir string) []Comparison {
	t.Helper()
	r, err := OpenRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	rows := compareAll(t, []Spec{spec("a", Eager), spec("b", Eager)}, always(1), always(3),
		CompareOptions{Rounds: 2})
	err = r.Begin(Session{Date: "today", Threads: 2, Modes: []string{Eager, Compile},
		Ours: map[string]any{"go": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range rows {
		if err := r.Add(c); err != nil {
			t.Fatal(err)
		}
		rows[i].Session = 1
	}
	return rows
}

// TestRecordGoesOn: rows are on disk as soon as they are added, a line that was cut off is measured
// again, and a damaged one is named.
func TestRecordGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	rows := recordTwo(t, dir)
	table, err := os.ReadFile(filepath.Join(dir, TableFile))
	if err != nil || strings.Count(string(table), "**3.00**") != 3 { // two rows and their mean
		t.Errorf("the table is\n%s%v", table, err)
	}
	for _, want := range []string{"1. today, 2 threads", "PyTorch's ways: eager, compile: ",
		"| `a` | eager | 1 |"} {
		if !strings.Contains(string(table), want) {
			t.Errorf("%q is not in the table\n%s", want, table)
		}
	}
	path := filepath.Join(dir, RowsFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw[:len(raw)-5], 0o666); err != nil {
		t.Fatal(err)
	}
	again, err := OpenRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, a := again.Find("a", 2)
	_, b := again.Find("b", 2)
	_, other := again.Find("a", 1)
	if !a || b || other || len(again.Sessions) != 1 {
		t.Errorf("found a %v, b %v, a with one thread %v, %d sessions", a, b, other, len(again.Sessions))
	}
	if err := again.Add(rows[1]); err != nil {
		t.Fatal(err)
	}
	full, err := ReadRecord(filepath.Join(dir, JSONFile))
	if err != nil || !reflect.DeepEqual(full.Rows, rows) {
		t.Errorf("read %+v, %v, expected %+v", full, err, rows)
	}
	broken := rows[1]
	broken.Notes = []string{"eager " + failed + "no memory"}
	if err := again.Add(broken); err != nil {
		t.Fatal(err)
	}
	_, done := again.Finished("b", 2)
	if _, there := again.Find("b", 2); done || !there || len(again.Rows) != 2 {
		t.Errorf("a row that failed counts as finished (%v), or was added twice: %d rows", done,
			len(again.Rows))
	}
	if err := os.WriteFile(path, []byte("damaged\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRecord(dir); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v, expected the damaged line", err)
	}
}

// TestRatioTicks: an axis of ratios has marks over less than a factor of two and over decades.
func TestRatioTicks(t *testing.T) {
	for want, lim := range map[string][2]float64{"1 1.5 2 3": {0.9, 3.2}, "0.5 1 2 5 10 20": {0.4, 30},
		"0.7 1 1.5": {0.6, 1.6}} {
		var got []string
		for _, tick := range ratioTicks(lim[0], lim[1]) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v, expected %s", lim, got, want)
		}
	}
}

// TestPlot draws every picture.
func TestPlot(t *testing.T) {
	s := spec("row", Eager)
	step := s
	step.Key, step.Groups = "step", []string{"steps"}
	rows := compareAll(t, []Spec{s, step}, always(1), always(3), CompareOptions{Rounds: 2})
	dir := t.TempDir()
	paths, err := (&Record{Rows: rows}).Plot(dir)
	if err != nil || len(paths) != 6 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", p, err)
		}
	}
}
