package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A finding is what became of one thing that was asked.
type finding struct {
	asked    string
	measured string
	reached  bool
	missing  string // why nothing was measured, "" if something was
}

// What is asked of a card: as many times PyTorch's speed, and for so much of a step idle.
const (
	mostIdle = 0.03
	wanted   = 10000 // steps without a leak
)

// verdict writes a line for each thing that is asked, from the lines of all stages, and says them
// for people: asked, measured, reached. That something is missing or too slow is no failure of the
// check.
func verdict(all []line, tiny bool, out, errOut io.Writer) {
	r := results{all, tiny}
	var found []finding
	for _, net := range []struct {
		name, says string
		batch      int
		eager      float64 // times its speed
	}{{"resnet50", "ResNet-50", 128, 1.2}, {"biggan128 ch96", "BigGAN-128", 32, 1.5}} {
		found = append(found, r.speed(net.name, net.says, net.batch, net.eager, []string{"eager"}),
			r.speed(net.name, net.says, net.batch, 1, rivals),
			r.idle(net.name, net.says), r.memory(net.name, net.says, net.batch))
	}
	found = append(found, r.every("backendtest on the card, every family", "conformance", ""))
	for _, course := range []string{"ResNet-20", "BigGAN-32"} {
		found = append(found, r.envelope(course, "in_perturbed", "the band of five perturbed CPU runs"),
			r.envelope(course, "in_widened_band", "the band of all CPU runs, widened by its own width"),
			r.judged().every(course+", F32: as near as twice the worst of the CPU's own runs, left out",
				"agreement", course+", "))
	}
	found = append(found, r.leak(), r.every("killed and resumed, the same bytes", "resume", ""),
		r.every("out of memory: one line, and the device works", "faults", "out of memory"),
		r.every("lost device: one line", "faults", "lost device"),
		finding{asked: "driver too old: one line", missing: "a card's driver cannot be made old; the " +
			"tests of cuda/driver do it to a fake one"},
		r.sanitized())
	for _, f := range found {
		answer := map[bool]string{true: "yes", false: "NO"}[f.reached]
		v := map[string]any{"measured": f.measured, "reached": f.reached}
		if f.missing != "" {
			answer, v = "not measured: "+f.missing, map[string]any{"not_measured": f.missing}
		}
		json.NewEncoder(out).Encode(line{Stage: "verdict", Name: f.asked, OK: f.reached ||
			f.missing != "", Means: meaning, Values: v})
		fmt.Fprintf(errOut, "%s: %s\n", f.asked, answer)
		if f.measured != "" {
			fmt.Fprintf(errOut, "    %s\n", f.measured)
		}
	}
}

// results are the lines of a run, for questions.
type results struct {
	all  []line
	tiny bool
}

// rivals are PyTorch's ways of a step that are held against ours besides eager.
var rivals = []string{"captured", "default", "reduce-overhead"}

// of returns the good lines of a stage with a name, both as they begin.
func (r results) of(stage, name string) (found []line) {
	for _, l := range r.all {
		if l.Stage == stage && strings.HasPrefix(l.Name, name) && l.OK && l.Name != "done" {
			found = append(found, l)
		}
	}
	return found
}

// number returns a value of a line, NaN if it has none.
func (l line) number(name string) float64 {
	if v, ok := l.Values[name].(float64); ok {
		return v
	}
	return math.NaN()
}

// why says what a stage has to say for having measured nothing.
func (r results) why(stage, otherwise string) string {
	for _, l := range r.all {
		if l.Stage != stage {
			continue
		}
		if why, ok := l.Values["why"].(string); ok && l.Name == "skipped" {
			return why
		}
		if l.Error != "" {
			return stage + ": " + l.Error
		}
	}
	return otherwise
}

// ours returns our line of a network in bf16.
func (r results) ours(name string, batch int) (line, bool) {
	for _, l := range r.of("steps", name) {
		if l.Values["arithmetic"] == "libraries bf16" && l.number("batch") == float64(batch) {
			return l, true
		}
	}
	return line{}, false
}

// theirs returns PyTorch's lines of a network in bf16, in some of its ways.
func (r results) theirs(name string, batch int, modes []string) (found []line) {
	for _, l := range r.of("pytorch", name) {
		mode, _ := l.Values["mode"].(string)
		if l.Values["arithmetic"] == "bf16" && l.number("batch") == float64(batch) &&
			slices.Contains(modes, mode) {
			found = append(found, l)
		}
	}
	return found
}

// both begins a finding about ours beside PyTorch's.
func (r results) both(asked, name string, batch int, modes []string) (f finding, our line,
	their []line,
) {
	f.asked = asked
	our, ok := r.ours(name, batch)
	their = r.theirs(name, batch, modes)
	switch {
	case r.tiny:
		f.missing = "a rehearsal with small shapes"
	case !ok:
		f.missing = r.why("steps", "the stage steps has no such line")
	case len(their) == 0:
		f.missing = r.why("pytorch", "the stage pytorch has no such line")
	}
	return f, our, their
}

