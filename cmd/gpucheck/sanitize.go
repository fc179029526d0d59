package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/tensor"
)

// sanitizers are the tools of NVIDIA's compute-sanitizer that are asked: accesses outside
// allocations, and shared memory that two threads reach without a barrier between.
var sanitizers = []string{"memcheck", "racecheck"}

// sanitizerTime is what each of them may take: together less than the stage's budget.
const sanitizerTime = 20 * time.Second

// sanitize runs the stage small under compute-sanitizer, where that is on the machine.
func sanitize(c *check) error {
	tool := cuda.Program("compute-sanitizer")
	if tool == "" {
		c.say(line{Stage: "sanitize", Name: "skipped", OK: true, Values: map[string]any{"why": "no " +
			"compute-sanitizer on PATH, in the toolkit or among Python's packages: python3 -m pip " +
			"install 'nvidia-cuda-sanitizer-api==13.0.*' brings it"}})
		return nil
	}
	for _, name := range sanitizers {
		if err := c.sanitize(tool, name); err != nil {
			return err
		}
	}
	return nil
}

// sanitize runs one tool and says what it found.
func (c *check) sanitize(tool, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sanitizerTime)
	defer cancel()
	args := []string{"--tool", name, "--error-exitcode", "9", "--print-limit", "10", self,
		"-device", c.device, "-stage", "small"}
	if c.tiny {
		args = append(args, "-tiny")
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	endAll(cmd)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var says []string
	done := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var l line
		switch text := lines.Text(); {
		case json.Unmarshal(lines.Bytes(), &l) == nil && l.Stage != "":
			done++
			l.Stage, l.Name = "sanitize", name+": "+l.Name
			c.say(l)
		case complains(text):
			says = append(says, text)
		}
	}
	err = cmd.Wait()
	l := line{Stage: "sanitize", Name: name, OK: len(says) == 0, Values: map[string]any{"tool": tool,
		"finished": err == nil, "cases": done, "says": says[:min(len(says), 20)]}}
	if err != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		l.OK, l.Error = false, err.Error()
	}
	c.say(l)
	return nil
}

// complains reports whether a line of compute-sanitizer's tells of anything but its start and end.
func complains(text string) bool {
	rest, ok := strings.CutPrefix(text, "=========")
	rest = strings.TrimSpace(rest)
	return ok && rest != "" && rest != "COMPUTE-SANITIZER" && !strings.Contains(rest, "SUMMARY: 0 ")
}

// small makes a step of small networks with every tensor in an allocation of its own, by our own
// kernels: what a tool that slows a card down a hundred times can go through.
func small(c *check) error {
	for _, o := range arithmetics() {
		if !o.Own || c.tiny && o.Precision != tensor.BF16 {
			continue
		}
		o.Isolate = true
		nets := []stepCase{{"biggan32", 2, playerSteps(attentive())}, {"classifier", 2, smallSteps}}
		for _, s := range nets {
			b, err := c.open(o.Options)
			if err != nil {
				return err
			}
			t, err := s.start(callByCall{b}, s.batch, c.tiny)
			if err == nil {
				err = firstOf(t.step(0), b.Sync())
				t.done()
			}
			b.Close()
			if err != nil {
				return err
			}
			c.say(line{Stage: "small", Name: s.name + ", " + o.name, OK: true})
		}
	}
	return nil
}

// attentive is a small BigGAN with attention in both players.
func attentive() gan.Config {
	c := gan.Slim32(8, 4)
	c.GAttention, c.DAttention = 16, 16
	return c
}

// smallSteps trains a residual network for 32 pixels.
func smallSteps(b tensor.Backend, batch int, tiny bool) (training, error) {
	if tiny {
		return networkSteps(b, "lenet5", batch, 32)
	}
	return networkSteps(b, "resnet8", batch, 32)
}
