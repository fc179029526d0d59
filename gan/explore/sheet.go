package explore

import (
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/tensor"
	"afterimage/tensor/atomicfile"

	"gonum.org/v1/gonum/mat"
)

// coarse returns the first n rows of 8×8 means as pictures of the given side.
func coarse(blocks *mat.Dense, n, side int) []image.Image {
	small := fromRows(blocks.Slice(0, n, 0, width(blocks)).(*mat.Dense), metrics.Grid)
	k := side / metrics.Grid
	var out []image.Image
	for i := range n {
		from := report.Picture(small, i)
		to := image.NewRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				to.Set(x, y, from.At(x/k, y/k))
			}
		}
		out = append(out, to)
	}
	return out
}

// A sheetText is a sheet without its pictures.
type sheetText struct {
	Columns []string `json:"columns,omitempty"`
	Rows    []string `json:"rows"`
	Lead    bool     `json:"lead,omitempty"`
	Wrap    int      `json:"wrap,omitempty"`
	Width   int      `json:"width"` // of a picture
	Height  int      `json:"height"`
}

// SaveSheet writes a sheet as path.png for people, and as path.cells.json (captions) and
// path.cells.png (the pictures edge to edge), which OpenSheet reads back. A path that ends in .png
// is taken without it.
func SaveSheet(path string, s *report.Sheet) error {
	path = strings.TrimSuffix(path, ".png")
	size := s.Rows[0].Images[0].Bounds().Size()
	t := sheetText{Columns: s.Columns, Lead: s.Lead, Wrap: s.Wrap, Width: size.X, Height: size.Y}
	cells := image.NewRGBA(image.Rect(0, 0, size.X*len(s.Rows[0].Images), size.Y*len(s.Rows)))
	for r, row := range s.Rows {
		t.Rows = append(t.Rows, row.Caption)
		for c, img := range row.Images {
			at := image.Pt(c*size.X, r*size.Y)
			draw.Draw(cells, image.Rectangle{at, at.Add(size)}, img, img.Bounds().Min, draw.Src)
		}
	}
	if err := report.WritePNG(path+".cells.png", cells); err != nil {
		return err
	}
	if err := report.WritePNG(path+".png", s.Draw()); err != nil {
		return err
	}
	return WriteJSON(path+".cells.json", t)
}

// OpenSheet reads what SaveSheet wrote.
func OpenSheet(path string) (*report.Sheet, error) {
	var t sheetText
	if err := ReadJSON(path+".cells.json", &t); err != nil {
		return nil, err
	}
	f, err := tensor.OpenRegular(path + ".cells.png")
	if err != nil {
		return nil, fmt.Errorf("explore: %w", err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, tensor.Refuse("explore: %s.cells.png: %w", path, err)
	}
	size := img.Bounds().Size()
	if t.Width < 1 || t.Height < 1 || size.X%t.Width != 0 || size.Y != t.Height*len(t.Rows) {
		return nil, tensor.Refuse("explore: %s.cells.png is %v: expected %d rows of %dx%d pictures",
			path, size, len(t.Rows), t.Width, t.Height)
	}
	s := &report.Sheet{Columns: t.Columns, Lead: t.Lead, Wrap: t.Wrap}
	for r, caption := range t.Rows {
		row := report.SheetRow{Caption: caption}
		for x := 0; x < size.X; x += t.Width {
			cell := image.NewRGBA(image.Rect(0, 0, t.Width, t.Height))
			draw.Draw(cell, cell.Bounds(), img, img.Bounds().Min.Add(image.Pt(x, r*t.Height)),
				draw.Src)
			row.Images = append(row.Images, cell)
		}
		s.Rows = append(s.Rows, row)
	}
	return s, nil
}

// WriteJSON writes v as indented JSON, whole or not at all.
func WriteJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("explore: %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, append(raw, '\n'))
}

// ReadJSON reads a file of JSON into v.
func ReadJSON(path string, v any) error {
	raw, err := tensor.ReadRegular(path)
	if err != nil {
		return fmt.Errorf("explore: %w", err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return tensor.Refuse("explore: %s: %w", path, err)
	}
	return nil
}

// Save writes a result as dir/EXPERIMENT-SUBJECT.json, with its sheet beside it.
func (r *Result) Save(dir string) error {
	path := r.path(dir)
	if r.Sheet != nil {
		if err := SaveSheet(path, r.Sheet); err != nil {
			return err
		}
	}
	return WriteJSON(path+".json", r)
}

func (r *Result) path(dir string) string {
	return fmt.Sprintf("%s/%s-%s", dir, r.Experiment, r.Subject)
}

// Open reads a result that Save wrote; it wraps os.ErrNotExist if there is none.
func Open(dir, experiment, subject string) (*Result, error) {
	r := &Result{Experiment: experiment, Subject: subject}
	path := r.path(dir)
	if err := ReadJSON(path+".json", r); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + ".cells.json"); err == nil {
		if r.Sheet, err = OpenSheet(path); err != nil {
			return nil, err
		}
	}
	return r, nil
}
