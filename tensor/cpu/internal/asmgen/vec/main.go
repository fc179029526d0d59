// Command vec writes the AVX-512 loops of package tensor/cpu/vec, vec_amd64.s and the Go
// declarations stubs_amd64.go, and the same for AVX2, avx2_vec_amd64.s and avx2_stubs_amd64.go.
//
// It is run from the asmgen directory (go run ./vec) and finds the package from its own source
// position, so the working directory does not matter. The text of the generator is meant to be
// read instead of its output: ops.go has a line per element-wise function, loop.go the one loop
// they all share, math.go the transcendental functions, tanh.go the one that AVX-512 takes from
// tables, mask.go conditions and tails, overlap.go the order of operations where several vectors
// are worked on at a time, and columns.go, inplace.go, layernorm.go, reduce.go, softmax.go,
// taps.go, tapgrads.go and windows.go the loops with a shape of their own.
package main

import (
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	log.SetFlags(0)
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		log.Fatal("vec: no source position")
	}
	dir := filepath.Join(filepath.Dir(self), "..", "..", "..", "vec")
	generate(dir, "", newGen(false))
	generate(dir, "avx2_", newGen(true))
}

// generate makes every loop with g and writes them to prefix+vec_amd64.s and prefix+stubs_amd64.go.
func generate(dir, prefix string, g *gen) {
	for _, k := range elementwise() {
		g.rowLoop(k)
	}
	for _, k := range columnSums() {
		g.columnLoop(k)
	}
	g.sum()
	g.dot()
	g.addDoubles()
	g.softmaxes()
	g.layerNorm()
	g.maxWindows()
	g.maxima()
	g.scatterAdd()
	g.tapWindows()
	g.tapGradients()
	g.rowsInPlace()
	f, err := g.Result()
	if err == nil {
		err = pass.Concat(pass.Compile, pass.FunctionPass(pruneSelfMoves)).Execute(f)
	}
	if err != nil {
		log.Fatal(err)
	}
	cfg := printer.Config{
		Argv: []string{"go", "run", "./vec", "(in tensor/cpu/internal/asmgen)"}, Pkg: "vec",
	}
	for name, p := range map[string]printer.Printer{
		"vec_amd64.s": printer.NewGoAsm(cfg), "stubs_amd64.go": printer.NewStubs(cfg),
	} {
		text, err := p.Print(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, prefix+name), text, 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// pruneSelfMoves removes the copies that gen makes of operands which nothing needs afterwards: the
// result then got the same register. They cost no arithmetic, but a place each on the way there.
func pruneSelfMoves(fn *ir.Function) error {
	fn.Nodes = slices.DeleteFunc(fn.Nodes, func(n ir.Node) bool {
		i, ok := n.(*ir.Instruction)
		return ok && isCopy(i) && i.Operands[0] == i.Operands[1]
	})
	return nil
}

// isCopy reports whether an instruction copies a whole vector register, as gen.copy does.
func isCopy(i *ir.Instruction) bool {
	return i.Opcode == "VMOVAPS" && len(i.Suffixes) == 0 && len(i.Operands) == 2
}
