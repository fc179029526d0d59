package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"afterimage/tensor/atomicfile"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

// Write writes the page to w. It panics with *tensor.Error if the report's parts do not fit
// together, and returns an error if a picture cannot be encoded or w fails.
func (r *Report) Write(w io.Writer) error {
	r.check()
	t, err := template.New("page").Funcs(template.FuncMap{
		"prose": prose, "inline": inline, "anchor": anchor, "bands": htmlBands, "beside": Section.beside,
		"pairs": Section.pairs,
		"style": func() template.CSS { return template.CSS(styleCSS) },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("report: Write: built-in page: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("report: Write: %w", err)
	}
	return nil
}

// WriteFile writes the page to path; a crash leaves the old file or the new one, never half.
func (r *Report) WriteFile(path string) error {
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, b.Bytes())
}

// anchor returns the id of section i.
func anchor(i int) string { return fmt.Sprintf("s%d", i+1) }

// A htmlBand is one band of a sheet for the page, whose captions are text of the page.
type htmlBand struct {
	Columns []string
	Lead    bool
	Tile    float64 // pixels from one picture to the next
	Rows    []htmlStrip
}

// A htmlStrip is one row of a band as one PNG at the pictures' own size; the browser enlarges it.
type htmlStrip struct {
	Caption, Alt  string
	Src           template.URL
	Width, Height int
}

// htmlBands turns a sheet into bands.
func htmlBands(s *Sheet) ([]htmlBand, error) {
	var out []htmlBand
	first := s.bands()[0]
	k := float64(s.PageWidth()) / float64((first[1]-first[0])*(s.tile().X+gap)-gap)
	for _, lim := range s.bands() {
		b := htmlBand{Lead: s.Lead, Tile: float64(s.tile().X+gap) * k}
		if len(s.Columns) > 0 {
			b.Columns = s.Columns[lim[0]:lim[1]]
		}
		for _, r := range s.Rows {
			strip := s.strip(r, lim[0], lim[1])
			file, err := EncodePNG(strip)
			if err != nil {
				return nil, err
			}
			size := strip.Bounds().Size()
			alt := fmt.Sprintf("%s: %d pictures", r.Caption, lim[1]-lim[0])
			if len(b.Columns) > 0 {
				alt += " (" + strings.Join(b.Columns, ", ") + ")"
			}
			b.Rows = append(b.Rows, htmlStrip{r.Caption, alt,
				template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(file)),
				int(math.Round(float64(size.X) * k)), int(math.Round(float64(size.Y) * k))})
		}
		out = append(out, b)
	}
	return out, nil
}
