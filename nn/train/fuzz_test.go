package train

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// Bounds on what reading a configuration or a log may allocate in total for n bytes.
const (
	// fuzzFactor: the YAML reader keeps each token with its neighbours, copies the text for its
	// message, and its parser allocates anew at every depth up to yamlDepth; a JSON number of two
	// bytes becomes a map of some three hundred.
	fuzzFactor = 8192
	// fuzzSlack: what the fuzzing worker itself allocates.
	fuzzSlack = 8 << 20
)

// allocated fails if f allocates more than it may for n bytes of input.
func allocated(t *testing.T, n int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(fuzzFactor*n+fuzzSlack) {
		t.Fatalf("%d bytes of input: allocated %d bytes", n, got)
	}
}

// FuzzYAML reads arbitrary text as a classifier's configuration; what is valid is written and read
// again alike.
func FuzzYAML(f *testing.F) {
	text, err := yaml.Marshal(ClassifierConfig{Kind: "classifier", Arch: "resnet8", Dataset: "scenes",
		Epochs: 1, Batch: 4, LR: 0.1, Schedule: "constant", Mean: []float64{1, 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	for _, s := range []string{"", "kind: &a [*a]", "a: &a {<<: *a}",
		"mean: [1, .nan, -.inf]\nlr: 1e999", strings.Repeat("[", 500), strings.Repeat("- ", 500),
		strings.Repeat("a: {", 300), "kind: |\n  x\n  y\n---\nkind: z\n",
		"epochs: 0x10\nbatch: 0b11\nseed: -1", "kind: !!int x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c ClassifierConfig
		var err error
		allocated(t, len(text), func() {
			if err = DecodeYAML([]byte(text), &c); err == nil {
				err = c.Validate()
			}
			if err != nil && err.Error() == "" {
				t.Error("an error without a message")
			}
		})
		if err != nil {
			return
		}
		raw, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again ClassifierConfig
		if err := DecodeYAML(raw, &again); err != nil || again.Epochs != c.Epochs ||
			again.Arch != c.Arch {
			t.Fatalf("read again from %q: %+v, %v", raw, again, err)
		}
	})
}

// FuzzMetrics reads arbitrary bytes as a run's log.
func FuzzMetrics(f *testing.F) {
	f.Add([]byte("{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":\"NaN\"}\n{\"step\":3"))
	f.Add([]byte("[[[[\n{}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, MetricsFile), raw, 0o644); err != nil {
			t.Fatal(err)
		}
		allocated(t, len(raw), func() {
			lines, err := ReadMetrics(dir)
			if err == nil && len(lines) > len(raw) {
				t.Fatalf("%d lines of %d bytes", len(lines), len(raw))
			}
		})
	})
}

// What is no configuration is refused before it is parsed.
func TestDecodeYAMLRefuses(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{strings.Repeat("a", yamlMax+1), "expected at most"},
		{"mean: &m [1]\nstd: *m\n", "anchors, aliases and tags"},
		{"attack: {<<: {steps: 1}}\n", "anchors, aliases and tags"},
		{"mean: !!seq x", "anchors, aliases and tags"},
		{strings.Repeat("[", yamlDepth+1), "nested more than"},
		{strings.Repeat("- ", yamlDepth+1) + "x", "nested more than"},
		{"spede: 1\n", "unknown field"},
	} {
		var c ClassifierConfig
		err := DecodeYAML([]byte(tc.text), &c)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.20q…: %v, want %q", tc.text, err, tc.want)
		}
	}
}
