package bench

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// CompareOptions say how two programs are compared.
type CompareOptions struct {
	Only    *regexp.Regexp // rows that it does not match are left out; nil: all
	Threads int            // that both programs were started with
	Rounds  int            // how often the two take turns on a row
	Seconds float64        // of measuring a row, for each program and round; at least one run
	Modes   []string       // the other program's ways that are tried; nil: all
	// Fresh starts the other program where its start or its memory is measured; nil: as elsewhere.
	// What makes it faster may cost it either.
	Fresh Starter
	// Done returns a row that an earlier session has measured, so that it is not measured again;
	// nil: none.
	Done func(key string, threads int) (Comparison, bool)
	// Observe gets every row as soon as it is there.
	Observe func(Comparison) error
}

// A Comparison is one row measured in both programs, in turn.
type Comparison struct {
	Key     string         `json:"key"`
	Name    string         `json:"name"`
	Shape   string         `json:"shape"`
	Groups  []string       `json:"groups"`
	Threads int            `json:"threads"`
	Session int            `json:"session,omitempty"` // of Record.Sessions, from 1 on
	Unit    string         `json:"unit"`
	Work    float64        `json:"work"`
	Uses    map[string]int `json:"uses,omitempty"`

	// Ours and Theirs are one number a round: the median time of its runs in seconds, or, in memory
	// rows, bytes. Theirs is the best of Modes, Best its name.
	Ours   []float64            `json:"ours,omitempty"`
	Theirs []float64            `json:"theirs,omitempty"`
	Best   string               `json:"best,omitempty"`
	Modes  map[string][]float64 `json:"modes,omitempty"`

	// Ratio is the median over the rounds of theirs / ours: above 1 this program is faster, or takes
	// less. Low and High are its extremes. 0: one of the two has no figure.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`

	// Bound and, of a step, Roofline are what the machine can do, measured by our program beside the
	// row: a rate in Unit, and seconds of a run at least. They are medians of the rounds.
	Bound       float64 `json:"bound,omitempty"`
	Roofline    float64 `json:"roofline,omitempty"`
	TotalOurs   float64 `json:"total_ours,omitempty"`
	TotalTheirs float64 `json:"total_theirs,omitempty"` // of memory rows: all resident bytes
	// Notes say why a figure is missing.
	Notes []string `json:"notes,omitempty"`
}

// alive is how much slower than the best after the first round a mode may be to take part in the
// others.
const alive = 1.10

// pause lets the threads of the program that has just answered go to sleep: both programs' workers
// wait actively for a moment, which would be taken from the other one's time.
const pause = 20 * time.Millisecond

// Compare measures every row of list in two programs, A B A B …, and gives each to o.Observe. The
// programs are started once and kept, and started again when one has ended; a row that a program
// cannot do says so. Errors: a program that does not start, or what Observe returns.
func Compare(list []Spec, ours, theirs Starter, o CompareOptions) error {
	c := &comparer{o: o, ours: &side{start: ours}, theirs: &side{start: theirs},
		rows: map[string]Comparison{}}
	defer c.ours.drop()
	defer c.theirs.drop()
	for _, s := range list {
		if !s.Matches(o.Only) {
			continue
		}
		if o.Done != nil {
			if _, ok := o.Done(s.Key, o.Threads); ok {
				continue
			}
		}
		r, err := c.row(s)
		if err != nil {
			return err
		}
		c.rows[s.Key] = r
		if err := o.Observe(r); err != nil {
			return err
		}
	}
	return nil
}

// A side is one of the two programs.
type side struct {
	start Starter
	peer  *Peer
}

// ask starts the program if it is not running. A program that broke off is ended, so that the next
// row starts it anew.
func (s *side) ask(q Request) (Reply, error) {
	if s.peer == nil {
		p, err := s.start()
		if err != nil {
			return Reply{}, err
		}
		s.peer = p
	}
	r, err := s.peer.Ask(q)
	if errors.Is(err, errPeer) {
		s.drop()
	}
	return r, err
}

func (s *side) drop() {
	if s.peer != nil {
		s.peer.Close()
		s.peer = nil
	}
}

type comparer struct {
	o            CompareOptions
	ours, theirs *side
	rows         map[string]Comparison // of this session, by key
}

// row measures one row.
func (c *comparer) row(s Spec) (Comparison, error) {
	r := Comparison{Key: s.Key, Name: s.Name, Shape: s.Shape, Groups: s.Groups, Unit: s.Unit,
		Threads: c.o.Threads, Work: s.Work, Uses: s.Uses, Modes: map[string][]float64{}}
	var err error
	if s.Target != "" {
		err = c.freshRow(s, &r)
	} else {
		err = c.rounds(s, &r)
	}
	r.finish()
	return r, err
}

// modes returns the other program's ways that are asked for.
func (c *comparer) modes(s Spec) []string {
	if c.o.Modes == nil {
		return s.Modes
	}
	return slices.DeleteFunc(slices.Clone(s.Modes), func(m string) bool {
		return !slices.Contains(c.o.Modes, m) && m != BF16CL && s.Unit != Images
	})
}

// rounds takes turns: ours, then every mode of theirs that is still of interest.
func (c *comparer) rounds(s Spec, r *Comparison) error {
	modes, able := c.modes(s), true
	var bounds, rooflines []float64
	for i := range c.o.Rounds {
		if able {
			reply, err := c.measure(c.ours, s, "", true)
			if able, err = r.note("this program", err); err != nil {
				return err
			}
			if able {
				r.Ours = append(r.Ours, medianOf(reply.Seconds))
				bounds, rooflines = append(bounds, reply.Bound), append(rooflines, reply.Roofline)
			}
		}
		for _, m := range modes {
			reply, err := c.measure(c.theirs, s, m, false)
			ok, err := r.note(m, err)
			if err != nil {
				return err
			}
			if ok {
				r.Modes[m] = append(r.Modes[m], medianOf(reply.Seconds))
			}
		}
		modes = slices.DeleteFunc(modes, func(m string) bool {
			t := r.Modes[m]
			return len(t) <= i || t[0] > alive*r.fastest()
		})
	}
	r.Bound, r.Roofline = medianOf(bounds), medianOf(rooflines)
	return nil
}

