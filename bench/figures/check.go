package figures

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"
)

// Attr is the key of the test attribute under which Check reports, as JSON of a Measurement.
const Attr = "figure"

// LongEnv, if set, makes tests measure the figures that have a Record, too: minutes each.
const LongEnv = "AFTERIMAGE_LONG"

// DataEnv names the folder of data sets and of other people's files for tests; see Data.
const DataEnv = "AFTERIMAGE_DATA"

// Data returns the folder of data sets and of other people's files, or skips the test, which then
// lacks what lacking says: "no LPIPS weights".
func Data(t testing.TB, lacking string) string {
	t.Helper()
	dir := os.Getenv(DataEnv)
	if dir == "" {
		t.Skipf("%s is not set: %s", DataEnv, lacking)
	}
	return dir
}

// A Measurement is what a test found for a figure.
type Measurement struct {
	Name  string
	Value string // so that NaN survives JSON
}

// Lookup returns the figure called name.
func Lookup(name string) (Figure, error) {
	for _, f := range All() {
		if f.Name == name {
			return f, nil
		}
	}
	return Figure{}, fmt.Errorf("figures: no figure is called %q: add it to All", name)
}

// Check reports a measurement of the figure called name and fails t when it is outside the bound.
// The test ends if there is no such figure.
func Check(t testing.TB, name string, measured float64) {
	t.Helper()
	f, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(Measurement{name, fmt.Sprintf("%.10g", measured)})
	if err != nil {
		t.Fatal(err)
	}
	t.Attr(Attr, string(raw))
	diff, ok := f.Judge(measured)
	if ok {
		return
	}
	bound := fmt.Sprintf("within %.2g", f.Within)
	if f.AtMost > 0 {
		bound = fmt.Sprintf("at most %.10g", f.AtMost)
	}
	if math.IsNaN(measured) {
		diff = measured
	}
	t.Errorf("%s: %.10g, published by %s: %.10g; off by %.2g, expected %s", name, measured, f.Source,
		f.Want, diff, bound)
}
