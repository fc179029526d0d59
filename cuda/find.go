package cuda

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"afterimage/cuda/driver"
)

// A Device is a GPU as the driver describes it.
type Device struct {
	Index           int    `json:"index"`
	Name            string `json:"name"`
	UUID            string `json:"uuid"`
	Major           int    `json:"compute_major"`
	Minor           int    `json:"compute_minor"`
	Multiprocessors int    `json:"multiprocessors"`
	Memory          int    `json:"memory_bytes"`
	SharedOptin     int    `json:"shared_bytes_per_block"`
	pools           bool   // has stream-ordered memory
}

// oldest is the least compute capability the kernels are compiled for: Ampere, whose
// instructions (bf16, asynchronous copies) they use.
const oldest = 8

// String returns one line: name, compute capability, size.
func (d Device) String() string {
	return fmt.Sprintf("cuda:%d %s, compute capability %d.%d, %d multiprocessors, %.1f GB", d.Index,
		d.Name, d.Major, d.Minor, d.Multiprocessors, float64(d.Memory)/1e9)
}

// Usable says why the kernels cannot run on the device, or nil.
func (d Device) Usable() error {
	if d.Major < oldest {
		return fmt.Errorf("%v: compute capability %d.0 or newer is needed", d, oldest)
	}
	return nil
}

// A Report is what Find found.
type Report struct {
	Devices   []Device `json:"devices"`
	Libraries []string `json:"libraries"` // a line each: version and path, or why not
	Problem   string   `json:"problem"`   // why no device can be used, "" if one can
	First     string   `json:"-"`         // the first that can, "cuda:0", …; "" if none can
	// Plain reports that there is nothing to mend: no driver on this machine, or a program that was
	// built without the means to open one.
	Plain bool `json:"plain"`
}

// Find looks for GPUs and for the libraries that computing on them takes. It never fails: what is
// wrong is in the report.
func Find() Report {
	api, err := driver.Open()
	if err != nil {
		return Report{Problem: err.Error(),
			Plain: errors.Is(err, driver.ErrNoDriver) || errors.Is(err, driver.ErrNoCgo)}
	}
	var r Report
	for _, l := range []driver.Library{driver.CUDA, driver.NVRTC, driver.CuDNN, driver.CuBLASLt} {
		line := api.Found(l).String()
		if l == driver.NVRTC && api.Found(l).Err != nil {
			line += "; the driver translates this program's PTX instead, once for a card"
		}
		r.Libraries = append(r.Libraries, line)
	}
	n, err := api.Devices()
	if err != nil {
		r.Problem = err.Error()
	}
	for i := range n {
		d, err := describe(api, i)
		if d.Name != "" {
			r.Devices = append(r.Devices, d)
		}
		if err == nil && r.First == "" {
			r.First = deviceName(i)
		} else if err != nil && r.Problem == "" {
			r.Problem = err.Error()
		}
	}
	if r.First != "" {
		r.Problem = ""
	}
	return r
}

// String returns the report in one line.
func (r Report) String() string {
	var parts []string
	for _, d := range r.Devices {
		parts = append(parts, d.String())
	}
	if r.Problem != "" {
		parts = append(parts, r.Problem)
	}
	return strings.Join(parts, "; ")
}

// deviceName is what ParseName takes apart.
func deviceName(index int) string { return fmt.Sprintf("cuda:%d", index) }

// ParseName returns the index in "cuda:1"; "cuda" is "cuda:0".
func ParseName(name string) (int, error) {
	rest, ok := strings.CutPrefix(name, "cuda")
	if ok && rest == "" {
		return 0, nil
	}
	if digits, colon := strings.CutPrefix(rest, ":"); ok && colon {
		if i, err := strconv.Atoi(digits); err == nil && i >= 0 && i < 1<<10 && digits[0] != '+' {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q names no GPU: expected cuda:0, cuda:1, …", name)
}

// describe asks for everything about one device. Its error says why the device cannot be used.
func describe(api *driver.API, i int) (Device, error) {
	d := Device{Index: i}
	n, err := api.Devices()
	if err != nil {
		return d, err
	}
	if i >= n {
		return d, fmt.Errorf("cuda:%d: there is no such GPU: this machine has %d", i, n)
	}
	if d.Name, err = api.DeviceName(i); err != nil {
		return d, err
	}
	pools := 0
	for _, q := range []struct {
		at driver.Attribute
		to *int
	}{
		{driver.ComputeMajor, &d.Major}, {driver.ComputeMinor, &d.Minor},
		{driver.Multiprocessors, &d.Multiprocessors}, {driver.MemoryPools, &pools},
		{driver.SharedPerBlockOptin, &d.SharedOptin},
	} {
		if *q.to, err = api.DeviceAttribute(i, q.at); err != nil {
			return d, err
		}
	}
	if d.Memory, err = api.DeviceMemory(i); err != nil {
		return d, err
	}
	d.UUID, d.pools = api.DeviceUUID(i), pools != 0
	return d, d.Usable()
}

// Program returns the path of one of the CUDA toolkit's programs, "" if it is nowhere: on PATH, in
// the toolkit's folder or in those in which Python's packages keep them.
func Program(name string) string { return driver.Program(name) }
