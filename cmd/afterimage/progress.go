package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"afterimage/nn/train"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// plainEvery is how often a training reports on a pipe.
const plainEvery = 10 * time.Second

// A progress shows a training, with rate and time left: a bar on a terminal, one plain line every
// few seconds elsewhere.
type progress struct {
	out   io.Writer
	name  string
	bar   *progressbar.ProgressBar
	total int
	first int // the step before the first one seen: a resumed run does not start at 0
	start time.Time
	last  time.Time
	text  string
}

func newProgress(out io.Writer, name string, total int) *progress {
	p := &progress{out: out, name: name, total: total, first: -1, start: time.Now(), last: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription(name), progressbar.OptionShowCount(),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false),
			progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p
}

// shown are the values worth a place in a progress line, in this order.
var shown = []string{"loss", "d_loss", "g_loss", "val_accuracy", "val_loss"}

func (p *progress) step(s train.Progress) {
	if p.first < 0 {
		p.first = s.Step - 1
	}
	if s.Values != nil {
		var parts []string
		for k, v := range s.Values {
			if slices.Contains(shown, k) {
				parts = append(parts, fmt.Sprintf("%s %.4f", k, v))
			}
		}
		slices.SortFunc(parts, func(a, b string) int {
			rank := func(s string) int { return slices.Index(shown, strings.Fields(s)[0]) }
			return rank(a) - rank(b)
		})
		p.text = strings.Join(parts, "  ")
	}
	now := time.Now()
	if p.bar != nil {
		p.bar.Describe(fitting(p.name+"  "+p.pace(s.Step, now)+"  "+p.text,
			p.columns()-barRoom-2*len(fmt.Sprint(p.total))))
		_ = p.bar.Set(s.Step)
		return
	}
	if now.Sub(p.last) >= plainEvery || s.Step == p.total {
		p.last = now
		fmt.Fprintf(p.out, "%s  step %d of %d  %s  %s\n", p.name, s.Step, p.total,
			p.pace(s.Step, now), p.text)
	}
}

// pace says how fast the steps are of which this process has seen the first, and how long those
// that are left will take. The bar's own rate counts what a resumed run had made before, too.
func (p *progress) pace(step int, now time.Time) string {
	rate := float64(step-p.first) / now.Sub(p.start).Seconds()
	return fmt.Sprintf("%.2f steps/s  %v left", rate, remaining(float64(p.total-step)/rate))
}

// barRoom is the width of what stands behind a bar's description, without the two counts: share,
// a bar of ten columns, and brackets.
const barRoom = 24

// columns returns the width of the terminal, which may have changed; 80 where it does not say.
func (p *progress) columns() int {
	const usual = 80
	if f, ok := p.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return usual
}

// fitting returns as many whole parts of a text, which two blanks separate, as there are columns
// for, the first in any case: a line that is broken cannot be written over.
func fitting(text string, columns int) string {
	parts := strings.Split(strings.TrimSpace(text), "  ")
	out := parts[0]
	for _, part := range parts[1:] {
		if utf8.RuneCountInString(out)+2+utf8.RuneCountInString(part) > columns {
			break
		}
		out += "  " + part
	}
	return out
}

// remaining returns seconds as a duration, a century for more.
func remaining(seconds float64) time.Duration {
	const century = 100 * 365.25 * 24 * time.Hour
	return time.Duration(min(seconds, century.Seconds()) * float64(time.Second)).Round(time.Second)
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
