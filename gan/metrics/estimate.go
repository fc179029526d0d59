package metrics

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// An Estimate is a statistic with its 95 % bootstrap interval over N images. Images only: it
// says nothing about training the same networks with another seed.
type Estimate struct {
	Value, Lo, Hi float64
	N             int // images it was computed from
}

// Digits returns how many decimals e is worth: enough to show two significant digits of half
// the interval's width, at most six; with no interval, four significant digits of the value.
func (e Estimate) Digits() int {
	scale := (e.Hi - e.Lo) / 2
	lead := 1 // digits of scale that are shown after its first
	if !(scale > 0) || math.IsInf(scale, 0) {
		scale, lead = math.Abs(e.Value), 3
	}
	if scale == 0 || math.IsInf(scale, 0) || math.IsNaN(scale) {
		return 0
	}
	return min(max(lead-int(math.Floor(math.Log10(scale))), 0), 6)
}

// Format returns the value and its interval as text: "30.0" and "[28.1, 32.2]", with Digits
// decimals and a true minus sign. An undefined value is "n/a", one without an interval has "".
func (e Estimate) Format() (value, interval string) {
	if math.IsNaN(e.Value) {
		return "n/a", ""
	}
	d := e.Digits()
	value = number(e.Value, d)
	if math.IsNaN(e.Lo) || math.IsNaN(e.Hi) {
		return value, ""
	}
	return value, "[" + number(e.Lo, d) + ", " + number(e.Hi, d) + "]"
}

// String returns "30.0 [28.1, 32.2]", or "n/a".
func (e Estimate) String() string {
	v, i := e.Format()
	if i == "" {
		return v
	}
	return v + " " + i
}

// number formats v with d decimals; infinity is ∞ and a rounded-away minus sign is dropped.
func number(v float64, d int) string {
	if math.IsInf(v, 0) {
		return map[bool]string{true: "∞", false: "−∞"}[v > 0]
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', d, 64)
	if rounded, err := strconv.ParseFloat(s, 64); v < 0 && err == nil && rounded != 0 {
		return "−" + s
	}
	return s
}

type estimateJSON struct {
	Value *float64 `json:"value"`
	Lo    *float64 `json:"lo"`
	Hi    *float64 `json:"hi"`
	N     int      `json:"n"`
}

// MarshalJSON writes {"value":30,"lo":28.1,"hi":32.2,"n":1000}; what is not finite is null.
func (e Estimate) MarshalJSON() ([]byte, error) {
	finite := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	return json.Marshal(estimateJSON{finite(e.Value), finite(e.Lo), finite(e.Hi), e.N})
}

// UnmarshalJSON reads what MarshalJSON writes; null becomes NaN.
func (e *Estimate) UnmarshalJSON(b []byte) error {
	var j estimateJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("metrics: Estimate: %w: expected {value, lo, hi, n}", err)
	}
	value := func(p *float64) float64 {
		if p == nil {
			return math.NaN()
		}
		return *p
	}
	*e = Estimate{value(j.Value), value(j.Lo), value(j.Hi), j.N}
	return nil
}
