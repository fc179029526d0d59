package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare wants a speed compared with that of the same case alone, joules the other way round,
// and cases that only one run has left out.
func TestCompare(t *testing.T) {
	const before = `{"stage":"steps","name":"a","ok":true,"values":{"batch":64,"images_per_s":100,` +
		`"replayed_joules_per_image":2,"memory":{"Held":1}}}
{"stage":"steps","name":"a","ok":true,"values":{"batch":128,"images_per_s":100}}
{"stage":"ceilings","name":"x","ok":true,"values":{"product_tflops":10}}
`
	const now = `{"stage":"steps","name":"a","ok":true,"values":{"batch":64,"images_per_s":150,` +
		`"replayed_joules_per_image":4}}
{"stage":"steps","name":"a","ok":true,"values":{"batch":128,"images_per_s":101}}
{"stage":"steps","name":"b","ok":true,"values":{"images_per_s":1}}
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
	if l[0].Values["compared"] != 3.0 || len(changed) != 2 ||
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
