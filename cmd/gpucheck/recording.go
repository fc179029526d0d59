package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"afterimage/bench/envelope"
	"afterimage/tensor/atomicfile"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/vec"
)

// A recording holds the CPU's runs of every course: its envelope.
type recording struct {
	Kernels string           `json:"kernels"` // of the CPU: other ones round otherwise
	Courses []recordedCourse `json:"courses"`
}

// recordedCourse is one course. Digest is of all that its runs depend on but the program's text.
type recordedCourse struct {
	Name   string            `json:"name"`
	Config any               `json:"config"`
	Digest string            `json:"digest"`
	Curves map[string]curves `json:"curves"`
}

// curves are envelope.Curves as they are written, in the digits of single precision.
type curves struct {
	Plain     losses   `json:"plain"`
	Other     losses   `json:"other"`
	Perturbed []losses `json:"perturbed"`
}

// losses are numbers of single precision.
type losses []float64

// MarshalJSON writes the fewest digits that tell single-precision numbers apart, on one line.
func (l losses) MarshalJSON() ([]byte, error) {
	text := []byte{'['}
	for i, v := range l {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, v, 'g', -1, 32)
	}
	return append(text, ']'), nil
}

// digest tells configurations apart.
func (r course) digest() string {
	text, err := json.Marshal([]any{r.name, r.steps, r.losses, r.config, envelope.Runs,
		envelope.Perturbation})
	if err != nil {
		panic(err) // configurations are numbers and words
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// record makes the envelope on the CPU: every course as it is, without Winograd's convolutions,
// which round otherwise, and from perturbed weights. The same CPU kernels write the same bytes.
func record(path string, tiny bool, says io.Writer) error {
	var rec recording
	for _, r := range courses(tiny) {
		into := recordedCourse{Name: r.name, Config: r.config, Digest: r.digest(),
			Curves: map[string]curves{}}
		for run := range envelope.Runs + 2 {
			b := cpu.Open(0)
			rec.Kernels = fmt.Sprintf("gemm %s, vec %s", gemm.Kernel(), vec.Variant())
			other := run > envelope.Runs
			b.SetWinograd(!other)
			got, err := r.run(b, run%(envelope.Runs+1))
			b.Close()
			if err != nil {
				return err
			}
			for i, name := range r.losses {
				c := into.Curves[name]
				switch {
				case other:
					c.Other = got[i]
				case run == 0:
					c.Plain = got[i]
				default:
					c.Perturbed = append(c.Perturbed, got[i])
				}
				into.Curves[name] = c
			}
			fmt.Fprintf(says, "%s, run %d of %d\n", r.name, run+1, envelope.Runs+2)
		}
		rec.Courses = append(rec.Courses, into)
	}
	text, err := json.MarshalIndent(rec, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, append(text, '\n'))
}

// readRecording reads what record wrote.
func readRecording(path string) (recording, error) {
	var rec recording
	text, err := os.ReadFile(path)
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		return rec, fmt.Errorf("%s: %w", path, err)
	}
	return rec, nil
}

// of returns the runs of a course by the names of its losses, if they were made as it is now.
func (rec recording) of(r course) (map[string]envelope.Curves, error) {
	for _, c := range rec.Courses {
		if c.Name != r.name {
			continue
		}
		if c.Digest != r.digest() {
			return nil, errNoRuns
		}
		all := map[string]envelope.Curves{}
		for _, name := range r.losses {
			w := c.Curves[name]
			e := envelope.Curves{Plain: w.Plain, Other: w.Other}
			for _, p := range w.Perturbed {
				e.Perturbed = append(e.Perturbed, p)
			}
			for _, run := range append([][]float64{e.Plain, e.Other}, e.Perturbed...) {
				if len(run) != r.steps || len(e.Perturbed) != envelope.Runs {
					return nil, fmt.Errorf("the recorded envelope of %s is cut short", r.name)
				}
			}
			all[name] = e
		}
		return all, nil
	}
	return nil, errNoRuns
}
