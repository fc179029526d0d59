package kernels

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"afterimage/tensor"
)

// planner returns an encoder that keeps launches, and where they are. Nothing has to be in memory.
func planner() (*Encoder, *[]Launch) {
	all := &[]Launch{}
	return &Encoder{Emit: func(l Launch) { *all = append(*all, l) },
		Scratch: func(int) uint64 { return 1 << 40 }}, all
}

// huge is a tensor of which only the shape matters.
func huge(dt tensor.DType, shape ...int) Array { return Array{1 << 40, dt, shape} }

// only returns the argument struct of the only launch.
func only[A any](t *testing.T, all []Launch) (a A) {
	t.Helper()
	if len(all) != 1 || len(all[0].Args) != int(unsafe.Sizeof(a)) {
		t.Fatalf("%d launches: %+v", len(all), all)
	}
	return *(*A)(unsafe.Pointer(&all[0].Args[0]))
}

// TestScatterGrid wants the bands of a large image in as many as a grid has room for, all of it.
func TestScatterGrid(t *testing.T) {
	for _, c := range []int{1, 2, 3} {
		e, all := planner()
		dx, dy := huge(tensor.F32, 1, 4096, 4096, c), huge(tensor.F32, 1, 2048, 2048, c)
		e.PoolScatter(dx, dy, huge(tensor.I32, dy.Shape...))
		a := only[poolScatterArgs](t, *all)
		if bands := int((*all)[0].Grid[1]); bands > maxGridYZ || bands*int(a.PerBand) < 4096*4096 {
			t.Errorf("%d channels: %d bands of %d pixels", c, bands, a.PerBand)
		}
	}
}

// TestLongAxes wants axes that together have more elements than a kernel's numbers count left
// apart where the kernel walks over several, and taken as one where it does not look.
func TestLongAxes(t *testing.T) {
	const long = 1 << 16
	e, all := planner()
	x := huge(tensor.F32, 3, long, long, 2)
	e.Binary(tensor.Add, x, x, huge(tensor.F32, long, long, 2))
	a := only[binaryArgs](t, *all)
	if a.Rank != 3 || a.Shape[0] != 3 || a.Shape[1] != long || a.Shape[2] != 2*long ||
		a.Sy != [maxRank]int64{0, 2 * long, 1} {
		t.Errorf("binary: %+v", a)
	}
	*all = nil
	e.Binary(tensor.Add, x, x, x)
	if a := only[binaryArgs](t, *all); a.Rank != 0 || a.N != 3*2<<32 {
		t.Errorf("binary of one shape: %+v", a)
	}
	*all = nil
	wide := huge(tensor.F32, 3, long, long, 4)
	e.CopyRegion(x, wide, tensor.Region{DstStart: []int{0, 0, 0, 0}, SrcStart: []int{0, 0, 0, 0},
		DstStep: []int{1, 1, 1, 1}, SrcStep: []int{1, 1, 1, 2}, Size: x.Shape})
	b, size := only[stridedArgs](t, *all), 1
	for _, n := range b.Shape[:b.Rank] {
		size *= int(n)
	}
	if b.N != 3*2<<32 || size != 3*2<<32 {
		t.Errorf("copy: %+v", b)
	}
}

// TestTooLarge wants what no kernel can count, and no grid holds, refused in words.
func TestTooLarge(t *testing.T) {
	const long = 1 << 31
	one := tensor.ConvParams{StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	groups := one
	groups.Groups = maxGridYZ + 1
	wide := huge(tensor.F32, 1, 2, 2, groups.Groups)
	for name, f := range map[string]func(e *Encoder){
		"rows of a product": func(e *Encoder) {
			e.MatMul(huge(tensor.F32, long, 2), huge(tensor.F32, long, 3), huge(tensor.F32, 3, 2),
				tensor.MatMulParams{})
		},
		"its inner extent": func(e *Encoder) {
			e.MatMul(huge(tensor.F32, 2, 2), huge(tensor.F32, 2, long), huge(tensor.F32, long, 2),
				tensor.MatMulParams{})
		},
		"a strided axis": func(e *Encoder) {
			e.CopyRegion(huge(tensor.F32, long), huge(tensor.F32, 2*long), tensor.Region{
				DstStart: []int{0}, SrcStart: []int{0}, DstStep: []int{1}, SrcStep: []int{2},
				Size: []int{long}})
		},
		"rows of ArgMax": func(e *Encoder) {
			e.ArgMax(huge(tensor.I32, 1<<36), huge(tensor.F32, 1<<36, 1))
		},
		"groups": func(e *Encoder) {
			e.Conv2D(wide, wide, huge(tensor.F32, groups.Groups, 1, 1, 1), groups)
		},
		"groups of a weight's gradient": func(e *Encoder) {
			e.Conv2DWeightGrad(huge(tensor.F32, groups.Groups, 1, 1, 1), wide, wide, groups)
		},
		"pixels": func(e *Encoder) {
			x := huge(tensor.F32, 1<<11, 1<<10, 1<<10, 1)
			e.Conv2D(x, x, huge(tensor.F32, 1, 1, 1, 1), one)
		},
	} {
		e, all := planner()
		var misuse *tensor.Error
		err := tensor.Try(func() { f(e) })
		if !errors.As(err, &misuse) || !strings.Contains(misuse.Reason, "GPU") {
			t.Errorf("%s: %v", name, err)
		}
		if len(*all) != 0 {
			t.Errorf("%s: launched %+v", name, *all)
		}
	}
}

// TestOneConversion wants numbers of argument structs cut by i32 alone, but for operations and
// counts of what the host holds.
func TestOneConversion(t *testing.T) {
	for _, n := range []int{1, -1, maxExtent - 1} {
		if int(i32(n)) != n {
			t.Errorf("%d became %d", n, i32(n))
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	cut := regexp.MustCompile(`\bint32\((.*)`)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(raw), "\n") {
			m := cut.FindStringSubmatch(line)
			if m == nil || strings.HasSuffix(f, "_test.go") || line == "\treturn int32(n)" ||
				regexp.MustCompile(`^(len\(|op\)|saturate)`).MatchString(m[1]) {
				continue
			}
			t.Errorf("%s:%d: %s", f, i+1, strings.TrimSpace(line))
		}
	}
}
