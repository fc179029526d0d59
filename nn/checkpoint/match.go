package checkpoint

import (
	"fmt"
	"slices"
	"strings"
)

// A Want is an array that a network expects, by name and shape.
type Want struct {
	Name  string
	Shape []int
}

// A MatchError lists how a File differs from what a network expects.
type MatchError struct {
	File     string     // where the arrays came from
	Missing  []string   // wanted and not in the file
	Extra    []string   // in the file and not wanted
	Shapes   []Misshape // in both with different shapes
	Wanted   int        // how many arrays were wanted
	Have     int        // how many the file has, without ignored ones
	Prefix   string     // a prefix that, taken off, would give missing names, if there is one
	Permuted bool       // all mis-shaped arrays have the wanted number of elements
}

// A Misshape is one array whose shape is not the wanted one.
type Misshape struct {
	Name       string
	Want, Have []int
}

// Error gives one line for each kind of difference: at most 8 names of each, and counts.
func (e *MatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "checkpoint: Match: %s does not fit the network: expected %d arrays, got %d",
		e.where(), e.Wanted, e.Have)
	if len(e.Missing) > 0 {
		fmt.Fprintf(&b, "\n  missing %d: %s", len(e.Missing), listed(e.Missing))
	}
	if len(e.Extra) > 0 {
		fmt.Fprintf(&b, "\n  extra %d: %s", len(e.Extra), listed(e.Extra))
	}
	if len(e.Shapes) > 0 {
		fmt.Fprintf(&b, "\n  wrong shape %d:", len(e.Shapes))
		for i, s := range e.Shapes[:min(len(e.Shapes), maxListed)] {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s expected %v, got %v", quote(s.Name), s.Want, s.Have)
		}
		if more := len(e.Shapes) - maxListed; more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	b.WriteString("\n  " + e.next())
	return b.String()
}

func (e *MatchError) where() string {
	if e.File == "" {
		return "the checkpoint"
	}
	return e.File
}

func (e *MatchError) next() string {
	switch {
	case e.Prefix != "":
		return fmt.Sprintf("the file's names carry the prefix %q: strip it", e.Prefix)
	case e.Permuted && len(e.Missing) == 0 && len(e.Extra) == 0:
		return "the element counts agree, so the layout differs (PyTorch stores OIHW): transpose"
	}
	return "use a checkpoint of this network, or the network (depth, width, classes) of this " +
		"checkpoint"
}

// ignored are batch norm's step counters, which PyTorch has stored since 0.4.1 and which nothing
// reads when momentum is a number.
func ignored(name string) bool {
	return name == "num_batches_tracked" || strings.HasSuffix(name, ".num_batches_tracked")
}

// Match checks that have holds exactly the wanted arrays with the wanted shapes, and returns nil or
// one *MatchError that lists what is missing, extra and mis-shaped. Names that are or end in
// "num_batches_tracked" are ignored on both sides. Dtypes are not compared: Float32s converts.
func Match(have *File, want []Want) error {
	e := &MatchError{File: have.Path, Permuted: true}
	wanted := make(map[string]bool, len(want))
	for _, w := range want {
		if ignored(w.Name) {
			continue
		}
		wanted[w.Name] = true
		e.Wanted++
		a, ok := have.Get(w.Name)
		switch {
		case !ok:
			e.Missing = append(e.Missing, w.Name)
		case !slices.Equal(a.Shape, w.Shape):
			e.Shapes = append(e.Shapes, Misshape{w.Name, w.Shape, a.Shape})
			n, _ := byteSize(w.Shape, 1)
			e.Permuted = e.Permuted && n == a.Len()
		}
	}
	for _, n := range have.names {
		if ignored(n) {
			continue
		}
		e.Have++
		if !wanted[n] {
			e.Extra = append(e.Extra, n)
		}
	}
	if len(e.Missing)+len(e.Extra)+len(e.Shapes) == 0 {
		return nil
	}
	e.Prefix = prefixOf(e.Extra, e.Missing)
	return e
}

// prefixOf returns the prefix that the first missing name has in an extra one, "" when none has it.
func prefixOf(extra, missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	for _, n := range extra {
		if p, ok := strings.CutSuffix(n, missing[0]); ok && strings.HasSuffix(p, ".") {
			return p
		}
	}
	return ""
}
