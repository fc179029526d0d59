package fakecuda

import (
	"os"
	"testing"
)

// TestBuild compiles every fake without a warning, wherever Build finds them compiled.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("short: Build compiles what has changed, too")
	}
	dir := t.TempDir()
	if err := build(dir); err != nil {
		t.Fatal(err)
	}
	l := in(dir)
	for _, p := range []string{l.Driver, l.Old, l.NVRTC, l.Lt, l.DNN, l.CUPTI} {
		if info, err := os.Stat(p); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestBuildOnce: what is compiled is found again, and another cache gets its own.
func TestBuildOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("short: compiles every fake")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	first, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first.Driver)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Build()
	if err != nil || again != first {
		t.Fatalf("%+v and then %+v, %v", first, again, err)
	}
	if after, err := os.Stat(again.Driver); err != nil || !os.SameFile(before, after) {
		t.Errorf("compiled twice, or %v", err)
	}
}
