package report

import (
	"fmt"
	"image"
	"math"

	"afterimage/gan/metrics"
	"afterimage/tensor"
)

// around returns an estimate with an interval of about ±half.
func around(v, half float64) metrics.Estimate {
	return metrics.Estimate{Value: v, Lo: v - half, Hi: v + 0.95*half, N: 2000}
}

// estimates returns estimates round the given values, all with about ±half.
func estimates(half float64, values ...float64) []metrics.Estimate {
	var out []metrics.Estimate
	for _, v := range values {
		out = append(out, around(v, half))
	}
	return out
}

// sample returns a report that uses everything the page can show. Its numbers are made up; it
// exists to be looked at and to be compared with itself.
func sample() *Report {
	return &Report{
		Kicker: "afterimage · study scenes-quick · example numbers",
		Title:  "What ten logits remember of a picture",
		Lede: "Two classifiers of one architecture learned the same pictures, one in the usual way " +
			"and one against an adversary. From their ten outputs alone a generator paints each " +
			"picture back. **What returns is what the classifier kept**; what changes from draw to " +
			"draw is what it threw away.",
		Headline: []Headline{
			{"Retrieval, robust, median", Est(around(30, 2), "%"), "50 % is chance, 0 % perfect"},
			{"Retrieval, standard, median", Est(around(44.4, 1.9), "%"), "label alone: 45.6 %"},
			{"Robust − standard", Est(around(-14.4, 2.4), "points"), "paired over the same images"},
			{"Reconstructions that keep the class", Est(around(66, 2.1), "%"), "standard: 52 %"},
		},
		Sections: []Section{
			sampleSheets(), sampleTable(), sampleControls(), sampleShift(), sampleTraining(),
			sampleCommands(),
		},
		Footer: "Intervals are 95 % bootstrap intervals over images only, one training seed. " +
			"Written by `afterimage study`.",
	}
}

func sampleCommands() Section {
	return Section{
		Heading: "Repeat it",
		Prose: "Every number above comes from these commands. The same seed gives the same bytes " +
			"for any number of threads.",
		Facts: []Fact{
			{"Program", "afterimage 0.1, revision 3f0a91c, go1.26"},
			{"Processor", "2 threads, AVX-512"},
			{"Time", "9 min 41 s wall, 1,130 CPU-seconds"},
			{"Peak memory", "612 MiB"},
			{"Seed", "1"},
			{"Images", "2,000 test scenes, numbers 0 to 1,999"},
		},
		Commands: []string{
			"afterimage study --preset scenes-quick --seed 1 --out runs/scenes",
			"afterimage evaluate inverter runs/scenes/robust/inverter --images 2000 --json",
		},
	}
}

func sampleSheets() Section {
	orig, robust, std, label := scenes(0, 0), scenes(0.12, 1), scenes(0.5, 2), scenes(1, 3)
	cols := make([]string, len(orig))
	for i := range cols {
		cols[i] = fmt.Sprint(i)
	}
	draws := Sheet{Columns: []string{"original", "draw 1", "draw 2", "draw 3", "draw 4", "draw 5",
		"draw 6", "mean of 16"}}
	for r, name := range []string{"robust", "standard"} {
		row := SheetRow{Caption: name, Images: []image.Image{orig[3]}}
		for k := range 7 {
			row.Images = append(row.Images, scenes(0.15+0.5*float64(r), uint32(10+k+20*r))[3])
		}
		draws.Rows = append(draws.Rows, row)
	}
	return Section{
		Heading: "Pictures",
		Prose: "The first row of each band is the picture the classifier saw; below it is what each " +
			"generator painted from the code. These are test images 0 to 31 in order, not a " +
			"selection.",
		Figures: []Figure{
			{Title: "Test images 0 to 31 and their reconstructions, one noise draw",
				Sheet: &Sheet{Lead: true, Columns: cols, Wrap: 16, Scale: 2, Rows: []SheetRow{
					{"original", orig}, {"robust logits", robust},
					{"standard logits", std}, {"label only", label}}},
				Caption: "Robust reconstructions keep palette and place; standard ones share the " +
					"class and little else. `label only` is the control that knows nothing but the " +
					"class."},
			{Title: "One image, seven noise draws", Sheet: &draws,
				Caption: "What stays from draw to draw is in the code."},
		},
	}
}

func sampleTable() Section {
	row := func(name, note string, half float64, best int, v ...float64) Row {
		r := Row{Name: name, Note: note}
		for i, e := range estimates(half, v...) {
			c := Est(e, "")
			if i == best {
				c = c.Stress()
			}
			r.Cells = append(r.Cells, c)
		}
		return r
	}
	return Section{
		Heading: "Robust against standard",
		Prose: "Both generators had the same architecture, the same number of steps and the same " +
			"noise.",
		Tables: []Table{{
			Title:   "2,000 test images, one noise draw",
			Columns: []string{"Robust", "Standard", "Label only", "Class mean", "Other image"},
			Rows: []Row{
				row("Retrieval, median", "%, lower is better, 50 is chance", 2, 0,
					30.0, 44.4, 45.6, 48.1, 50.2),
				row("Retrieval by features", "%, independent network", 1.9, 0,
					33.1, 45.0, 46.9, 49.4, 49.9),
				row("8×8 error", "mean squared, lower is better", 0.0012, 3,
					0.0742, 0.0869, 0.0867, 0.0454, 0.0912),
				row("PSNR", "dB, higher is better", 0.12, 3, 10.8, 10.2, 10.1, 12.9, 9.7),
				row("SSIM", "higher is better", 0.0041, -1, 0.161, 0.121, 0.118, 0.172, 0.094),
				row("Same class", "share of images", 0.021, 0, 0.66, 0.52, 0.63, 0.41, 0.97),
				row("Logit distance", "relative", 0.022, 0, 0.71, 0.94, 1.02, 1.22, 0.88),
				{Name: "Steps", Control: true, Cells: []Cell{
					Text("7,583"), Text("7,580"), Text("5,058"), Text("–"), Text("–")}},
			},
			Caption: "In brackets: 95 % bootstrap intervals over images only, one training seed. " +
				"The class mean wins on squared error because a blurred average always does.",
		}},
	}
}

