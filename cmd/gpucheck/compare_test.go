package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare wants a speed compared with that of the same case alone, joules the other way round,
// and cases that only one run has left out.
func TestCompare(t *testing.T) {
	const before = `{"stage":"steps","name":"a","ok":true,"means":1,"values":{"batch":64,` +
		`"images_per_s":100,"replayed_joules_per_image":2,"memory":{"Held":1}}}
{"stage":"steps","name":"redefined","ok":true,"means":1,"values":{"images_per_s":100}}
{"stage":"steps","name":"a","ok":true,"values":{"batch":128,"images_per_s":100}}
{"stage":"ceilings","name":"x","ok":true,"values":{"product_tflops":10}}
`
	const now = `{"stage":"steps","name":"a","ok":true,"values":{"batch":64,"images_per_s":150,` +
		`"replayed_joules_per_image":4}}
{"stage":"steps","name":"a","ok":true,"values":{"batch":128,"images_per_s":101}}
{"stage":"steps","name":"b","ok":true,"values":{"images_per_s":1}}
{"stage":"steps","name":"redefined","ok":true,"means":2,"values":{"images_per_s":300}}
`
	path := filepath.Join(t.TempDir(), "last.jsonl")
	if err := os.WriteFile(path, []byte(before), 0o666); err != nil {
		t.Fatal(err)
	}
	was, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	is, err := parseResults(strings.NewReader(now))
	if err != nil {
		t.Fatal(err)
	}
	var out, says bytes.Buffer
	compare(was, is, &out, &says)
	l, err := parseResults(&out)
	if err != nil {
		t.Fatal(err)
	}
	changed, _ := l[0].Values["changed"].(map[string]any)
	if l[0].Values["compared"] != 3.0 || l[0].Values["meant_something_else"] != 1.0 ||
		len(changed) != 2 ||
		changed["steps, a, batch 64: images_per_s"] != 1.5 ||
		changed["steps, a, batch 64: replayed_joules_per_image"] != 0.5 {
		t.Errorf("%+v\n%s", l[0], says.String())
	}
	if _, err := parseResults(strings.NewReader("{}\n")); err == nil {
		t.Error("a line of another program was read")
	}
	if _, err := readResults(os.DevNull); err == nil {
		t.Error("an empty file was read")
	}
}

// TestCompareCards wants nothing compared with another card's run.
func TestCompareCards(t *testing.T) {
	run := func(name string) []line {
		lines, err := parseResults(strings.NewReader(`{"stage":"report","name":"find","ok":true,` +
			`"values":{"devices":[{"name":"` + name + `"}]}}` + "\n" +
			`{"stage":"steps","name":"a","ok":true,"values":{"images_per_s":100}}` + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	for name, want := range map[string]string{"H100": "", "H200": "on H100, this one on H200"} {
		var out, says bytes.Buffer
		compare(run("H100"), run(name), &out, &says)
		if l, err := parseResults(&out); err != nil || l[0].OK != (want == "") ||
			!strings.Contains(l[0].Error, want) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

// TestLines wants results passed on whole and whatever else a stage prints kept apart.
func TestLines(t *testing.T) {
	var out, rest bytes.Buffer
	l := lines{out: &out, rest: &rest}
	for _, part := range []string{"a library's word\n{\"stage\":", "\"a\",\"name\":\"b\"}\n{\"st",
		"age\":\"a\",\"name\":\"c\"}\n{}\n{\"stage\":\"a\",\"na"} {
		l.Write([]byte(part))
	}
	l.end()
	if out.String() != "{\"stage\":\"a\",\"name\":\"b\"}\n{\"stage\":\"a\",\"name\":\"c\"}\n" ||
		rest.String() != "a library's word\n{}\n{\"stage\":\"a\",\"na\n" {
		t.Errorf("passed %q, kept apart %q", out.String(), rest.String())
	}
}

// TestSay wants a line to come out whatever it measured.
func TestSay(t *testing.T) {
	var out bytes.Buffer
	c := &check{out: json.NewEncoder(&out)}
	c.say(line{Stage: "agreement", Name: "a", OK: true, Values: map[string]any{"worst": math.NaN()}})
	c.say(line{Stage: "agreement", Name: "b", OK: true, Values: map[string]any{"v": func() {}}})
	got, err := parseResults(&out)
	if err != nil || len(got) != 2 || got[0].Values["worst"] != "NaN" || got[1].Error == "" ||
		!c.failed {
		t.Errorf("%+v, %v, failed %v", got, err, c.failed)
	}
}