// fastest is the best time of the first round.
func (r *Comparison) fastest() float64 {
	best := math.Inf(1)
	for _, t := range r.Modes {
		best = min(best, t[0])
	}
	return best
}

// measure asks one side. Compiling happens in the warm-up.
func (c *comparer) measure(s *side, spec Spec, mode string, bound bool) (Reply, error) {
	time.Sleep(pause)
	return s.ask(Request{Op: "measure", Spec: &spec, Mode: mode, WarmUps: warmUps, Least: 1,
		Seconds: c.o.Seconds, Bound: bound})
}

// failed stands in a note before the reason.
const failed = "failed: "

// note records why a program has no figure; only one that cannot be started is an error.
func (r *Comparison) note(who string, err error) (ok bool, fatal error) {
	if err == nil {
		return true, nil
	}
	var start *startError
	if errors.As(err, &start) {
		return false, err
	}
	text := failed + err.Error()
	if errors.Is(err, ErrUnsupported) {
		text = "has no way to do this"
	}
	r.Notes = append(r.Notes, who+" "+text)
	return false, nil
}

// freshRow measures what takes a program of its own. Both programs at hand are ended first: their
// memory and threads are not to be shared with.
func (c *comparer) freshRow(s Spec, r *Comparison) error {
	c.ours.drop()
	c.theirs.drop()
	fresh := c.o.Fresh
	if fresh == nil {
		fresh = c.theirs.start
	}
	all, plain := NewCatalogue(), strings.TrimSuffix(s.Target, recomputeSuffix)
	step, err := all.Find(s.Target)
	if err != nil {
		return err
	}
	other, err := all.Find(plain) // what the other program makes
	if err != nil {
		return err
	}
	modes := c.modes(s)
	if s.Kind == "memory" {
		best := c.earlier(plain).Best
		modes = slices.DeleteFunc(slices.Clone(modes), func(m string) bool {
			return m != best && m != EagerCL // the fastest way, and the one that is usually smallest
		})
	}
	if len(modes) == 0 && len(s.Modes) > 0 {
		r.Notes = append(r.Notes, "none of the chosen modes is one that this row takes")
	}
	if s.Target != plain { // the same step of theirs
		if same := c.earlier(strings.TrimSuffix(s.Key, recomputeSuffix)); len(same.Theirs) > 0 {
			modes, r.Modes, r.TotalTheirs = nil, same.Modes, same.TotalTheirs
		}
	}
	for range c.o.Rounds {
		for _, m := range append([]string{""}, modes...) {
			start, who, spec := fresh, m, other
			if m == "" {
				start, who, spec = c.ours.start, "this program", step
			}
			f, err := StartFresh(start, spec, m)
			ok, err := r.note(who, err)
			if err != nil {
				return err
			}
			if ok {
				r.fresh(s, m, f)
			}
		}
	}
	return nil
}

// earlier returns a row of this session or, asked for or not, of an earlier one; empty: none.
func (c *comparer) earlier(key string) Comparison {
	r, ok := c.rows[key]
	if !ok && c.o.Done != nil {
		r, _ = c.o.Done(key, c.o.Threads)
	}
	return r
}

// fresh adds one program's figures.
func (r *Comparison) fresh(s Spec, mode string, f Fresh) {
	value, total := f.FirstStep, 0.0
	if s.Kind == "memory" {
		value, total = float64(f.Growth), float64(f.Total)
	}
	if mode == "" {
		r.Ours, r.TotalOurs = append(r.Ours, value), total
		return
	}
	r.Modes[mode] = append(r.Modes[mode], value)
	if r.TotalTheirs == 0 || total < r.TotalTheirs {
		r.TotalTheirs = total
	}
}

// finish chooses the best mode, the one of the smallest median among those that took part to the
// end, and computes the ratios.
func (r *Comparison) finish() {
	rounds := 0
	for _, t := range r.Modes {
		rounds = max(rounds, len(t))
	}
	for m, t := range r.Modes {
		if len(t) == rounds && (r.Best == "" || medianOf(t) < medianOf(r.Theirs) ||
			medianOf(t) == medianOf(r.Theirs) && m < r.Best) {
			r.Best, r.Theirs = m, t
		}
	}
	var ratios []float64
	for i := range min(len(r.Ours), len(r.Theirs)) {
		if q := ratio(r.Theirs[i], r.Ours[i]); q > 0 {
			ratios = append(ratios, q)
		}
	}
	if len(ratios) > 0 {
		r.Ratio, r.Low, r.High = medianOf(ratios), slices.Min(ratios), slices.Max(ratios)
	}
}

// medianOf numbers in any order; 0 of none.
func medianOf(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	return median(slices.Sorted(slices.Values(x)))
}

// A startError says that a program could not be started at all.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// Hello starts a program, asks it for its environment and ends it.
func Hello(start Starter) (map[string]any, error) {
	p, err := start()
	if err != nil {
		return nil, err
	}
	r, err := p.Ask(Request{Op: "hello"})
	if e := p.Close(); err == nil && e != nil {
		err = fmt.Errorf("bench: %w: %w%s", errPeer, e, p.last)
	}
	return r.Environment, err
}