func sampleControls() Section {
	label := Series{Name: "Label only", Muted: true, Y: []float64{0, .01, .02, 0, 0, math.NaN(), 0}}
	return Section{
		Heading: "What there is to recover",
		Prose: "A small regression from the code to an 8×8 picture bounds what any generator's " +
			"average can reach. On drawn scenes the factors are known, so one can ask which of them " +
			"came back.",
		Plots: []Plot{
			{Kind: Dots, Title: "Retrieval rank, by code", Zero: true,
				XLabel:     "median rank of the true image, %",
				Categories: []string{"Label", "Logits", "Penultimate features"},
				Marks:      []Mark{{50, "chance"}},
				Series: []Series{
					Estimates("Robust", nil, estimates(1.7, 42.5, 17.6, 3.2)),
					Estimates("Standard", nil, estimates(1.9, 48.4, 38.6, 16.6)),
				}},
			{Kind: Bars, Title: "Factors read off the reconstruction",
				YLabel: "R² on held-out scenes",
				Categories: []string{"position x", "position y", "size", "angle", "object colour",
					"back- ground", "light"},
				Series: []Series{
					Estimates("Robust", nil, estimates(.03, .62, .58, .71, .22, .55, .81, .37)),
					Estimates("Standard", nil, estimates(.04, .21, .19, .44, .05, .12, .3, -.04)),
					label,
				}},
		},
	}
}

func sampleShift() Section {
	x, sigma := []float64{0.25, 0.5, 1, 2, 4}, []float64{0, .25, .5, 1, 2}
	return Section{
		Heading: "Scaling and shifting logits",
		Prose: "Multiplying the logits acts like a contrast knob; adding a constant, which the " +
			"softmax cannot see, shows only where the classifier is robust.",
		Plots: []Plot{
			{Kind: Lines, Title: "Contrast over the scale of the logits",
				XLabel: "factor", YLabel: "RMS contrast", LogX: true,
				Series: []Series{
					Estimates("Robust", x, estimates(.006, .12, .15, .19, .23, .26)),
					Estimates("Standard", x, estimates(.005, .17, .18, .2, .21, .21)),
				}},
			{Kind: Lines, Title: "Distance after Gaussian noise on the logits", Zero: true,
				XLabel: "σ, in standard deviations of each logit", YLabel: "8×8 error",
				Marks: []Mark{{.0867, "label only"}},
				Series: []Series{
					{Name: "Robust", X: sigma, Y: []float64{.02, .026, .041, .063, .084}},
					{Name: "Standard", X: sigma, Y: []float64{.05, .06, .072, .083, .088}},
				}},
		},
	}
}

func sampleTraining() Section {
	rng := tensor.NewRNG(tensor.NewKey(1, "sample/curve"), 0)
	curve := func(name string, from, to float64, muted bool) Series {
		s := Series{Name: name, Muted: muted}
		for i := range 40 {
			t := float64(i) / 39
			s.X = append(s.X, math.Round(7500*t))
			s.Y = append(s.Y, to+(from-to)*math.Exp(-4*t)+0.8*rng.Normal()*(1-0.6*t))
		}
		return s
	}
	return Section{
		Heading: "Training",
		Plots: []Plot{{
			Kind: Lines, Title: "Retrieval on held-out training images",
			XLabel: "generator step", YLabel: "median rank, %",
			Marks: []Mark{{50, "chance"}},
			Series: []Series{curve("Robust", 50, 30, false), curve("Standard", 50, 44.4, false),
				curve("Label only", 50, 45.6, true)},
			Caption: "Checkpoints were chosen on these 5,000 images; the test set was read once.",
		}},
	}
}

// scenes draws 32 pictures of a shape on a ground, each factor moved by up to jitter.
func scenes(jitter float64, step uint32) []image.Image {
	const side, n = 32, 32
	base := tensor.NewRNG(tensor.NewKey(2, "sample/scenes"), 0)
	move := tensor.NewRNG(tensor.NewKey(2, "sample/move"), step)
	pix := make([]float32, 0, n*side*side*3)
	for i := range n {
		var f [9]float64
		for k := range f {
			f[k] = (1-jitter)*base.Float64() + jitter*move.Float64()
		}
		cx, cy, r := 8+16*f[0], 8+16*f[1], 4+5*f[2]
		for y := range side {
			for x := range side {
				dx, dy := math.Abs(float64(x)-cx), math.Abs(float64(y)-cy)
				d := [3]float64{math.Hypot(dx, dy), max(dx, dy), (dx + dy) * 0.8}[i%3]
				in := min(max(r-d+0.5, 0), 1)
				light := 0.75 + 0.25*float64(x+side-y)/(2*side)
				for c := range 3 {
					v := in*(0.15+0.85*f[3+c]) + (1-in)*(0.1+0.7*f[6+c])
					pix = append(pix, float32(v*light))
				}
			}
		}
	}
	return Pictures(metrics.NewImages(n, side, side, 3, metrics.Unit, pix))
}
