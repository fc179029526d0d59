package main

import (
	"cmp"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"afterimage/gan/report"
	"afterimage/gan/study"
	"afterimage/nn/train"
	"afterimage/tensor"
)

type reportCmd struct {
	Dir string `arg:"" name:"run" help:"Run directory." placeholder:"RUN"`
}

// Help shows an example under the flags.
func (reportCmd) Help() string {
	return `Writes report.html into a run directory: its curves, its last pictures, its settings.
Trainings write it at their end; this makes it of a run that is still under way, or was stopped.

Example:
  afterimage report runs/inverter`
}

// Run writes the page.
func (c *reportCmd) Run(e *env) error {
	if spec := filepath.Join(c.Dir, study.SpecFile); exists(spec) {
		return tensor.Refuse("%s is a study, which writes its own page at its end: afterimage study "+
			"--preset %s --out %[1]s goes on with it, or writes the page again", c.Dir, spec)
	}
	path, err := runPage(c.Dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, "wrote", path)
	return nil
}

// runPage writes a run's report.html and returns its path.
func runPage(dir string) (string, error) {
	kind, err := train.Kind(dir)
	if err != nil { // which says what is no run directory
		return "", err
	}
	lines, err := train.ReadMetrics(dir)
	if err != nil {
		return "", err
	}
	config, err := os.ReadFile(filepath.Join(dir, train.ConfigFile))
	if err != nil {
		return "", err
	}
	facts := settings(string(config))
	page := &report.Report{Kicker: "afterimage · run", Title: runTitle(facts),
		Lede: fmt.Sprintf("A training of this program: %s of its log, its last pictures, its "+
			"settings. "+
			"Validation is on images held out of the training files; the test set was not read.",
			counting(len(lines), "line"))}
	curves := report.Section{Heading: "Curves", Prose: "The loss is a running mean over about fifty " +
		"steps."}
	if kind == "inverter" {
		curves.Prose = "Hinge losses and scores are those of one step."
	}
	for _, p := range []struct {
		title string
		keys  []string
	}{{"Loss", []string{"loss", "val_loss"}},
		{"Accuracy on held-out images", []string{"val_accuracy"}},
		{"Hinge losses", []string{"d_loss", "g_loss"}}, {"Scores", []string{"d_real", "d_fake"}},
		{"Spread of the samples, of the real images'", []string{"spread"}}} {
		if plot, ok := runPlot(p.title, p.keys, lines); ok {
			curves.Plots = append(curves.Plots, plot)
		}
	}
	if len(curves.Plots) > 0 {
		page.Sections = append(page.Sections, curves)
	}
	if fig, ok := lastSamples(dir); ok {
		page.Sections = append(page.Sections,
			report.Section{Heading: "Pictures", Figures: []report.Figure{fig},
				Prose: "The first held-out images and what was painted from the classifier's answer to each, " +
					"noise fixed."})
	}
	page.Sections = append(page.Sections, report.Section{Heading: "Settings", Facts: facts,
		Prose: "The command line of every start of this training stands in `" + train.EnvironmentFile +
			"` beside this page. The command below makes the page anew.",
		Commands: []string{"afterimage report RUN"}})
	path := filepath.Join(dir, train.ReportFile)
	return path, page.WriteFile(path)
}

// settings lists the lines of a run's configuration; what stands indented below a key is named
// after it, net.size.
func settings(config string) (facts []report.Fact) {
	group := ""
	for line := range strings.Lines(config) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), ":")
		if v = strings.TrimSpace(v); !ok {
			continue
		}
		switch indented := strings.HasPrefix(line, " "); {
		case !indented && v == "":
			group = k + "."
			continue
		case !indented:
			group = ""
		}
		facts = append(facts, report.Fact{Name: group + k, Value: shownPath(v)})
	}
	return facts
}

// shownPath returns a setting as a page shows it to others: of an absolute path, which only this
// machine has, its last element. The run's own files keep it whole, so that the run can be resumed.
func shownPath(setting string) string {
	kind, path, ok := strings.Cut(setting, ":")
	if kind != "folder" || !ok {
		kind, path = "", setting
	} else {
		kind += ":"
	}
	return kind + portable(path, filepath.Base(path))
}

// runTitle says what a run trained. It does not depend on where the run lies, so that a run
// repeated elsewhere ends with the same page.
func runTitle(facts []report.Fact) string {
	value := map[string]string{}
	for _, f := range facts {
		if _, seen := value[f.Name]; !seen {
			value[f.Name] = f.Value
		}
	}
	if value["kind"] == "inverter" {
		return "Inverter of " + value["condition"] + " on " + value["dataset"]
	}
	return strings.TrimSpace(value["arch"] + " on " + value["dataset"])
}

// runPlot draws the named values of a log over the step; ok is false where there are none.
func runPlot(title string, keys []string, lines []map[string]float64) (report.Plot, bool) {
	p := report.Plot{Kind: report.Lines, Title: title, XLabel: "step"}
	for _, k := range keys {
		s := report.Series{Name: strings.ReplaceAll(k, "_", " ")}
		for _, l := range lines {
			if v, ok := l[k]; ok {
				s.X, s.Y = append(s.X, l["step"]), append(s.Y, v)
			}
		}
		if len(s.X) > 1 {
			p.Series = append(p.Series, s)
		}
	}
	return p, len(p.Series) > 0
}

// byStep returns the files of dir that are called by prefix, a step and ext, in the steps' order:
// %06d sorts a million before 999,999.
func byStep(dir, prefix, ext string) []string {
	entries, _ := os.ReadDir(dir) // without the folder there are none
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), ext) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	return names
}

// lastSamples returns the newest sample sheet of a run.
func lastSamples(dir string) (report.Figure, bool) {
	names := byStep(filepath.Join(dir, train.SampleDir), "step-", ".png")
	if len(names) == 0 {
		return report.Figure{}, false
	}
	f, err := os.Open(names[len(names)-1])
	if err != nil {
		return report.Figure{}, false
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return report.Figure{}, false
	}
	step := strings.TrimPrefix(stem(names[len(names)-1]), "step-")
	return report.Figure{Title: "Step " + strings.TrimLeft(step, "0"),
		Sheet: &report.Sheet{Scale: 1, Rows: []report.SheetRow{{Images: []image.Image{img}}}}}, true
}
