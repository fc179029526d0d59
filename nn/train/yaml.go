package train

import (
	"bytes"
	"strings"

	"afterimage/tensor"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a configuration: a study's has some five thousand bytes and is nested four deep. The
// YAML reader's memory grows with the square of the depth.
const (
	yamlMax   = 1 << 18
	yamlDepth = 32
)

// DecodeYAML reads a configuration into v, a pointer to a struct all of whose fields it names. A
// name that v has no field for is an error, and so is what no configuration of this program needs
// and a few bytes of which can ask for much memory or confuse the reader: anchors, aliases, tags,
// deep nesting, long files.
func DecodeYAML(text []byte, v any) error { return decodeYAML(text, v, yaml.Strict()) }

func decodeYAML(text []byte, v any, opts ...yaml.DecodeOption) (err error) {
	if err := checkYAML(text); err != nil {
		return err
	}
	// Fuzzing found texts on which the YAML library panics; that must not look like our own fault.
	defer func() {
		if p := recover(); p != nil {
			err = tensor.Refuse("the text is no YAML that can be read: %v", p)
		}
	}()
	if err := yaml.UnmarshalWithOptions(text, v, opts...); err != nil {
		// in one line: without the text around it
		return tensor.Refuse("%s", strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return nil
}

// checkYAML returns an error for a text that is not to be parsed.
func checkYAML(text []byte) error {
	if len(text) > yamlMax {
		return tensor.Refuse("%d bytes: expected at most %d of a configuration", len(text), yamlMax)
	}
	depth := 0
	for line := range bytes.Lines(text) {
		// Brackets in a text count, too: they close again, or there are few.
		rest := bytes.TrimLeft(line, "-? \t")
		deepest, now := depth, depth
		for _, c := range rest {
			switch c {
			case '[', '{':
				now++
			case ']', '}':
				now--
			}
			deepest = max(deepest, now)
		}
		signs := line[:len(line)-len(rest)]
		if deepest += len(signs) - bytes.Count(signs, []byte(" ")); deepest > yamlDepth {
			return tensor.Refuse("nested more than %d deep: no configuration is", yamlDepth)
		}
		depth = max(now, 0)
	}
	for _, t := range lexer.Tokenize(string(text)) {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType:
			return tensor.Refuse("anchors, aliases and tags (&, *, <<, !) are not read: write the value " +
				"out, in quotes if it is a text")
		}
	}
	return nil
}
