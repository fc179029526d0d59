package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"afterimage/bench"
	"afterimage/cuda"
	"afterimage/nn/data"
	"afterimage/tensor/cpu/gemm"
	"afterimage/tensor/cpu/vec"

	xcpu "golang.org/x/sys/cpu"
)

type doctorCmd struct {
	Data string `help:"Folder of data sets." env:"AFTERIMAGE_DATA" default:"data" placeholder:"DIR"`
	JSON bool   `help:"Print the report as JSON." name:"json"`
}

// Help shows examples under the flags.
func (doctorCmd) Help() string {
	return `What the program found: processor, kernels, a quick measurement of the peak, memory,
data. It takes about a second; "afterimage bench kernels" measures thoroughly.

Examples:
  afterimage doctor
  afterimage doctor --data ~/data --json`
}

// A doctorReport is what doctor prints.
type doctorReport struct {
	Revision   string          `json:"revision"`
	Go         string          `json:"go"`
	Platform   string          `json:"platform"`
	CPU        string          `json:"cpu"`
	Cores      int             `json:"cores"`
	Threads    int             `json:"threads"`
	Features   map[string]bool `json:"features"`
	Gemm       string          `json:"gemm_kernel"`
	Vec        string          `json:"vector_kernel"`
	PeakGFLOPs float64         `json:"peak_gflops"`
	PeakBF16   float64         `json:"peak_bf16_gflops"` // 0 where --precision bf16 is not possible
	CopyGBs    float64         `json:"copy_gb_per_s"`
	Memory     memoryReport    `json:"memory"`
	CUDA       cuda.Report     `json:"cuda"`
	Data       dataReport      `json:"data"`
}

type memoryReport struct {
	Available int `json:"available_bytes"` // of the system; 0 where it does not tell
	Limit     int `json:"limit_bytes"`     // what tensors may take
}

type dataReport struct {
	Folder string      `json:"folder"`
	Sets   []setReport `json:"sets"`
}

// A setReport says whether a data set is there.
type setReport struct {
	Name   string `json:"name"`
	Found  bool   `json:"found"`
	Whole  bool   `json:"whole"`
	Detail string `json:"detail"`
}

// The copy that doctor times: beyond any cache, and over in some milliseconds.
const doctorCopyBytes = 128 << 20

// Run looks at the machine and reports.
func (c *doctorCmd) Run(e *env) error {
	if e.cli.Device != "auto" && e.cli.Device != "cpu" { // asked for by name: it must open
		d, err := e.open()
		if err != nil {
			return err
		}
		d.Close()
	}
	b, err := e.openCPU()
	if err != nil {
		return err
	}
	defer b.Close()
	r := doctorReport{Revision: revision(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPU:      cpuName(), Cores: runtime.NumCPU(), Threads: b.Threads(), Features: features(),
		Gemm: gemm.Kernel(), Vec: vec.Variant(),
		PeakGFLOPs: gemm.PeakFMA(b.Pool()), CopyGBs: bench.CopyRate(b, doctorCopyBytes),
		Memory: memoryReport{availableMemory(), b.Memory().Limit}, CUDA: cuda.Find(),
		Data: dataReport{c.Data, dataSets(c.Data)}}
	if gemm.HasBF16() {
		r.PeakBF16 = gemm.PeakBF16(b.Pool())
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(r)
	}
	r.print(e.out)
	return nil
}

// print writes one aligned screen.
func (r doctorReport) print(out io.Writer) {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	say("program", "afterimage %s, %s, %s", r.Revision, r.Go, r.Platform)
	say("processor", "%s, %d cores", r.CPU, r.Cores)
	var has []string
	for _, name := range featureNames() {
		has = append(has, name+" "+yesNo(r.Features[name]))
	}
	say("features", "%s", strings.Join(has, ", "))
	say("kernels", "matrix products and convolutions %s, vector loops %s", r.Gemm, r.Vec)
	say("threads", "%d", r.Threads)
	say("peak", "%.0f GFLOP/s of multiply-adds, measured just now", r.PeakGFLOPs)
	if r.PeakBF16 > 0 {
		say("bf16", "%.0f GFLOP/s of products in bf16, measured just now (--precision bf16)", r.PeakBF16)
	} else {
		say("bf16", "no AVX512_BF16 here (or built with purego): --precision bf16 is not possible")
	}
	say("copy", "%.1f GB/s, reading and writing, measured just now", r.CopyGBs)
	say("memory", "%s, tensors may take %s", available(r.Memory.Available),
		gigabytes(r.Memory.Limit))
	r.printCUDA(say)
	say("data", "looked for in %s (--data or AFTERIMAGE_DATA)", r.Data.Folder)
	for _, s := range r.Data.Sets {
		say("  "+s.Name, "%s", s.Detail)
	}
}

// printCUDA says which GPUs and libraries there are, or why there are none.
func (r doctorReport) printCUDA(say func(name, format string, args ...any)) {
	if r.CUDA.Problem != "" {
		say("cuda", "no: %s", r.CUDA.Problem)
	}
	for _, d := range r.CUDA.Devices {
		say("cuda", "%v", d)
	}
	for _, l := range r.CUDA.Libraries {
		say("  library", "%s", l)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func gigabytes(n int) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }

func available(n int) string {
	if n == 0 {
		return "the system does not say how much is available"
	}
	return gigabytes(n) + " available"
}

// featureNames orders the features for people.
func featureNames() []string { return []string{"AVX2", "FMA", "AVX-512", "bf16"} }

// features says which instruction sets the processor has, of those that kernels could use.
func features() map[string]bool {
	x := xcpu.X86
	return map[string]bool{"AVX2": x.HasAVX2, "FMA": x.HasFMA, "bf16": x.HasAVX512BF16,
		"AVX-512": x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL}
}

// availableMemory is what Linux calls MemAvailable, in bytes; 0 elsewhere.
func availableMemory() int {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			if f := strings.Fields(v); len(f) > 0 {
				kb, _ := strconv.Atoi(f[0])
				return kb << 10
			}
		}
	}
	return 0
}

