package study_test

import (
	"fmt"

	"afterimage/gan/study"
)

// A preset says what it would take before anything is allocated.
func Example() {
	spec, err := study.Load("imagenet128")
	if err != nil {
		panic(err)
	}
	d, err := spec.Describe("")
	if err != nil {
		panic(err)
	}
	i := d.Inverters[0]
	fmt.Println(i.Name, "generator", i.GParameters, "discriminator", i.DParameters)
	fmt.Printf("%.2g FLOP a step, %.2g in all\n", i.StepFLOPs, i.TotalFLOPs)
	// Output:
	// standard-logits generator 70433988 discriminator 87982370
	// 1e+15 FLOP a step, 2.5e+20 in all
}
