package bench

import (
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"afterimage/gan"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/conv"
)

// TestKernelsMeasureWhatIsAsked checks the selection and that a row's figures fit each other.
func TestKernelsMeasureWhatIsAsked(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	observed := 0
	rows, err := Kernels(b, Options{Seconds: 1e-3,
		Only:    regexp.MustCompile(`^sgemm 256×256×256$|^add/n128`),
		Observe: func(Row) { observed++ }})
	if err != nil || len(rows) != 2 || observed != 2 || rows[0].Name != "sgemm" ||
		rows[1].Name != "add" {
		t.Fatalf("got %d rows, %d observed: %+v", len(rows), observed, rows)
	}
	work := []float64{2 * 256 * 256 * 256 / 1e9, 3 * 4 * 128 * 32 * 32 * 16 / 1e9}
	for i, r := range rows {
		if r.Runs < minRuns || !(r.Min > 0 && r.Min <= r.Median && r.Median <= r.Max) {
			t.Errorf("%s: runs %d, times %g ≤ %g ≤ %g do not fit", r.Name, r.Runs, r.Min, r.Median,
				r.Max)
		}
		if math.Abs(r.Rate*r.Median-work[i]) > 1e-12 ||
			math.Abs(r.Fraction*r.Bound-r.Rate) > 1e-9*r.Rate {
			t.Errorf("%s: rate %g × %g s is not the work %g, or fraction %g of %g is not the rate",
				r.Name, r.Rate, r.Median, work[i], r.Fraction, r.Bound)
		}
	}
}

// TestConvShapes: ResNet-20 has a stem, three sizes of inner convolution and two strided ones.
func TestConvShapes(t *testing.T) {
	want := []convCase{
		{conv.Square(128, 32, 32, 3, 16, 3, 1, 1), map[string]int{"resnet20-cifar": 1}},
		{conv.Square(128, 32, 32, 16, 16, 3, 1, 1), map[string]int{"resnet20-cifar": 6}},
		{conv.Square(128, 32, 32, 16, 32, 3, 2, 1), map[string]int{"resnet20-cifar": 1}},
		{conv.Square(128, 16, 16, 32, 32, 3, 1, 1), map[string]int{"resnet20-cifar": 5}},
		{conv.Square(128, 16, 16, 32, 64, 3, 2, 1), map[string]int{"resnet20-cifar": 1}},
		{conv.Square(128, 8, 8, 64, 64, 3, 1, 1), map[string]int{"resnet20-cifar": 5}}}
	if got := convShapes()[:len(want)]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, expected %+v", got, want)
	}
}

// TestConvWorkIsTheNetworks: over all shapes, what a network's convolutions and linear layers
// multiply is what the network says of itself, batch by batch.
func TestConvWorkIsTheNetworks(t *testing.T) {
	shapes, linear := convShapes(), linearShapes()
	for _, n := range nets() {
		got := 0.0
		for _, c := range shapes {
			got += c.FLOPs() * float64(c.uses[n.name])
		}
		for _, l := range linear {
			got += 2 * float64(l.rows*l.out*l.in*l.uses[n.name])
		}
		m := n.build().(interface{ MACs() int })
		want := 2 * float64(m.MACs()*n.batch)
		if d, ok := m.(*gan.Discriminator); ok {
			want -= 2 * float64(d.Linear.MACs()*n.batch) // a single output: no matrix product
		}
		if math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s: shapes count %g operations, the network %g", n.name, got, want)
		}
	}
}

// TestSteps measures the inverter's step and a copy of the bookkeeping: memory, mallocs, images.
func TestSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("short: eight training steps take a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	rows, err := Steps(b, Options{Seconds: 1e-3, Only: regexp.MustCompile("^step/slim32")})
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %d rows, error %v", len(rows), err)
	}
	r := rows[0]
	if r.PeakBytes < 1<<20 || r.MallocsPerRun < 1 ||
		math.Abs(r.ImagesPerSecond*r.Median-32) > 1e-9 || r.WaitFraction == nil ||
		!(*r.WaitFraction >= 0 && *r.WaitFraction < 1) {
		t.Errorf("memory %d, mallocs %g, %g images/s at %g s, waits %v do not fit", r.PeakBytes,
			r.MallocsPerRun, r.ImagesPerSecond, r.Median, r.WaitFraction)
	}
}

// TestTable checks that rows line up under the header, characters counted, not bytes.
func TestTable(t *testing.T) {
	r := Row{Name: "conv forward", Shape: "128×32²×16 → 16  3×3", Median: 3e-3, Min: 2.5e-3,
		Max: 0.4, Rate: 200,
		Unit: FLOPs, Bound: 215, Fraction: 0.93, CPUFraction: 0.95}
	head, line := []rune(Header()), []rune(r.String())
	for _, column := range []string{"median", "rate", "of bound", "by CPU"} {
		end := len([]rune(string(head)[:strings.Index(string(head), column)])) + len(column)
		if end > len(line) || line[end-1] == ' ' || end < len(line) && line[end] != ' ' {
			t.Errorf("no column of\n%s\nends below %q of\n%s", string(line), column, string(head))
		}
	}
}

// TestRatePerCPU: a CPU second does the same work for one thread and for two, whoever else has the
// processor. Times that are short for the system's clock would leave out the second thread.
func TestRatePerCPU(t *testing.T) {
	// A thread left out makes 2; the clock's own error is a tick in manyTicks of each. Two threads
	// share memory and caches, and a neighbour may have most of those.
	const most, least = 1.6, 1. / 3
	one, two := cpu.Open(1), cpu.Open(2)
	defer one.Close()
	defer two.Close()
	for _, s := range []Spec{{Unit: FLOPs}, {Unit: Bytes, Work: 1e-3}} {
		a, b := ratePerCPU(one, s), ratePerCPU(two, s)/2
		if !(a > 0) || b < least*a || b > most*a {
			t.Errorf("%s: a CPU second of one thread does %g, of two %g each", s.Unit, a, b)
		}
	}
}
