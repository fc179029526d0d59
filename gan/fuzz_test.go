package gan

import (
	"runtime"
	"testing"

	"afterimage/nn/checkpoint"

	"github.com/goccy/go-yaml"
)

// FuzzInverterConfig reads arbitrary metadata as an inverter's configuration: no panic, no
// allocation beyond a multiple of it (nn/train says which, and why), and what is accepted can be
// constructed: parameters are declared, not allocated.
func FuzzInverterConfig(f *testing.F) {
	c := DefaultInverter()
	c.Net = Slim32(2, 10)
	text, err := yaml.Marshal(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("kind: inverter\nnet: {size: 8, g_mult: [1, 1]}")
	f.Add("kind: inverter\nnet: {size: 4611686018427387904, g_mult: [1, 1, 9223372036854775807]}")
	f.Fuzz(func(t *testing.T, text string) {
		file := checkpoint.NewFile()
		file.Metadata[metaConfig] = text
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := storedConfig(file)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(8192*len(text)+8<<20) {
			t.Fatalf("%d bytes of input: allocated %d bytes", len(text), got)
		}
		if err == nil {
			NewGenerator(c.Net)
		}
	})
}
