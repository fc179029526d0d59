package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// readResults reads the lines of an earlier run.
func readResults(path string) ([]line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := parseResults(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lines, nil
}

// parseResults reads a line of JSON a time.
func parseResults(r io.Reader) (all []line, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for n := 1; in.Scan(); n++ {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil || l.Stage == "" {
			return nil, fmt.Errorf("line %d is no result of gpucheck (%v)", n, err)
		}
		all = append(all, l)
	}
	if len(all) == 0 && in.Err() == nil {
		return nil, errors.New("there is no result in it")
	}
	return all, in.Err()
}

// speeds lists the measures that are compared, by how their names end, and whether more is better.
var speeds = []struct {
	suffix string
	more   bool
}{{"_per_s", true}, {"_tflops", true}, {"_joules_per_image", false}}

// subject names what a line measured: its stage and name and whatever in its values is no measure.
func (l line) subject() string {
	parts := []string{l.Stage, l.Name}
	for _, k := range slices.Sorted(maps.Keys(l.Values)) {
		switch v := l.Values[k].(type) {
		case string, bool:
			parts = append(parts, fmt.Sprintf("%s %v", k, v))
		case float64:
			if k == "batch" {
				parts = append(parts, fmt.Sprintf("%s %g", k, v))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// measures returns a line's speeds by case and name, as numbers of which more is better.
func measures(lines []line) map[string]float64 {
	all := map[string]float64{}
	for _, l := range lines {
		for name, v := range l.Values {
			x, ok := v.(float64)
			if !ok || x <= 0 {
				continue
			}
			for _, s := range speeds {
				if strings.HasSuffix(name, s.suffix) {
					if !s.more {
						x = 1 / x
					}
					all[l.subject()+": "+name] = x
				}
			}
		}
	}
	return all
}

// noise is the change of a speed that two runs of one program show.
const noise = 0.05

// compare writes a line with what became faster and slower by more than noise, as ratios of now to
// before, and says it for people.
func compare(before, now []line, out, errOut io.Writer) {
	was, is := measures(before), measures(now)
	changed, common := map[string]any{}, 0
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if was[k] == 0 {
			continue
		}
		common++
		if r := is[k] / was[k]; r < 1-noise || r > 1+noise {
			changed[k] = r
			fmt.Fprintf(errOut, "%6.2f× %s\n", r, k)
		}
	}
	fmt.Fprintf(errOut, "%d speeds compared with the last run, %d changed by more than %g %%\n",
		common, len(changed), 100*noise)
	json.NewEncoder(out).Encode(line{Stage: "compare", Name: "last", OK: common > 0,
		Values: map[string]any{"compared": common, "changed": changed}})
}
