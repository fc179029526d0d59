package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakChains is the number of independent accumulators of the peak loop: more than latency times
// throughput of any core there is (4 cycles, 2 a cycle).
const peakChains = 24

// peak adds func fmaLoop(n int).
func peak(c *build.Context) { peakLoop(c, "fmaLoop", floats32) }

// peakLoop adds func name(n int): n > 0 rounds of peakChains products of 16 lanes, touching
// registers only: the rate no kernel can exceed.
func peakLoop(c *build.Context, name string, p product) {
	c.Function(name)
	c.Attributes(4) // NOSPLIT
	c.SignatureExpr("func(n int)")
	c.Load(c.Param("n"), reg.RCX)
	for i := range 32 {
		c.VPXORD(zmm[i], zmm[i], zmm[i])
	}
	c.Label("round")
	for i := range peakChains {
		p.registers(c, zmm[30], zmm[31], zmm[i])
	}
	c.DECQ(reg.RCX)
	c.JNZ(operand.LabelRef("round"))
	c.VZEROUPPER()
	c.RET()
}