// dataSets looks for every data set the program knows.
func dataSets(dir string) []setReport {
	var out []setReport
	for _, name := range data.Names() {
		switch name {
		case "scenes":
			out = append(out, setReport{name, true, true, "drawn by the program"})
		case "cifar-10", "cifar-100":
			out = append(out, cifarSet(name, dir))
		default:
			out = append(out, openedSet(name, dir))
		}
	}
	return out
}

// cifarFiles names the parts of a CIFAR set, with the length of one record: labels and 3072 pixels.
func cifarFiles(name string) (folder, archive string, record int, files []string) {
	if name == "cifar-100" {
		return "cifar-100-binary", "cifar-100-binary.tar.gz", 3074, []string{"train.bin",
			"test.bin"}
	}
	return "cifar-10-batches-bin", "cifar-10-binary.tar.gz", 3073, []string{"data_batch_1.bin",
		"data_batch_2.bin",
		"data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}
}

// cifarSet checks the files of a CIFAR set by their lengths, which tell an interrupted copy;
// reading them would take seconds.
func cifarSet(name, dir string) setReport {
	sub, archive, record, files := cifarFiles(name)
	folder, images := filepath.Join(dir, sub), 0
	if _, err := os.Stat(folder); err != nil {
		info, err := os.Stat(filepath.Join(dir, archive))
		if err != nil {
			return setReport{Name: name, Detail: absent(name)}
		}
		return setReport{name, true, true, fmt.Sprintf("%s, %d MB, not unpacked", archive,
			info.Size()>>20)}
	}
	bad := func(file, problem string) setReport {
		return setReport{name, true, false,
			fmt.Sprintf("%s %s; remove it and run: afterimage data get %s",
				filepath.Join(folder, file), problem, name)}
	}
	for _, f := range files {
		info, err := os.Stat(filepath.Join(folder, f))
		switch {
		case err != nil:
			return bad(f, "is not there")
		case info.Size() == 0 || info.Size()%int64(record) != 0:
			return bad(f, fmt.Sprintf("is damaged: %d bytes are not whole records of %d",
				info.Size(), record))
		}
		images += int(info.Size()) / record
	}
	return counted(name, images)
}

// counted reports a set that can be read, and whether it has as many images as its authors
// published.
func counted(name string, images int) setReport {
	published := 60_000
	if strings.HasSuffix(name, "mnist") {
		published = 70_000
	}
	if images != published {
		return setReport{name, true, false, fmt.Sprintf("%d of the %d images published", images,
			published)}
	}
	return setReport{name, true, true, fmt.Sprintf("whole, %d images", images)}
}

// openedSet checks a small set by reading it.
func openedSet(name, dir string) setReport {
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		return setReport{Name: name, Detail: absent(name)}
	}
	set, err := data.Open(name, dir, data.Options{})
	if err != nil {
		return setReport{name, true, false, err.Error()}
	}
	return counted(name, set.TrainVal.Len()+set.Test.Len())
}

func absent(name string) string { return "not there; to get it: afterimage data get " + name }
