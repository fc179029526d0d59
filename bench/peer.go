package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A Peer is a running program that answers Requests.
type Peer struct {
	in    io.WriteCloser
	out   *bufio.Reader
	begin time.Time
	end   func() error // waits for the program's end
	last  *tail        // of what it wrote to its error output
}

// A Starter starts a program that answers Requests.
type Starter func() (*Peer, error)

// Start returns a Starter of a command line.
func Start(command []string) Starter {
	return func() (*Peer, error) {
		c := exec.Command(command[0], command[1:]...)
		in, err := c.StdinPipe()
		if err != nil {
			return nil, &startError{fmt.Errorf("bench: %s: %w", command[0], err)}
		}
		out, err := c.StdoutPipe()
		if err != nil {
			return nil, &startError{fmt.Errorf("bench: %s: %w", command[0], err)}
		}
		last := &tail{}
		c.Stderr = last
		begin := time.Now()
		if err := c.Start(); err != nil {
			return nil, &startError{fmt.Errorf("bench: %s: %w", command[0], err)}
		}
		return &Peer{in: in, out: bufio.NewReader(out), begin: begin, end: c.Wait, last: last}, nil
	}
}

// errPeer is wrapped by errors after which a Peer is of no more use.
var errPeer = errors.New("the measured program ended or does not speak the protocol")

// Ask sends a request and waits for its answer. A refusal is an error, ErrUnsupported among them.
func (p *Peer) Ask(q Request) (Reply, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return Reply{}, fmt.Errorf("bench: %w", err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return Reply{}, fmt.Errorf("bench: %w: %w%s", errPeer, err, p.last)
	}
	line, err = p.out.ReadBytes('\n')
	if err != nil {
		return Reply{}, fmt.Errorf("bench: %w: %w%s", errPeer, err, p.last)
	}
	var r Reply
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("bench: %w: it answered %.80q%s", errPeer, line, p.last)
	}
	if r.Unsupported {
		return r, fmt.Errorf("%s: %w", r.Error, ErrUnsupported)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	if q.Op == "measure" && len(r.Seconds) == 0 {
		return r, fmt.Errorf("bench: %w: it answered %.80q, expected seconds", errPeer, line)
	}
	return r, nil
}

// Close ends the program.
func (p *Peer) Close() error {
	p.in.Close()
	if p.end == nil {
		return nil
	}
	return p.end()
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailBytes is enough for a traceback's end.
const tailBytes = 2000

// Write keeps the last bytes of b.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(b), nil
}

// String returns the last line that says something, to be added to a message.
func (t *tail) String() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}

// A Fresh is what a program started for one step takes.
type Fresh struct {
	FirstStep float64 // seconds from its start to the end of its first step
	Growth    int     // of the largest resident bytes over those after start, in three more steps
	Total     int     // the largest resident bytes
}

// StartFresh starts a program, has it make four steps in the given mode and ends it.
func StartFresh(start Starter, step Spec, mode string) (f Fresh, err error) {
	p, err := start()
	if err != nil {
		return f, err
	}
	defer func() {
		if e := p.Close(); err == nil && e != nil {
			err = fmt.Errorf("bench: %w: %w%s", errPeer, e, p.last)
		}
	}()
	q := Request{Op: "measure", Spec: &step, Mode: mode, Least: 1}
	if _, err = p.Ask(q); err != nil {
		return f, err
	}
	f.FirstStep = time.Since(p.begin).Seconds()
	q.Least = 3
	if _, err = p.Ask(q); err != nil {
		return f, err
	}
	m, err := p.Ask(Request{Op: "memory"})
	if err != nil {
		return f, err
	}
	f.Growth, f.Total = m.Peak-m.Start, m.Peak
	return f, nil
}
