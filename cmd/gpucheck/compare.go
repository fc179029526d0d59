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

// A measure is a speed and what version of meaning it was written under.
type measure struct {
	speed float64
	means int
}

// measures returns lines' speeds by case and name, as numbers of which more is better.
func measures(lines []line) map[string]measure {
	all := map[string]measure{}
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
					all[l.subject()+": "+name] = measure{x, max(l.Means, 1)}
				}
			}
		}
	}
	return all
}

// card returns the name of the first GPU that a run found, "" if its lines do not say.
func card(lines []line) string {
	for _, l := range lines {
		if devices, ok := l.Values["devices"].([]any); ok && l.Name == "find" && len(devices) > 0 {
			d, _ := devices[0].(map[string]any)
			name, _ := d["name"].(string)
			return name
		}
	}
	return ""
}

// noise is the change of a speed that two runs of one program show.
const noise = 0.05

// compare writes a line with what became faster and slower by more than noise, as ratios of now to
// before, and says it for people. What another card did is not compared, nor what was measured when
// its name meant something else.
func compare(before, now []line, out, errOut io.Writer) {
	was, is := measures(before), measures(now)
	if a, b := card(before), card(now); a != b && a != "" && b != "" {
		reason := fmt.Sprintf("the last run was on %s, this one on %s: nothing is compared", a, b)
		fmt.Fprintln(errOut, reason)
		json.NewEncoder(out).Encode(line{Stage: "compare", Name: "last", Means: meaning,
			Error: reason})
		return
	}
	changed, common, other := map[string]any{}, 0, 0
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if was[k].speed == 0 {
			continue
		}
		if was[k].means != is[k].means {
			other++
			continue
		}
		common++
		if r := is[k].speed / was[k].speed; r < 1-noise || r > 1+noise {
			changed[k] = r
			fmt.Fprintf(errOut, "%6.2f× %s\n", r, k)
		}
	}
	fmt.Fprintf(errOut, "%d speeds compared with the last run, %d changed by more than %g %%; "+
		"%d meant something else then\n", common, len(changed), 100*noise, other)
	json.NewEncoder(out).Encode(line{Stage: "compare", Name: "last", OK: common > 0, Means: meaning,
		Values: map[string]any{"compared": common, "changed": changed,
			"meant_something_else": other}})
}
