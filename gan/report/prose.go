package report

import (
	"html/template"
	"strings"
)

// prose returns text as paragraphs: an empty line ends one, `…` is code, **…** is bold. Everything
// else is shown as it is.
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
			b.WriteString(template.HTMLEscapeString(s[:i+1]))
			s = s[i+1:]
			continue
		}
		b.WriteString(template.HTMLEscapeString(s[:i]))
		b.WriteString("<" + tag + ">" + template.HTMLEscapeString(rest[:end]) + "</" + tag + ">")
		s = rest[end+len(mark):]
	}
	b.WriteString(template.HTMLEscapeString(s))
	return template.HTML(b.String())
}
