package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/gan/metrics"
	"afterimage/tensor"
)

var out = flag.String("out", "", "directory to leave the sample page and sheet in, for a look")

func page(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	if err := tensor.Try(f); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
}

func TestSamplePage(t *testing.T) {
	html := page(t, sample())
	if html != page(t, sample()) {
		t.Error("the same report gave different bytes")
	}
	for _, forbidden := range []string{
		"<script", "http://", "https://", "ZgotmplZ", "%!", "NaN", "url(",
	} {
		if strings.Contains(html, forbidden) {
			t.Errorf("the page contains %q", forbidden)
		}
	}
	for _, want := range []string{
		`<span class="val">30.0</span><span class="ci">[28.0, 31.9]</span>`,
		`alt="robust logits: 16 pictures (0, 1,`,
		`aria-label="Dot chart: Retrieval rank, by code.`, `Reference chance: 50.`,
		`prefers-color-scheme: dark`,
		`<code>afterimage study --preset scenes-quick --seed 1 --out runs/scenes</code>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(html, "<img "); n != strings.Count(html, ` alt="`) || n != 2*4+2 {
		t.Errorf("%d pictures", n)
	}
	if *out != "" {
		if err := sample().WriteFile(filepath.Join(*out, "report.html")); err != nil {
			t.Error(err)
		}
		sheet := sampleSheets().Figures[0].Sheet
		if err := WritePNG(filepath.Join(*out, "sheet.png"), sheet.Draw()); err != nil {
			t.Error(err)
		}
	}
}

// A text stands beside its plot where that is all there is, and narrow sheets beside each other.
func TestBesideAndPairs(t *testing.T) {
	sheet := func(n int) Figure {
		img := image.NewRGBA(image.Rect(0, 0, 1, 1))
		return Figure{Sheet: &Sheet{Rows: []SheetRow{{"", slices.Repeat([]image.Image{img}, n)}}}}
	}
	plot := Plot{Kind: Lines, Series: []Series{{X: []float64{1}, Y: []float64{1}}}}
	for _, c := range []struct {
		s             Section
		beside, pairs bool
	}{
		{Section{Prose: "p", Plots: []Plot{plot}}, true, false},
		{Section{Plots: []Plot{plot}}, false, false},
		{Section{Prose: "p", Plots: []Plot{plot, plot}}, false, false},
		{Section{Prose: "p", Plots: []Plot{plot}, Figures: []Figure{sheet(3)}}, false, false},
		{Section{Figures: []Figure{sheet(3), sheet(6)}}, false, true},
		{Section{Figures: []Figure{sheet(3), sheet(7)}}, false, false},
	} {
		c.s.Heading = "h"
		html := page(t, &Report{Title: "t", Sections: []Section{c.s}})
		if got := strings.Contains(html, ` class="beside"`); got != c.beside {
			t.Errorf("%d plots, %d sheets: text beside plot: %v", len(c.s.Plots), len(c.s.Figures), got)
		}
		if got := strings.Contains(html, ` class="pairs"`); got != c.pairs {
			t.Errorf("%d plots, %d sheets: in pairs: %v", len(c.s.Plots), len(c.s.Figures), got)
		}
	}
}

// The first figure and what came of it stand before the first section.
func TestFirstFigure(t *testing.T) {
	r := sample()
	fig := sampleSheets().Figures[0]
	r.Figure, r.Finding = &fig, "It **came** back."
	html := page(t, r)
	head, _, _ := strings.Cut(html, "</header>")
	picture, finding := strings.Index(head, "<img "), strings.Index(head, "<strong>came</strong>")
	if picture < 0 || finding < picture || strings.Index(head, `class="headline"`) < finding {
		t.Errorf("picture at %d, finding at %d of %d bytes", picture, finding, len(head))
	}
	mustPanic(t, "has no sheet", func() {
		_ = (&Report{Title: "t", Figure: &Figure{}}).Write(io.Discard)
	})
}

func TestEscaping(t *testing.T) {
	evil := `<b>&"'`
	dot := image.NewRGBA(image.Rect(0, 0, 2, 2))
	r := &Report{
		Title: evil, Lede: evil, Kicker: evil, Footer: evil,
		Headline: []Headline{{evil, Text(evil), evil}},
		Sections: []Section{{
			Heading: evil, Prose: evil + " `" + evil + "` **" + evil + "**",
			Commands: []string{evil}, Facts: []Fact{{evil, evil}},
			Tables: []Table{{evil, []string{evil},
				[]Row{{Name: evil, Note: evil, Cells: []Cell{Text(evil)}}}, evil}},
			Plots: []Plot{{
				Kind: Bars, Title: evil, YLabel: evil, Caption: evil, Categories: []string{evil},
				Marks:  []Mark{{1, evil}},
				Series: []Series{{Name: evil, Y: []float64{1}}, {Name: evil, Y: []float64{2}}},
			}},
			Figures: []Figure{{evil, &Sheet{Columns: []string{evil},
				Rows: []SheetRow{{evil, []image.Image{dot}}}}, evil}},
		}},
	}
	if html := page(t, r); strings.Contains(html, "<b>") {
		t.Error("text became markup")
	}
}

