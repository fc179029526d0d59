package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"afterimage/tensor"

	"github.com/alecthomas/kong"
)

// negative matches a number below 0 that stands alone.
var negative = regexp.MustCompile(`^-(\d|\.\d|inf$)`)

// joinNegative writes "--flag -1" as "--flag=-1": no flag here begins with a digit, so a number
// below 0 is what the flag is given, and its command can say what it expects instead.
func joinNegative(args []string) []string {
	var out []string
	for i, a := range args {
		if a == "--" {
			return append(out, args[i:]...)
		}
		if n := len(out); n > 0 && negative.MatchString(a) && strings.HasPrefix(out[n-1], "--") &&
			!strings.Contains(out[n-1], "=") {
			out[n-1] += "=" + a
			continue
		}
		out = append(out, a)
	}
	return out
}

// parserWords are the parser's own words for what a flag expects, and ours.
var parserWords = []struct {
	theirs *regexp.Regexp
	ours   string
}{
	{regexp.MustCompile(`expected a valid \d+ bit int but got`), "expected a whole number, got"},
	{regexp.MustCompile(`expected a valid (\d+) bit uint but got`),
		"expected a whole number from 0 to 2^$1 − 1, got"},
	{regexp.MustCompile(`expected a float but got ("[^"]*") \(string\)`), "expected a number, got $1"},
	{regexp.MustCompile(`expected \w+ value but got "EOL" \(<EOL>\)`),
		"expected a value behind it, got the end of the command line"},
	{regexp.MustCompile(`expected \w+ value but got ("[^"]*") \([a-z ]+\); perhaps try (\S+)=".*"\?`),
		"expected a value, got the flag $1; a value that begins with a dash is written $2=VALUE"},
	{regexp.MustCompile(`^expected "(<.*)"$`), "expected $1 behind the command, got nothing"},
}

// oneOf matches the parser's words for a value that is none of those there are.
var oneOf = regexp.MustCompile(`^(--[a-z0-9-]+) must be one of (\S+) but got (".*")$`)

// parseMessage is what is said of a command line that could not be parsed.
func parseMessage(err error) string {
	text := oneLine(err)
	if m := oneOf.FindStringSubmatch(text); m != nil {
		list := strings.ReplaceAll(strings.ReplaceAll(m[2], `"`, ""), ",", ", ")
		if i := strings.LastIndex(list, ", "); i >= 0 {
			list = list[:i] + " or " + list[i+2:]
		}
		return fmt.Sprintf("%s: expected %s, got %s", m[1], list, m[3])
	}
	for _, w := range parserWords {
		text = w.theirs.ReplaceAllString(text, w.ours)
	}
	return text
}

// commandOf returns the command whose help explains a command line that could not be parsed.
func commandOf(err error) string {
	words := []string{"afterimage"}
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		for _, p := range parse.Context.Path {
			if p.Command != nil {
				words = append(words, p.Command.Name)
			}
		}
	}
	return strings.Join(words, " ")
}

// twoNames returns an error if a flag stands in args under its name and under another one that it
// has, too: which of the two values is meant?
func twoNames(k *kong.Context, args []string) error {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	given := func(name string) bool {
		return slices.ContainsFunc(args, func(a string) bool {
			flag, _, _ := strings.Cut(a, "=")
			return flag == "--"+name
		})
	}
	for _, f := range k.Flags() {
		for _, alias := range f.Aliases {
			if given(f.Name) && given(alias) {
				return tensor.Refuse("--%s and --%s are two names of one flag: give one of them", f.Name, alias)
			}
		}
	}
	return nil
}
