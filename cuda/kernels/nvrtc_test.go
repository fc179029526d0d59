package kernels_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"afterimage/cuda/kernels"
)

var (
	updateRegisters = flag.Bool("update", false, "rewrite REGISTERS.md and ptx/")
	onlyStem        = flag.String("stem", "", "compile this stem alone")
)

// architectures are the cards for which every kernel must compile: Ampere, and Hopper with all it
// has.
var architectures = []string{"sm_80", "sm_90a"}

// A property is what ptxas says about a kernel.
type property struct {
	Stem, Arch, Kernel              string
	Registers, Spill, Shared, Stack int
}

// TestNVRTC compiles every kernel with NVRTC to machine code and compares registers and spills with
// the committed table. It needs a virtual environment with the compilers' wheels, see nvrtc.py:
//
//	AFTERIMAGE_NVRTC_VENV=VENV go test ./cuda/kernels -run TestNVRTC [-update]
func TestNVRTC(t *testing.T) {
	venv := os.Getenv("AFTERIMAGE_NVRTC_VENV")
	if venv == "" {
		t.Skip("AFTERIMAGE_NVRTC_VENV names no virtual environment with NVRTC: see nvrtc.py")
	}
	got := compileAll(t, venv)
	for _, p := range got {
		if p.Shared > 48<<10 {
			t.Errorf("%s on %s takes %d bytes of static shared memory", p.Kernel, p.Arch, p.Shared)
		}
	}
	for name := range kernels.Entries() {
		for _, arch := range architectures {
			if *onlyStem == "" && !slices.ContainsFunc(got, func(p property) bool {
				return p.Kernel == name && p.Arch == arch
			}) {
				t.Errorf("%s was not compiled for %s", name, arch)
			}
		}
	}
	old, err := os.ReadFile("REGISTERS.md")
	if err != nil && !*updateRegisters {
		t.Fatal(err)
	}
	rows := registerRows(got)
	if *updateRegisters {
		if *onlyStem != "" { // keep what was not compiled
			for _, line := range strings.Split(string(old), "\n") {
				if key, ok := rowKey(line); ok && rows[key] == "" && !strings.HasPrefix(key, *onlyStem+" ") {
					rows[key] = line
				}
			}
		}
		if err := os.WriteFile("REGISTERS.md", []byte(registerTable(rows)), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range rows {
		if !strings.Contains(string(old), line+"\n") {
			t.Errorf("REGISTERS.md does not have this line (go test with -update writes it):\n%s", line)
		}
	}
	if *onlyStem == "" && strings.Count(string(old), "\n| ") != len(rows)+1 {
		t.Errorf("REGISTERS.md does not have %d kernels", len(rows))
	}
}

// rowKey returns "file | kernel" of a line of the table.
func rowKey(line string) (string, bool) {
	f := strings.Split(line, " | ")
	if len(f) != 6 || f[1] == "kernel" {
		return "", false
	}
	return strings.TrimPrefix(f[0], "| ") + " | " + f[1], true
}

// compileAll compiles all texts for all architectures and returns what ptxas says.
func compileAll(t *testing.T, venv string) (all []property) {
	out := nvrtc(t, venv, t.TempDir(), architectures...)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var p property
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("nvrtc.py said %q: %v", lines.Text(), err)
		}
		if p.Kernel != "" {
			all = append(all, p)
		}
	}
	return all
}

// nvrtc runs nvrtc.py over all texts, which it writes into dir, and returns what it says.
func nvrtc(t *testing.T, venv, dir string, architectures ...string) *bytes.Buffer {
	t.Helper()
	for _, s := range kernels.Stems() {
		if *onlyStem != "" && s != *onlyStem {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, s+".cu"), []byte(kernels.Text(s)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var out, failure bytes.Buffer
	c := exec.Command(filepath.Join(venv, "bin", "python"),
		append([]string{"nvrtc.py", dir}, architectures...)...)
	c.Stdout, c.Stderr = &out, &failure
	if err := c.Run(); err != nil {
		t.Fatalf("nvrtc.py: %v\n%s", err, failure.String())
	}
	return &out
}

// registerRows makes a line of the table for each kernel, by "file | kernel".
func registerRows(all []property) map[string]string {
	rows := map[string]string{}
	for _, arch := range architectures {
		for _, p := range all {
			if p.Arch == arch {
				key := p.Stem + " | " + p.Kernel
				if rows[key] == "" {
					rows[key] = "| " + key
				}
				rows[key] += fmt.Sprintf(" | %d | %d", p.Registers, p.Spill)
			}
		}
	}
	for key := range rows {
		rows[key] += " |"
	}
	return rows
}

// registerTable is REGISTERS.md.
func registerTable(rows map[string]string) string {
	var b strings.Builder
	b.WriteString("# Registers and spills\n\n" +
		"Registers of a thread and bytes it spills (stores and loads), as the ptxas inside NVRTC " +
		"13.0.88 reports them.\n`TestNVRTC` holds the kernels to this table and `-update` rewrites " +
		"it.\n\n" +
		"| file | kernel | sm_80 registers | spill | sm_90a registers | spill |\n" +
		"|---|---|---|---|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[key] + "\n")
	}
	return b.String()
}