// TestUnbroken: what a line's end must not part.
func TestUnbroken(t *testing.T) {
	const text, want = "30 % (−2.7 points, [−11.6, 2.7]), [a, b]",
		"30\u00a0% (−2.7 points, [−11.6,\u00a02.7]), [a, b]"
	if got := unmarked(text); got != want {
		t.Errorf("%q, expected %q", got, want)
	}
}

func TestProse(t *testing.T) {
	for in, want := range map[string]string{
		"a `b*c` **d**":     "<p>a <code>b*c</code> <strong>d</strong></p>\n",
		"one\n\ntwo":        "<p>one</p>\n<p>two</p>\n",
		"**a `b` c**, 5 %":  "<p><strong>a <code>b</code> c</strong>, 5\u00a0%</p>\n",
		"2 * 3 ** 4 and `x": "<p>2 * 3 ** 4 and `x</p>\n",
		"``":                "<p>``</p>\n",
		"":                  "",
	} {
		if got := string(prose(in)); got != want {
			t.Errorf("prose(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	one := func(y ...float64) []Series { return []Series{{Name: "a", Y: y}} }
	plots := []Plot{
		{Kind: Lines, Title: "empty", Series: one()},
		{Kind: Lines, Title: "one point", Series: []Series{{X: []float64{3}, Y: []float64{3}}}},
		{Kind: Lines, Title: "not finite", LogX: true, LogY: true, Series: []Series{{
			X: []float64{0, 1, 10, 100}, Y: []float64{1, nan, inf, -1},
			Lo: []float64{nan, 1, 1, 1}, Hi: []float64{1, 2, 2, 2}}}},
		{Kind: Bars, Title: "no category", Series: one()},
		{Kind: Bars, Title: "negative", Categories: []string{"x", "y"}, Series: one(-2, nan)},
		{Kind: Dots, Title: "constant", Categories: []string{"x"}, Series: one(5)},
	}
	for _, s := range sample().Sections {
		plots = append(plots, s.Plots...)
	}
	for _, p := range plots {
		svg := string(p.SVG())
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a coordinate is not finite: %s", p.Title, svg)
		}
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", p.Title, err)
				break
			}
		}
	}
}

