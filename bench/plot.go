package bench

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"afterimage/tensor/atomicfile"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	glyph "gonum.org/v1/plot/vg/draw"
)

// A chart is one picture: a line a row, the value with its interval along the other axis.
type chart struct {
	file, title, axis string
	names             []string
	values            [][3]float64 // value, low, high
	mark              float64      // where parity, or the bound, is
	ratios            bool         // twice as fast and half as fast lie equally far from parity
}

// Plot draws the record's pictures into dir as SVG and PNG and returns their paths: the groups'
// mean ratios, the ratios of everything but kernels, and how far our kernels are from their bounds,
// for each number of threads.
func (r *Record) Plot(dir string) ([]string, error) {
	var paths []string
	for _, t := range r.Threads() {
		for _, c := range []chart{r.meansChart(t), r.stepsChart(t), r.boundChart(t)} {
			if len(c.names) == 0 {
				continue
			}
			for _, form := range []string{"svg", "png"} {
				path := filepath.Join(dir, fmt.Sprintf("%s-%d.%s", c.file, t, form))
				if err := c.write(path, form); err != nil {
					return paths, err
				}
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

func (c *chart) add(name string, value, low, high float64) {
	c.names = append(c.names, name)
	c.values = append(c.values, [3]float64{value, low, high})
}

func (r *Record) meansChart(threads int) chart {
	c := chart{file: "means", title: "Geometric means by group, " + plural(threads),
		axis: "PyTorch's time over ours (bars: rounds)", mark: 1, ratios: true}
	for _, m := range r.Means(threads) {
		c.add(fmt.Sprintf("%s (%d)", m.Group, m.Rows), m.Ratio, m.Low, m.High)
	}
	return c
}

func (r *Record) stepsChart(threads int) chart {
	c := chart{file: "steps", title: "Steps, inference, start and memory, " + plural(threads),
		axis: "PyTorch's time, or memory, over ours (bars: rounds)", mark: 1, ratios: true}
	for _, row := range r.Rows {
		if row.Threads == threads && row.Ratio > 0 && r.isStep(row) {
			c.add(row.Name+"  "+row.Shape, row.Ratio, row.Low, row.High)
		}
	}
	return c
}

// isStep reports whether a row is none of the kernels.
func (r *Record) isStep(c Comparison) bool {
	groups := []string{"steps", "steps bf16", "growth", "inference", "loader", "start", "memory"}
	return len(c.Groups) > 0 && slices.Contains(groups, c.Groups[0])
}

func (r *Record) boundChart(threads int) chart {
	c := chart{file: "bound", title: "Our kernels against the machine, " + plural(threads),
		axis: "share of multiply-add peak or copy rate (bars: rounds)", mark: 1}
	for _, row := range r.Rows {
		if row.Threads != threads || row.Bound == 0 || len(row.Ours) == 0 || r.isStep(row) {
			continue
		}
		share := func(t float64) float64 { return ratio(ratio(row.Work, t), row.Bound) }
		c.add(row.Name+"  "+row.Shape, share(medianOf(row.Ours)), share(slices.Max(row.Ours)),
			share(slices.Min(row.Ours)))
	}
	return c
}

// Sizes of a chart: a row's height leaves its name legible.
const (
	chartWidth = 18 * vg.Centimeter
	chartTop   = 2.4 * vg.Centimeter
	rowHeight  = 0.48 * vg.Centimeter
)

// scale sets the axis of the values: from 0, or of ratios a logarithmic one.
func (c chart) scale(p *plot.Plot) {
	low, high := c.mark, 0.0
	for _, v := range c.values {
		low, high = min(low, v[1]), max(high, v[2])
	}
	if !c.ratios || low <= 0 {
		p.X.Min, p.X.Max = 0, max(c.mark, 1.05*high)
		return
	}
	p.X.Min, p.X.Max = low/1.1, max(c.mark, high)*1.1
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(ratioTicks)
}

// ratioTicks marks 1, 2 and 5 times the powers of ten within an axis, and over less than a decade
// what lies between.
func ratioTicks(low, high float64) (ticks []plot.Tick) {
	factors := []float64{1, 2, 5}
	if high/low < 10 {
		factors = []float64{1, 1.5, 2, 3, 4, 5, 7}
	}
	for e := math.Floor(math.Log10(low)); e <= math.Log10(high); e++ {
		for _, f := range factors {
			if v := f * math.Pow(10, e); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
			}
		}
	}
	return ticks
}

func (c chart) write(path, form string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = c.title, c.axis
	p.BackgroundColor = color.White
	n := len(c.names)
	points, errs := make(plotter.XYs, n), make(plotter.XErrors, n)
	names := make([]string, n)
	for i, v := range c.values {
		at := n - 1 - i // the first row on top
		names[at] = c.names[i]
		points[at].X, points[at].Y = v[0], float64(at)
		errs[at].Low, errs[at].High = v[0]-v[1], v[2]-v[0]
	}
	c.scale(p)
	bars, err := plotter.NewXErrorBars(struct {
		plotter.XYer
		plotter.XErrorer
	}{points, errs})
	if err != nil {
		return fmt.Errorf("bench: %s: %w", path, err)
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", path, err)
	}
	dots.GlyphStyle = glyph.GlyphStyle{Color: color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 255},
		Radius: vg.Points(2.5), Shape: glyph.CircleGlyph{}}
	mark, err := plotter.NewLine(plotter.XYs{{X: c.mark, Y: -0.7}, {X: c.mark, Y: float64(n) - 0.3}})
	if err != nil {
		return fmt.Errorf("bench: %s: %w", path, err)
	}
	mark.Color = color.RGBA{R: 0xb0, G: 0x30, B: 0x30, A: 255}
	p.Add(plotter.NewGrid(), mark, bars, dots)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.7, float64(n)-0.3
	out, err := p.WriterTo(chartWidth, chartTop+vg.Length(n)*rowHeight, form)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := out.WriteTo(w)
		return err
	})
}
