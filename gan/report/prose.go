package report

import (
	"html/template"
	"regexp"
	"strings"
)

// prose returns text as paragraphs: an empty line ends one, `…` is code, **…** is bold and may hold
// code. A per cent sign stays on its number's line, an interval on one. Everything else is shown as
// it is.
func prose(s string) template.HTML {
	var b strings.Builder
	for _, para := range strings.Split(s, "\n\n") {
		if para = strings.TrimSpace(para); para != "" {
			b.WriteString("<p>" + string(inline(para)) + "</p>\n")
		}
	}
	return template.HTML(b.String())
}

// inline returns one run of prose without paragraphs. A marker without a partner is kept as text.
func inline(s string) template.HTML {
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "`*")
		if i < 0 {
			break
		}
		mark, tag := "`", "code"
		if s[i] == '*' {
			mark, tag = "**", "strong"
		}
		rest, ok := strings.CutPrefix(s[i:], mark)
		end := strings.Index(rest, mark)
		if !ok || end < 1 {
			b.WriteString(unmarked(s[:i+1]))
			s = s[i+1:]
			continue
		}
		inside := template.HTMLEscapeString(rest[:end])
		if tag == "strong" {
			inside = string(inline(rest[:end]))
		}
		b.WriteString(unmarked(s[:i]) + "<" + tag + ">" + inside + "</" + tag + ">")
		s = rest[end+len(mark):]
	}
	b.WriteString(unmarked(s))
	return template.HTML(b.String())
}

// interval matches an interval as an estimate is written with.
var interval = regexp.MustCompile(`\[(−?[\d.]+), (−?[\d.]+)\]`)

// unmarked returns text without markers, in which a number keeps its per cent sign and an interval
// its line.
func unmarked(s string) string {
	s = interval.ReplaceAllString(s, "[$1,\u00a0$2]")
	return template.HTMLEscapeString(strings.ReplaceAll(s, " %", "\u00a0%"))
}
