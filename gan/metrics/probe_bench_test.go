package metrics

import (
	"fmt"
	"testing"
)

// BenchmarkFitProbe measures the sizes the probe is used at: ten logits and 512 features of 10,000
// images, onto 192 block means.
func BenchmarkFitProbe(b *testing.B) {
	for _, p := range []int{10, 512} {
		x, y := randomRows(10_000, p, "x"), randomRows(10_000, 192, "y")
		b.Run(fmt.Sprint(p), func(b *testing.B) {
			for b.Loop() {
				if _, err := FitProbe(x, y, ProbeConfig{Key: testKey}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
