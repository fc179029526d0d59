package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
)

// serving returns a Peer that talks to Serve over pipes, and what Serve ended with.
func serving(t *testing.T) (*Peer, chan error) {
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(func() *cpu.Backend { return cpu.Open(1) }, requests, answers,
			map[string]any{"program": "afterimage"})
		answers.Close()
		requests.Close()
	}()
	return &Peer{in: in, out: bufio.NewReader(out)}, ended
}

// TestServe asks everything there is to ask, and what there is not.
func TestServe(t *testing.T) {
	p, ended := serving(t)
	hello, err := p.Ask(Request{Op: "hello"})
	if err != nil || hello.Environment["program"] != "afterimage" {
		t.Errorf("%+v, %v", hello, err)
	}
	add := shrunk(elementSpecs()[2])
	for range 2 { // the second time it is ready already
		r, err := p.Ask(Request{Op: "measure", Spec: &add, WarmUps: 2, Least: 3, Bound: true})
		if err != nil || len(r.Seconds) != 3 || !(r.Bound > 0) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	half := shrunk(elementSpecs()[2])
	half.Key, half.Precision = half.Key+"/bf16", "bf16"
	_, err = p.Ask(Request{Op: "measure", Spec: &half, Bound: true})
	if gemm.HasBF16() != (err == nil) || err != nil && !errors.Is(err, ErrUnsupported) {
		t.Errorf("bf16, with the instruction there %v: %v", gemm.HasBF16(), err)
	}
	bf8 := spec("x")
	bf8.Precision = "bf8"
	unknown := spec("y")
	unknown.Kind = "nothing"
	for _, s := range []Spec{bf8, unknown} {
		if _, err := p.Ask(Request{Op: "measure", Spec: &s}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v, expected that there is no way to do it", s.Key, err)
		}
	}
	for _, q := range []Request{{Op: "measure"}, {Op: "dance"}} {
		if _, err := p.Ask(q); err == nil || errors.Is(err, errPeer) {
			t.Errorf("%s: %v, expected a refusal", q.Op, err)
		}
	}
	if r, err := p.Ask(Request{Op: "memory"}); err != nil || r.Peak < r.Start {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := p.Ask(Request{Op: "quit"}); !errors.Is(err, errPeer) {
		t.Errorf("%v, expected that the program has ended", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestServeRefusesWhatIsNotJSON and tells apart an end from a torn line.
func TestServeRefusesWhatIsNotJSON(t *testing.T) {
	for in, good := range map[string]bool{"": true, "{\"op\":\"hello\"}\n": true, "hello\n": false,
		"{\"op\":": false} {
		err := Serve(nil, strings.NewReader(in), io.Discard, nil)
		if (err == nil) != good {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// TestProtocolWords: bench/pytorch/bench.py reads these names.
func TestProtocolWords(t *testing.T) {
	q, err := json.Marshal(Request{Op: "measure", Spec: &Spec{Key: "k", Kind: "add",
		Args: map[string]int{"n": 1}}, Mode: Eager, WarmUps: 2, Least: 1, Seconds: 0.5, Bound: true})
	want := `{"op":"measure","spec":{"key":"k","name":"","shape":"","groups":null,"kind":"add",` +
		`"args":{"n":1},"work":0,"unit":""},"mode":"eager","warmups":2,"least":1,"seconds":0.5,` +
		`"bound":true}`
	if err != nil || string(q) != want {
		t.Errorf("a request is %s, expected %s", q, want)
	}
}

// TestPeerThatTalksNonsense is of no more use.
func TestPeerThatTalksNonsense(t *testing.T) {
	for _, answer := range []string{"hello\n", "{}\n", ""} {
		requests, in := io.Pipe()
		go io.Copy(io.Discard, requests)
		p := &Peer{in: in, out: bufio.NewReader(strings.NewReader(answer))}
		s := spec("x")
		if _, err := p.Ask(Request{Op: "measure", Spec: &s}); !errors.Is(err, errPeer) {
			t.Errorf("%q: %v, expected an error", answer, err)
		}
	}
}
