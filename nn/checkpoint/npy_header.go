package checkpoint

import (
	"fmt"
	"strconv"
	"strings"
)

// An npyHeader is the Python dict literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3),
// }.
type npyHeader struct {
	descr   string
	fortran bool
	shape   []int
}

// A literal is what is left of the header to parse.
type literal struct{ rest string }

// parseNPYHeader reads exactly the three keys, in any order.
func parseNPYHeader(s string) (npyHeader, error) {
	l := &literal{s}
	var h npyHeader
	if !l.accept("{") {
		return h, fmt.Errorf("expected a dict, got %s", quote(s))
	}
	seen := map[string]bool{}
	for !l.accept("}") {
		key, err := l.text()
		if err != nil {
			return h, err
		}
		if seen[key] || !l.accept(":") {
			return h, fmt.Errorf("expected three keys, each once, before %s", quote(l.rest))
		}
		seen[key] = true
		switch key {
		case "descr":
			h.descr, err = l.text()
		case "fortran_order":
			h.fortran, err = l.boolean()
		case "shape":
			h.shape, err = l.tuple()
		default:
			err = fmt.Errorf("unknown key %s", quote(key))
		}
		if err != nil {
			return h, err
		}
		if !l.accept(",") && !strings.HasPrefix(l.rest, "}") {
			return h, fmt.Errorf("expected a comma before %s", quote(l.rest))
		}
	}
	if len(seen) != 3 {
		return h, fmt.Errorf("expected descr, fortran_order and shape, got %s", quote(s))
	}
	return h, nil
}

// accept skips white space and then the token, if it comes next.
func (l *literal) accept(token string) bool {
	l.rest = strings.TrimLeft(l.rest, " \t\n")
	rest, ok := strings.CutPrefix(l.rest, token)
	l.rest = rest
	if ok {
		l.rest = strings.TrimLeft(l.rest, " \t\n")
	}
	return ok
}

func (l *literal) text() (string, error) {
	for _, q := range []string{"'", `"`} {
		if l.accept(q) {
			s, rest, ok := strings.Cut(l.rest, q)
			if ok {
				l.rest = rest
				l.accept("") // white space
				return s, nil
			}
		}
	}
	return "", fmt.Errorf("expected a quoted string at %s (structured types are not supported)",
		quote(l.rest))
}

func (l *literal) boolean() (bool, error) {
	switch {
	case l.accept("True"):
		return true, nil
	case l.accept("False"):
		return false, nil
	}
	return false, fmt.Errorf("expected True or False at %s", quote(l.rest))
}

func (l *literal) tuple() ([]int, error) {
	if !l.accept("(") {
		return nil, fmt.Errorf("expected a tuple at %s", quote(l.rest))
	}
	shape := []int{}
	for !l.accept(")") {
		end := strings.IndexAny(l.rest, ",)")
		if end < 0 || len(shape) == maxRank {
			return nil, fmt.Errorf("expected at most %d extents and a closing bracket", maxRank)
		}
		digits := strings.TrimSuffix(strings.TrimSpace(l.rest[:end]), "L") // Python 2's long
		d, err := strconv.Atoi(digits)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("expected an extent from 0, got %s", quote(digits))
		}
		shape = append(shape, d)
		l.rest = l.rest[end:]
		l.accept(",")
	}
	return shape, nil
}
