package bench

import (
	"regexp"
	"strings"
	"testing"

	"afterimage/tensor/cpu"
)

// TestSpeedUpArithmetic: quotients of rounds, and the roofline's of medians.
func TestSpeedUpArithmetic(t *testing.T) {
	u := SpeedUp{Name: "step", Shape: "8×8", Threads: 2, One: []float64{2, 3, 2},
		Many: []float64{1, 2, 1.25}, RooflineOne: []float64{1, 5, 1.5},
		RooflineMany: []float64{1, 0.75, 0.5}}
	u.finish()
	if u.Ratio != 1.6 || u.Low != 1.5 || u.High != 2 || u.Roofline != 2 || u.Fraction != 0.8 {
		t.Errorf("got %+v", u)
	}
	head, line := []rune(ScalingHeader(2)), []rune(u.String())
	if len(head) != len(line) || !strings.Contains(string(line), "80 %") {
		t.Errorf("not one table:\n%s\n%s", string(head), string(line))
	}
	u = SpeedUp{}
	u.finish() // nothing measured
	if u.Ratio != 0 || u.Fraction != 0 {
		t.Errorf("of nothing: %+v", u)
	}
}

// TestSpeedUps measures a step with both numbers of threads.
func TestSpeedUps(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a score of training steps takes a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	observed := 0
	all, err := SpeedUps(b, Options{Only: regexp.MustCompile("^step/biggan32-ch16-n32-D$")}, 2,
		func(SpeedUp) { observed++ })
	if err != nil || len(all) != 1 || observed != 1 {
		t.Fatalf("%d steps, %d observed: %v", len(all), observed, err)
	}
	if u := all[0]; u.Threads != 2 || len(u.One) != 2 || len(u.RooflineMany) != 2 || !(u.Ratio > 0) ||
		!(u.Roofline > 0) { // how much, a machine with neighbours does not tell
		t.Errorf("got %+v", u)
	}
}
