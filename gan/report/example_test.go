package report_test

import (
	"bytes"
	"fmt"
	"image"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
)

// A page with one sheet, one number with its interval, and the command that repeats it.
func Example() {
	orig := metrics.FromBytes(2, 1, 1, 3, []uint8{200, 30, 30, 30, 30, 200})
	r := report.Report{
		Title: "Two pictures and their reconstructions",
		Sections: []report.Section{{
			Heading: "Pictures",
			Figures: []report.Figure{{Sheet: &report.Sheet{
				Columns: []string{"0", "1"},
				Rows: []report.SheetRow{
					{Caption: "original", Images: report.Pictures(orig)},
					{Caption: "robust", Images: []image.Image{report.Picture(orig, 0), nil}},
				},
			}}},
			Tables: []report.Table{{
				Columns: []string{"Robust"},
				Rows: []report.Row{{Name: "Retrieval, median", Cells: []report.Cell{
					report.Est(metrics.Estimate{Value: 30, Lo: 28.1, Hi: 32.2, N: 1000}, "%")}}},
			}},
			Commands: []string{"afterimage study --preset scenes-quick"},
		}},
	}
	var page bytes.Buffer
	if err := r.Write(&page); err != nil {
		fmt.Println(err)
	}
	fmt.Println(strings.Count(page.String(), "data:image/png"), "pictures")
	fmt.Println(strings.Contains(page.String(), "[28.1, 32.2]"))
	// Output:
	// 2 pictures
	// true
}
