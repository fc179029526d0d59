package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"afterimage/bench/figures"
	"afterimage/bench/pytorch/golden"
	"afterimage/nn/onnx"
	"afterimage/nn/onnx/cases"
	"afterimage/tensor/ref"
)

// tests names the tests that report rows.
const tests = "^Test(Golden|Published)"

// measure returns the page with everything measured. Progress goes to log.
func measure(root, data string, long bool, log io.Writer) (*page, error) {
	p, err := newPage(root, data)
	if err != nil {
		return nil, err
	}
	pkgs, err := packages(root)
	if err != nil {
		return nil, err
	}
	if err := p.runTests(root, data, long, pkgs, log); err != nil {
		return nil, err
	}
	for i := range p.figures {
		if err := p.figures[i].settle(root, data); err != nil {
			return nil, err
		}
	}
	for i := range p.cases {
		c := &p.cases[i]
		c.Result = cases.Run(ref.New(), c.Dir, onnx.Options{})
	}
	if len(p.cases) > 0 {
		fmt.Fprintf(log, "%d ONNX cases\n", len(p.cases))
	}
	return p, nil
}

// packages lists the packages whose tests report rows: those that import golden or figures.
func packages(root string) ([]string, error) {
	cmd := exec.Command("go", "list", "-f",
		`{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if slices.Contains(f[1:], "afterimage/bench/pytorch/golden") ||
			slices.Contains(f[1:], "afterimage/bench/figures") {
			out = append(out, f[0])
		}
	}
	return out, nil
}

// An event is a line of "go test -json".
type event struct {
	Action, Package, Test, Key, Value, Output string
}

// runTests runs the tests and enters what they report. Output of failed tests goes to log.
func (p *page) runTests(root, data string, long bool, pkgs []string, log io.Writer) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1", "-p=1", "-timeout=120m",
		"-run", tests}, pkgs...)...)
	cmd.Dir, cmd.Stderr = root, log
	cmd.Env = append(os.Environ(), "AFTERIMAGE_DATA="+data)
	if long {
		cmd.Env = append(cmd.Env, figures.LongEnv+"=1")
	} else {
		cmd.Env = append(cmd.Env, figures.LongEnv+"=")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	err = p.collect(out, log)
	var failed *exec.ExitError
	if waited := cmd.Wait(); waited != nil && !errors.As(waited, &failed) {
		return fmt.Errorf("go test: %w", waited)
	}
	return err
}

// collect reads the events of the tests.
func (p *page) collect(r io.Reader, log io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	said := map[string][]string{} // output by test, shown if it fails
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(log, lines.Text())
			continue
		}
		id := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			said[id] = append(said[id], e.Output)
		case "attr":
			if err := p.enter(e); err != nil {
				return err
			}
		case "fail":
			fmt.Fprintf(log, "FAILED %s\n%s", id, strings.Join(said[id], ""))
		case "pass":
			if e.Test == "" {
				fmt.Fprintln(log, e.Package)
			}
			delete(said, id)
		}
	}
	return lines.Err()
}

// enter puts what a test reports into its row.
func (p *page) enter(e event) error {
	switch e.Key {
	case golden.RowAttr:
		var r golden.Row
		if err := json.Unmarshal([]byte(e.Value), &r); err != nil {
			return fmt.Errorf("%s: %s: %w", e.Test, e.Key, err)
		}
		return p.enterGolden(strings.TrimPrefix(e.Package, "afterimage/")+"/"+r.File, &r)
	case figures.Attr:
		var m figures.Measurement
		if err := json.Unmarshal([]byte(e.Value), &m); err != nil {
			return fmt.Errorf("%s: %s: %w", e.Test, e.Key, err)
		}
		for i := range p.figures {
			if f := &p.figures[i]; f.Name == m.Name {
				v, err := strconv.ParseFloat(m.Value, 64)
				f.measured, f.value = m.Value, v
				return err
			}
		}
		return fmt.Errorf("%s reports a figure that is not listed: %s", e.Test, m.Name)
	}
	return nil
}

func (p *page) enterGolden(file string, r *golden.Row) error {
	for _, g := range p.goldens {
		for i := range g.rows {
			if g.path != file || g.rows[i].name != r.Case {
				continue
			}
			if r.Backend == golden.Double {
				g.rows[i].double = r
			} else {
				g.rows[i].single = r
			}
			return nil
		}
	}
	return fmt.Errorf("%s reports a row that its file does not have: %s", file, r.Case)
}

// settle reads the record of a figure that was not measured, or says why it was skipped.
func (f *figureRow) settle(root, data string) error {
	if f.measured != "" {
		return nil
	}
	if f.Record != "" {
		raw, err := os.ReadFile(filepath.Join(root, "bench", "results", filepath.FromSlash(f.Record)))
		if err != nil {
			return err
		}
		var r struct{ Attacks []struct{ Accuracy float64 } }
		if err := json.Unmarshal(raw, &r); err != nil || len(r.Attacks) != 1 {
			return fmt.Errorf("bench/results/%s: expected one attack's accuracy, found %d: %w", f.Record,
				len(r.Attacks), err)
		}
		f.value, f.recorded = 100*r.Attacks[0].Accuracy, true
		f.measured = fmt.Sprintf("%.10g", f.value)
		return nil
	}
	if data == "" {
		f.skipped = "skipped: no data directory given"
	} else if _, err := os.Stat(filepath.Join(data, filepath.FromSlash(f.Needs))); err != nil {
		f.skipped = "skipped: the data directory has no " + f.Needs
	}
	return nil
}
