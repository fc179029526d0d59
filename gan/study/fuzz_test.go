package study

import (
	"runtime"
	"testing"
)

// FuzzSpec reads arbitrary text as a study's specification: no panic, no allocation beyond a
// multiple of it; nn/train says which, and why.
func FuzzSpec(f *testing.F) {
	for _, s := range []string{tiny, small, foreign, "name: &a [*a]", "classifiers: {a: b}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Parse([]byte(text))
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(8192*len(text)+8<<20) {
			t.Fatalf("%d bytes of input: allocated %d bytes", len(text), got)
		}
		if err == nil && s.Budget() < 0 && len(s.Inverters) == 0 {
			t.Fatal("a study without inverters was accepted")
		}
	})
}
