package nntest_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"afterimage/nn"
	"afterimage/nn/nntest"
)

// forgetful has a parameter that it does not list.
type forgetful struct {
	listed *nn.Linear
	hidden []nn.Layer
}

func (f *forgetful) Params() iter.Seq2[string, *nn.Param] {
	return nn.Prefixed("listed", f.listed).Params()
}

func TestFindsAnUnlistedParameter(t *testing.T) {
	lin := func() *nn.Linear { return nn.NewLinear(nn.LinearConfig{In: 2, Out: 2}) }
	m := &forgetful{listed: lin(), hidden: []nn.Layer{lin()}}
	got := strings.Join(nntest.Problems(m), "\n")
	for _, want := range []string{"hidden[0].Weight is not listed",
		"hidden[0].Bias is not listed"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to contain %q", got, want)
		}
	}
	m.hidden = nil
	nntest.CheckParams(t, m)
}

func ExampleProblems() {
	shared := nn.NewLinear(nn.LinearConfig{In: 1, Out: 1, NoBias: true})
	fmt.Println(nntest.Problems(nn.Sequential{shared, shared}))
	// Output: [0.weight and 1.weight are the same parameter]
}
