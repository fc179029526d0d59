package main

import (
	"strings"
	"testing"
)

// TestReport: packages' lines and what failing tests wrote are copied, what others wrote is not,
// and skipped tests are counted by reason.
func TestReport(t *testing.T) {
	const events = `
{"Action":"build-output","ImportPath":"c","Output":"c.go:1: no\n"}
{"Action":"output","Package":"a","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"a","Test":"TestA"}
{"Action":"output","Package":"a","Test":"TestB","Output":"    b_test.go:3: bad\n"}
{"Action":"fail","Package":"a","Test":"TestB"}
{"Action":"output","Package":"a","Test":"TestC","Output":"    c_test.go:7: short: takes a minute\n"}
{"Action":"output","Package":"a","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestC"}
{"Action":"output","Package":"a","Test":"TestD","Output":"    d_test.go:8: short: takes two\n"}
{"Action":"skip","Package":"a","Test":"TestD"}
{"Action":"output","Package":"a","Test":"TestE","Output":"    e_test.go:9: no driver\n"}
{"Action":"skip","Package":"a","Test":"TestE"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"output","Package":"b","Test":"TestF","Output":"panic: lost\n"}`
	var out strings.Builder
	got := report(&out, strings.NewReader(events))
	if want := "1 test skipped: 1 × no driver, and 2 left out by -short"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "c.go:1: no\n    b_test.go:3: bad\nFAIL\ta\t0.1s\npanic: lost\n"; out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
	if got := report(&out, strings.NewReader("")); got != "0 tests skipped" {
		t.Errorf("got %q", got)
	}
}
