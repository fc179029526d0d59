package train_test

import (
	"os"
	"path/filepath"
	"testing"

	"afterimage/nn/train"

	"github.com/google/go-cmp/cmp"
)

// TestDiffLeavesOutWhatVaries: equal runs on a GPU have their own telemetry, and may have chosen
// other plans; other pictures are a difference.
func TestDiffLeavesOutWhatVaries(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{a: "1", b: "2"} {
		for _, name := range []string{train.EnvironmentFile, train.EventsFile, train.TelemetryFile,
			train.PlansFile, "sheet.png"} {
			if name == train.TelemetryFile && dir == a {
				continue // no gpumon beside the program
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := train.Diff(a, b)
	if diff := cmp.Diff([]string{"sheet.png differs"}, got); err != nil || diff != "" {
		t.Errorf("error %v, differences (-want +got):\n%s", err, diff)
	}
}
