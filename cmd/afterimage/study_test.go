package main

import (
	"encoding/json"
	"testing"
)

// TestStudyFacts: a page names what computed the trainings, whoever writes it, and the writer
// beside them where that is another program.
func TestStudyFacts(t *testing.T) {
	record := func(revision string, threads int) json.RawMessage {
		raw, err := json.Marshal(environment{Revision: revision, CPU: "X", Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	now := environment{Revision: "new", CPU: "Y", Threads: 8}
	for _, c := range []struct {
		name    string
		trained []json.RawMessage
		want    map[string]string
	}{
		{"no trainings", nil, map[string]string{"Program": "afterimage new", "Threads": "8"}},
		{"finished elsewhere", []json.RawMessage{record("old", 2), record("old", 1), record("old", 2)},
			map[string]string{"Program": "afterimage old", "Threads": "2; 1", "Processor": "X",
				"Page written by": "afterimage new"}},
		{"gone on with here", []json.RawMessage{record("old", 2), record("new", 8)},
			map[string]string{"Program": "afterimage old; afterimage new", "Page written by": ""}},
		{"cut short", []json.RawMessage{record("new", 2), json.RawMessage(`{"revision":`)},
			map[string]string{"Program": "afterimage new", "Threads": "2"}},
	} {
		got := map[string]string{}
		for _, f := range studyFacts(now, c.trained) {
			got[f.Name] = f.Value
		}
		for name, value := range c.want {
			if got[name] != value {
				t.Errorf("%s: %s is %q, expected %q", c.name, name, got[name], value)
			}
		}
	}
}
