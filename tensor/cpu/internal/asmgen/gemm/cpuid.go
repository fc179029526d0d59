package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// cpuid adds func cpuid(leaf uint32) (eax, ebx uint32): two of the four registers that the
// instruction answers with, for the leaf's first subleaf.
func cpuid(c *build.Context) {
	c.Function("cpuid")
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(leaf uint32) (eax, ebx uint32)")
	c.Load(c.Param("leaf"), reg.EAX)
	c.XORL(reg.ECX, reg.ECX)
	c.CPUID()
	c.Store(reg.EAX, c.Return("eax"))
	c.Store(reg.EBX, c.Return("ebx"))
	c.RET()
}
