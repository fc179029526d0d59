package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"afterimage/tensor/cpu"
)

// Serve answers Requests, a line each, until "quit" or the end of in: `afterimage bench compare`
// keeps two programs alive that way and measures them in turn. Each spec runs on a backend of its
// own, made by open. Errors: a line that is not JSON, or that cannot be written.
func Serve(open func() *cpu.Backend, in io.Reader, out io.Writer,
	environment map[string]any) error {
	s := &server{open: open, environment: environment}
	defer s.drop()
	s.start, _ = resident()
	lines, answers := bufio.NewReader(in), json.NewEncoder(out)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		var q Request
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("bench: Serve: a request is not a line of JSON: %w", err)
		}
		if q.Op == "quit" {
			return nil
		}
		if err := answers.Encode(s.answer(q)); err != nil {
			return fmt.Errorf("bench: Serve: %w", err)
		}
	}
}

// A server keeps the job of the last request ready.
type server struct {
	open        func() *cpu.Backend
	environment map[string]any
	start       int

	key     string
	backend *cpu.Backend
	job     job
}

func (s *server) answer(q Request) Reply {
	switch q.Op {
	case "hello":
		return Reply{Environment: s.environment}
	case "memory":
		_, peak := resident()
		return Reply{Start: s.start, Peak: peak}
	case "measure":
		r, err := s.measure(q)
		if err != nil {
			return Reply{Error: err.Error(), Unsupported: errors.Is(err, ErrUnsupported)}
		}
		return r
	}
	return Reply{Error: fmt.Sprintf("bench: Serve: unknown op %q: expected hello, measure, memory or "+
		"quit", q.Op)}
}

func (s *server) measure(q Request) (Reply, error) {
	if q.Spec == nil {
		return Reply{}, fmt.Errorf("bench: Serve: measure without a spec")
	}
	if s.key != q.Spec.Key {
		s.drop()
		b := s.open()
		j, err := open(b, *q.Spec)
		if err != nil {
			b.Close()
			return Reply{}, err
		}
		s.key, s.backend, s.job = q.Spec.Key, b, j
		if q.Bound {
			if s.job.tally, err = count(b, *q.Spec); err != nil {
				return Reply{}, err
			}
		}
		if err := j.warm(q.WarmUps); err != nil {
			return Reply{}, err
		}
	}
	var t timing
	var err error
	if least := max(q.Least, 1); q.Bound {
		t, err = s.job.boundedTimes(s.backend, *q.Spec, least, q.Seconds)
	} else {
		t, err = s.job.times(least, q.Seconds, func() {})
	}
	if err != nil {
		return Reply{}, err
	}
	return Reply{Seconds: t.seconds, CPU: t.cpu / float64(len(t.seconds)), Bound: t.bound,
		Roofline: t.roofline}, nil
}

// drop frees the present job.
func (s *server) drop() {
	if s.key != "" {
		s.job.close()
		s.backend.Close()
		s.key = ""
	}
}

// resident returns the process's resident bytes, now and at most so far; zeros where the system
// does not tell.
func resident() (now, peak int) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return now, peak
}