func TestAxis(t *testing.T) {
	cases := []struct {
		lo, hi float64
		log    bool
		want   string
	}{
		{0, 1, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{-0.08, 0.83, false, "−0.2 0.0 0.2 0.4 0.6 0.8 1.0"},
		{0, 7500, false, "0 2,000 4,000 6,000 8,000"},
		{30, 51, false, "30 35 40 45 50 55"},
		{5, 5, false, "4.4 4.6 4.8 5.0 5.2 5.4 5.6"},
		{0.25, 4, true, "0.5 1 2"},
		{1, 1e5, true, "1 10 100 1,000 10,000 100,000"},
	}
	for _, c := range cases {
		a := newAxis(c.lo, c.hi, 5, c.log)
		if got := strings.Join(a.labels(), " "); got != c.want {
			t.Errorf("[%g, %g]: %s, want %s", c.lo, c.hi, got, c.want)
		}
		a.from, a.to = 100, 0
		if c.lo < c.hi && (a.at(c.lo) > 100 || a.at(c.hi) < -1e-9 || a.at(c.lo) <= a.at(c.hi)) {
			t.Errorf("[%g, %g] lies at %g, %g", c.lo, c.hi, a.at(c.lo), a.at(c.hi))
		}
	}
}

func TestMisuse(t *testing.T) {
	var b bytes.Buffer
	write := func(s Section) func() {
		return func() { _ = (&Report{Title: "t", Sections: []Section{s}}).Write(&b) }
	}
	mustPanic(t, "no title", func() { _ = (&Report{}).Write(&b) })
	mustPanic(t, "no heading", write(Section{}))
	mustPanic(t, "1 cells for 2 columns", write(Section{Heading: "h",
		Tables: []Table{{Columns: []string{"a", "b"}, Rows: []Row{{Cells: []Cell{Text("x")}}}}}}))
	mustPanic(t, "3 values", write(Section{Heading: "h",
		Plots: []Plot{{Series: []Series{{Y: make([]float64, 3)}}}}}))
	mustPanic(t, "has no sheet", write(Section{Heading: "h", Figures: []Figure{{}}}))
	small, big := image.NewRGBA(image.Rect(0, 0, 1, 1)), image.NewRGBA(image.Rect(0, 0, 2, 1))
	mustPanic(t, "no picture", func() { (&Sheet{}).Draw() })
	mustPanic(t, "the first (1,1)", func() {
		(&Sheet{Rows: []SheetRow{{"", []image.Image{small, big}}}}).Draw()
	})
	mustPanic(t, "has 0 pictures", func() {
		(&Sheet{Rows: []SheetRow{{"", []image.Image{small}}, {"", nil}}}).Draw()
	})
	mustPanic(t, "2 channels", func() {
		Picture(metrics.NewImages(1, 1, 1, 2, metrics.Unit, make([]float32, 2)), 0)
	})
}

func TestPicture(t *testing.T) {
	m := metrics.NewImages(1, 1, 2, 3, metrics.Signed, []float32{-1, 0, 1, 0.5, -0.5, 0.25})
	p := Picture(m, 0)
	for i, want := range []uint8{0, 128, 255, 255, 191, 64, 159, 255} {
		if p.Pix[i] != want {
			t.Errorf("byte %d = %d, want %d", i, p.Pix[i], want)
		}
	}
	grey := Picture(metrics.FromBytes(1, 1, 1, 1, []uint8{77}), 0)
	if c := grey.RGBAAt(0, 0); c.R != 77 || c.G != 77 || c.B != 77 || c.A != 255 {
		t.Errorf("grey = %v", c)
	}
}

// A sheet with a width has it on the page; its last band may have fewer pictures, all of one size.
func TestSheetWidth(t *testing.T) {
	imgs := Pictures(metrics.FromBytes(3, 1, 2, 1, []uint8{10, 20, 30, 40, 50, 60}))
	s := &Sheet{Rows: []SheetRow{{"", imgs}}, Columns: []string{"0", "1", "2"}, Scale: 3, Wrap: 2}
	if got := s.PageWidth(); got != 15 {
		t.Errorf("enlarged 3 times: %d pixels wide", got)
	}
	s.Width = 100
	html := page(t, &Report{Title: "Widths", Sections: []Section{
		{Heading: "Pictures", Figures: []Figure{{Sheet: s}}}}})
	for _, want := range []string{`width="100" height="20"`, `width="40" height="20"`,
		`style="width:60px">0`} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if got := s.Draw().Bounds().Dx(); got != 2*margin+15 {
		t.Errorf("drawn %d pixels wide", got)
	}
}

func TestSheetPixels(t *testing.T) {
	imgs := Pictures(metrics.FromBytes(3, 1, 2, 1, []uint8{10, 20, 30, 40, 50, 60}))
	s := &Sheet{Rows: []SheetRow{{"", imgs}}, Scale: 3, Wrap: 2}
	d := s.Draw()
	// Two bands of height 3; width two pictures of 6 and one gap of 3, margins round it.
	if got, want := d.Bounds().Size(), image.Pt(2*margin+15, 3*margin+6); got != want {
		t.Fatalf("size %v, want %v", got, want)
	}
	for _, c := range []struct {
		x, y int
		want uint8
	}{{0, 0, 10}, {2, 2, 10}, {3, 0, 20}, {9, 0, 30}, {14, 2, 40}, {0, 3 + margin, 50},
		{6, 0, paper.R}, {9, 3 + margin, paper.R}} {
		if got := d.RGBAAt(margin+c.x, margin+c.y).R; got != c.want {
			t.Errorf("pixel (%d, %d) = %d, want %d", c.x, c.y, got, c.want)
		}
	}
	captioned := &Sheet{Rows: []SheetRow{{"original", imgs}}, Columns: []string{"0", "1", "2"}}
	var inked int
	img := captioned.Draw()
	for i := 0; i < len(img.Pix); i += 4 {
		if img.Pix[i] == ink.R && img.Pix[i+1] == ink.G {
			inked++
		}
	}
	if inked < 20 {
		t.Errorf("captions left %d dark pixels", inked)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	for range 2 { // the second replaces the first
		if err := sample().WriteFile(path); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != page(t, sample()) {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
	if err := sample().WriteFile(filepath.Join(dir, "absent", "r.html")); err == nil {
		t.Error("no error for a directory that does not exist")
	}
}

func TestDuration(t *testing.T) {
	for seconds, want := range map[float64]string{0: "–", 90: "90 s", 3600: "60 min", 9000: "2.5 h",
		216000: "2.5 days"} {
		if got := Duration(seconds); got != want {
			t.Errorf("%v s: got %q, want %q", seconds, got, want)
		}
	}
}

// TestTicksOfCounts: between the steps 4 and 16 nothing happens at 7.5.
func TestTicksOfCounts(t *testing.T) {
	p := Plot{Kind: Lines, Series: []Series{{Name: "loss", X: []float64{4, 8, 12, 16},
		Y: []float64{3, 2, 2, 1}}}}
	if x, _, _ := p.xAxis(); !slices.Equal(x.labels(), []string{"5", "10", "15"}) {
		t.Errorf("ticks at %v", x.labels())
	}
	p.Series[0].X = []float64{0, 0.5, 1, 4.5}
	if x, _, _ := p.xAxis(); len(x.ticks) < 4 {
		t.Errorf("of no counts: ticks at %v", x.labels())
	}
}
