package fakecuda

import (
	"os"
	"testing"
)

// TestBuild compiles every fake without a warning.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the example compiles them, too")
	}
	l, err := Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{l.Driver, l.Old, l.NVRTC, l.Lt, l.DNN} {
		if info, err := os.Stat(p); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
}
