package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"afterimage/gan/metrics"
	"afterimage/gan/report"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// A dataFlags names a data set and where it lies; commands that read images embed it.
type dataFlags struct {
	Dataset string `help:"Data set: cifar-10, cifar-100, mnist, fashion-mnist, scenes, or folder:PATH." default:"scenes" placeholder:"NAME"`
	Data    string `help:"Folder that holds data sets." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
}

func (f dataFlags) open(o data.Options) (*data.Set, error) {
	return data.Open(f.Dataset, f.Data, o)
}

type dataCmd struct {
	Get  dataGetCmd  `cmd:"" help:"Download a data set and check its digests."`
	Show dataShowCmd `cmd:"" help:"Describe a data set and draw a sheet of its images."`
}

type dataGetCmd struct {
	Name string `arg:"" help:"cifar-10, cifar-100, mnist or fashion-mnist."`
	Data string `help:"Folder to put it in." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
}

// Help shows examples under the flags.
func (dataGetCmd) Help() string {
	return "Example:\n  afterimage data get cifar-10 --data ~/data\n\n" +
		"An interrupted download goes on where it stopped. Without a network the message says which " +
		"files to put where."
}

// Run downloads one data set.
func (c *dataGetCmd) Run(e *env) error {
	last := ""
	err := data.Get(context.Background(), c.Name, c.Data,
		data.GetOptions{Progress: func(file string, done, total int64) {
			line := fmt.Sprintf("%s  %d of %d MB", file, done>>20, total>>20)
			if line != last {
				fmt.Fprintf(e.err, "\r%-60s", line)
				last = line
			}
		}})
	if last != "" {
		fmt.Fprintln(e.err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is in %s\n", c.Name, c.Data)
	return nil
}

type dataShowCmd struct {
	dataFlags
	Split string `help:"train, val, test or trainval." default:"train"`
	Count int    `help:"Images on the sheet: the first so many of the split." default:"64"`
	Out   string `help:"Where to write the sheet (default: no sheet)." default:"" placeholder:"FILE.png"`
	JSON  bool   `help:"Print the description as JSON." name:"json"`
}

// Help shows examples under the flags.
func (dataShowCmd) Help() string {
	return "Examples:\n  afterimage data show --dataset scenes --out scenes.png\n  afterimage data " +
		"show --dataset cifar-10 --data ~/data --split test"
}

// Run describes a split and draws its first images.
func (c *dataShowCmd) Run(e *env) error {
	if c.Count < 1 {
		return tensor.Refuse("--count %d: expected 1 or more", c.Count)
	}
	if c.Out != "" && !strings.EqualFold(filepath.Ext(c.Out), ".png") {
		return tensor.Refuse("--out %s: the sheet is a PNG: expected a name that ends in .png", c.Out)
	}
	set, err := c.open(data.Options{})
	if err != nil {
		return err
	}
	ds, err := set.Split(c.Split)
	if err != nil {
		return err
	}
	h, w, ch := ds.Size()
	mean, std := data.ChannelStats(data.First(ds, min(ds.Len(), 10_000)))
	desc := struct {
		Dataset string    `json:"dataset"`
		Split   string    `json:"split"`
		Images  int       `json:"images"`
		Size    [3]int    `json:"size"`
		Classes []string  `json:"classes"`
		Counts  []int     `json:"counts"`
		Mean    []float64 `json:"mean"`
		Std     []float64 `json:"std"`
	}{c.Dataset, c.Split, ds.Len(), [3]int{h, w, ch}, ds.Classes(), data.ClassCounts(ds), mean, std}
	if c.Out != "" {
		if err := writeSheet(c.Out, ds, c.Count); err != nil {
			return err
		}
		fmt.Fprintln(e.err, "wrote", c.Out)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(desc)
	}
	fmt.Fprintf(e.out, "%s %s: %d images of %d×%d×%d, %d classes\n", c.Dataset, c.Split, ds.Len(), h,
		w, ch, len(desc.Classes))
	for i, name := range desc.Classes {
		fmt.Fprintf(e.out, "  %-14s %6d\n", name, desc.Counts[i])
	}
	fmt.Fprintf(e.out, "  channel mean %.4f  std %.4f  (first %d images)\n", mean, std,
		min(ds.Len(), 10_000))
	return nil
}

// writeSheet draws the first n images of ds.
func writeSheet(path string, ds data.Dataset, n int) error {
	n = min(n, ds.Len())
	index := make([]int, n)
	for i := range index {
		index[i] = i
	}
	b := data.Read(ds, data.Unit, index...)
	imgs := metrics.NewImages(b.N(), b.H, b.W, b.C, metrics.Unit, b.X)
	sheet := report.Sheet{Scale: 3}
	for pics := report.Pictures(imgs); len(pics) > 0; {
		k := min(8, len(pics))
		sheet.Rows = append(sheet.Rows, report.SheetRow{Images: pics[:k]})
		pics = pics[k:]
	}
	if err := makeFolder("out", filepath.Dir(path)); err != nil {
		return err
	}
	return report.WritePNG(path, sheet.Draw())
}
