// Summary runs go test with the arguments it is given, prints what go test prints without -v, and
// last, on one line, how many tests were skipped and why, those that -short leaves out counted by
// themselves: go test itself does not say.
//
//	go run ./.ci/summary [go test's arguments]
//
// It leaves with go test's exit code.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// An event is a line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	skipped := report(os.Stdout, out)
	err = cmd.Wait()
	fmt.Println(skipped)
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		os.Exit(max(1, failed.ExitCode()))
	case err != nil:
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
}

// report copies the packages' lines, and all that tests that failed wrote, from events to w. It
// returns the line about tests that were skipped.
func report(w io.Writer, events io.Reader) string {
	wrote := map[[2]string][]string{}
	reasons := map[string]int{}
	for d := json.NewDecoder(events); ; {
		var e event
		if err := d.Decode(&e); err != nil {
			if err != io.EOF {
				fmt.Fprintln(w, "summary: what go test says is not JSON:", err)
			}
			break
		}
		key := [2]string{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(w, e.Output)
		case e.Action == "output" && e.Test == "":
			if e.Output != "PASS\n" {
				fmt.Fprint(w, e.Output)
			}
		case e.Action == "output":
			wrote[key] = append(wrote[key], e.Output)
		case e.Action == "fail" && e.Test != "":
			fmt.Fprint(w, strings.Join(wrote[key], ""))
			delete(wrote, key)
		case e.Action == "skip" && e.Test != "":
			reasons[reason(wrote[key])]++
			delete(wrote, key)
		case e.Action == "pass":
			delete(wrote, key)
		}
	}
	for _, lines := range wrote { // of tests that never ended: a panic, a timeout
		fmt.Fprint(w, strings.Join(lines, ""))
	}
	return line(reasons)
}

// place is where a test said something: "    file_test.go:12: ".
var place = regexp.MustCompile(`^\s*[\w.]+\.go:\d+: `)

// reason is the last thing that a skipped test wrote, up to a colon: "short: takes a minute" is one
// reason with the other tests that are too long.
func reason(wrote []string) string {
	for _, s := range slices.Backward(wrote) {
		if at := place.FindString(s); at != "" {
			why, _, _ := strings.Cut(strings.TrimSpace(s[len(at):]), ": ")
			return why
		}
	}
	return "no reason given"
}

// short is the reason of tests that -short leaves out: hundreds, beside which the few that lack
// data, a tool or a device would be overlooked.
const short = "short"

// line lists reasons, the commonest first and -short's last.
func line(reasons map[string]int) string {
	var names []string
	total := 0
	for r, n := range reasons {
		if r != short {
			names = append(names, r)
			total += n
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := reasons[b] - reasons[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, r := range names {
		names[i] = fmt.Sprintf("%d × %s", reasons[r], r)
	}
	said := fmt.Sprintf("%d tests skipped", total)
	if total == 1 {
		said = "1 test skipped"
	}
	if total > 0 {
		said += ": " + strings.Join(names, "; ")
	}
	if n := reasons[short]; n > 0 {
		said += fmt.Sprintf(", and %d left out by -short", n)
	}
	return said
}