// speed holds replayed steps against PyTorch's fastest of some ways.
func (r results) speed(name, says string, batch int, times float64, modes []string) finding {
	f, our, their := r.both(fmt.Sprintf("%s in bf16, batch %d: %.1f times PyTorch's %s", says, batch,
		times, strings.Join(modes, ", ")), name, batch, modes)
	if f.missing != "" {
		return f
	}
	best, by := 0.0, ""
	var have []string
	for _, l := range their {
		mode := l.Values["mode"].(string)
		have = append(have, mode)
		if v := l.number("images_per_s"); v > best {
			best, by = v, mode
		}
	}
	ratio := our.number("replayed_images_per_s") / best
	f.reached = ratio >= times
	f.measured = fmt.Sprintf("%.0f and %.0f images/s (%s): %.2f times", ratio*best, best, by, ratio)
	if len(have) < len(modes) {
		f.measured += fmt.Sprintf("; of PyTorch's only %s were measured", strings.Join(have, ", "))
	}
	return f
}

// idle asks for how much of a replayed step no kernel runs.
func (r results) idle(name, says string) finding {
	f := finding{asked: fmt.Sprintf("%s: the GPU idle for less than %.0f %% of a step", says,
		100*mostIdle)}
	lines := r.of("idle", name)
	switch {
	case r.tiny:
		f.missing = "a rehearsal with small shapes"
	case len(lines) == 0:
		f.missing = r.why("idle", "the stage idle has no such line")
	default:
		l := lines[0]
		f.reached = l.number("idle") < mostIdle
		f.measured = fmt.Sprintf("%.1f %% by the kernels' times, %.1f %% by what they and copies "+
			"cover, of %.2f ms", 100*l.number("idle"), 100*l.number("not_busy"),
			1000*l.number("step_seconds"))
	}
	return f
}

// memory holds what we reserve against the least that PyTorch does in any of its ways.
func (r results) memory(name, says string, batch int) finding {
	f, our, their := r.both(says+": memory reserved, at most PyTorch's", name, batch,
		append([]string{"eager"}, rivals...))
	if f.missing != "" {
		return f
	}
	least, by, device := math.Inf(1), "", math.NaN()
	for _, l := range their {
		if v := l.number("memory_reserved"); v < least {
			least, by, device = v, l.Values["mode"].(string), l.number("device_used")
		}
	}
	if by == "" {
		f.missing = "PyTorch's lines do not tell its memory"
		return f
	}
	got := our.number("memory_reserved")
	f.reached = got <= least
	f.measured = fmt.Sprintf("%.2f and %.2f GB (%s, its least); with all that driver and libraries "+
		"keep %.2f and %.2f", got/1e9, least/1e9, by, our.number("device_used")/1e9, device/1e9)
	return f
}

// every asks whether all lines of a stage whose names begin so are good.
func (r results) every(asked, stage, name string) finding {
	f := finding{asked: asked}
	good, bad := 0, []string{}
	for _, l := range r.all {
		if l.Stage != stage || !strings.HasPrefix(l.Name, name) || l.Name == "done" ||
			l.Name == "skipped" {
			continue
		}
		if l.OK {
			good++
		} else {
			bad = append(bad, l.Name)
		}
	}
	if good+len(bad) == 0 {
		f.missing = r.why(stage, "the stage "+stage+" has no such line")
		return f
	}
	f.reached = len(bad) == 0
	f.measured = fmt.Sprintf("%d of %d good", good, good+len(bad))
	if len(bad) > 0 {
		f.measured += "; not " + strings.Join(bad, ", ")
	}
	return f
}

// envelope asks for how many steps a course's losses in F32 stay within a band.
func (r results) envelope(course, count, band string) finding {
	f := finding{asked: course + ", F32: every step in " + band, reached: true}
	var says []string
	for _, l := range r.all {
		if l.Stage != "agreement" || !strings.HasPrefix(l.Name, course+", ") ||
			l.Values["must_stay_inside"] != true {
			continue
		}
		steps, in := l.number("steps"), l.number(count)
		f.reached = f.reached && in == steps
		_, what, _ := strings.Cut(l.Name, ", ")
		says = append(says, fmt.Sprintf("%s: %.0f of %.0f (CPU runs left out %v)", what, in, steps,
			l.Values["cpu_left_out_"+count]))
	}
	if len(says) == 0 {
		f.missing = r.why("agreement", "the stage agreement has no such line")
	}
	f.measured = strings.Join(says, "; ")
	return f
}

// judged leaves out curves that are told and not judged: they are good whatever they are.
func (r results) judged() results {
	r.all = slices.DeleteFunc(slices.Clone(r.all), func(l line) bool {
		return l.Values["must_stay_inside"] == false
	})
	return r
}

// sanitized asks what compute-sanitizer has found. A tool that was ended has not seen all, and says
// nothing of what it has not.
func (r results) sanitized() finding {
	f := r.every("compute-sanitizer finds nothing", "sanitize", "")
	for _, tool := range sanitizers {
		for _, l := range r.of("sanitize", tool) {
			if l.Values["finished"] == false {
				f.reached = false
				f.measured += fmt.Sprintf("; %s was ended after %.0f cases: compute-sanitizer --tool %s "+
					"gpucheck -stage small runs to the end", tool, l.number("cases"), tool)
			}
		}
	}
	return f
}

// leak asks what has grown.
func (r results) leak() finding {
	f := r.every(fmt.Sprintf("no leak over %d steps", wanted), "leak", "")
	for _, l := range r.of("leak", "classifier, replayed") {
		f.measured += fmt.Sprintf("; %.0f replayed steps", l.number("made"))
		f.reached = f.reached && l.number("made") >= wanted
	}
	return f
}
