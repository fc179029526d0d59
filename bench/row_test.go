package bench

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/conv"
)

// TestKernelsMeasureWhatIsAsked checks the selection and that a row's figures fit each other.
func TestKernelsMeasureWhatIsAsked(t *testing.T) {
	b := cpu.Open(2)
	defer b.Close()
	observed := 0
	rows := Kernels(b, Options{Seconds: 1e-3,
		Only:    regexp.MustCompile(`^sgemm 256×256×256$|^add 128`),
		Observe: func(Row) { observed++ }})
	if len(rows) != 2 || observed != 2 || rows[0].Name != "sgemm" || rows[1].Name != "add" {
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

// TestConvShapes: ResNet-20 has a stem, three sizes of inner convolution and two strided ones; the
// multiply-adds of all layers together are held against the published count in nn/models.
func TestConvShapes(t *testing.T) {
	b := cpu.Open(1)
	defer b.Close()
	want := []conv.Shape{
		conv.Square(128, 32, 32, 3, 16, 3, 1, 1), conv.Square(128, 32, 32, 16, 16, 3, 1, 1),
		conv.Square(128, 32, 32, 16, 32, 3, 2, 1), conv.Square(128, 16, 16, 32, 32, 3, 1, 1),
		conv.Square(128, 16, 16, 32, 64, 3, 2, 1), conv.Square(128, 8, 8, 64, 64, 3, 1, 1)}
	var got []conv.Shape
	for _, c := range convShapes(b) {
		if c.nets[0] == "resnet20-cifar" {
			got = append(got, c.Shape)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %d shapes of ResNet-20, expected %d: %+v", len(got), len(want), got)
	}
	for i, s := range want {
		if got[i] != s {
			t.Errorf("shape %d is %+v, expected %+v", i, got[i], s)
		}
	}
}

// TestSteps measures the inverter's step and a copy of the bookkeeping: memory, mallocs, images.
func TestSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("eight training steps take a few seconds")
	}
	b := cpu.Open(2)
	defer b.Close()
	rows, err := Steps(b, Options{Seconds: 1e-3, Only: regexp.MustCompile("BigGAN")})
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %d rows, error %v", len(rows), err)
	}
	r := rows[0]
	if r.PeakBytes < 1<<20 || r.MallocsPerRun < 1 ||
		math.Abs(r.ImagesPerSecond*r.Median-32) > 1e-9 {
		t.Errorf("memory %d, mallocs %g, %g images/s at %g s do not fit", r.PeakBytes,
			r.MallocsPerRun, r.ImagesPerSecond, r.Median)
	}
}

// TestTable checks that rows line up under the header, characters counted, not bytes.
func TestTable(t *testing.T) {
	r := Row{Name: "conv forward", Shape: "128×32²×16 → 16  3×3", Median: 3e-3, Min: 2.5e-3,
		Max: 0.4, Rate: 200,
		Unit: FLOPs, Fraction: 0.93, CPUFraction: 0.95}
	head, line := []rune(Header()), []rune(r.String())
	for _, column := range []string{"median", "rate", "of bound", "by CPU"} {
		end := len([]rune(string(head)[:strings.Index(string(head), column)])) + len(column)
		if end > len(line) || line[end-1] == ' ' || end < len(line) && line[end] != ' ' {
			t.Errorf("no column of\n%s\nends below %q of\n%s", string(line), column, string(head))
		}
	}
}
