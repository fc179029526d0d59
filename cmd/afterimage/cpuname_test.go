package main

import (
	"runtime"
	"testing"
)

// TestCPUName: a name that a virtual machine gives to all generations comes with what tells them
// apart, and only the first processor counts.
func TestCPUName(t *testing.T) {
	for want, text := range map[string]string{
		"AMD EPYC (family 26, model 2, stepping 1)": "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\n" +
			"model name\t: AMD EPYC\nstepping\t: 1\n\nprocessor\t: 1\ncpu family\t: 9\nmodel name\t: B\n",
		"A: B":         "model name : A: B\n",
		runtime.GOARCH: "processor : 0\nBogoMIPS : 50\n",
	} {
		if got := cpuNameIn(text); got != want {
			t.Errorf("%q: got %q, expected %q", text, got, want)
		}
	}
}
