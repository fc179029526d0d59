package main

import (
	"fmt"

	"afterimage/cuda"
	"afterimage/gan"
	"afterimage/tensor"
)

// idle tells for how much of a replayed step no kernel runs: one less the kernels' time, which
// NVIDIA's profiler CUPTI notes kernel by kernel within a recording, too, over the time that a step
// takes while nothing is noted, since noting slows down what is between kernels. Where kernels run
// beside each other their times add up to more than they cover: "busy" counts what they cover, with
// copies and fills.
func idle(c *check) error {
	cases := []stepCase{{"resnet50", 128, resnetSteps},
		{"biggan128 ch96", 32, playerSteps(gan.BigGAN128(96, 1000))}}
	if c.tiny {
		cases = []stepCase{{"resnet50", 1, resnetSteps}}
	}
	by, err := c.profiler()
	if err != nil {
		return err
	}
	for _, s := range cases {
		if by == "" {
			break
		}
		if err := c.idle(s, by); err != nil {
			c.say(line{Stage: "idle", Name: s.name, Error: err.Error(),
				Values: map[string]any{"batch": s.batch}})
		}
	}
	return nil
}

// profiler says which one there is; without any it says a line why, and returns "".
func (c *check) profiler() (string, error) {
	b, err := c.open(cuda.Options{})
	if err != nil {
		return "", err
	}
	defer b.Close()
	by, missing := b.Profiler()
	if missing != nil {
		c.say(line{Stage: "idle", Name: "skipped", OK: true, Values: map[string]any{"why": by +
			": python3 -m pip install 'nvidia-cuda-cupti==13.0.*' brings it"}})
		return "", nil
	}
	return by, nil
}

// idle measures one case, first without the profiler.
func (c *check) idle(s stepCase, by string) error {
	var wall float64
	err := c.replaying(s, cuda.Options{Precision: tensor.BF16},
		func(b *cuda.Backend, next func()) (err error) {
			wall, err = c.timed(b, next)
			return err
		})
	if err != nil {
		return err
	}
	steps := 5
	if c.tiny {
		steps = 1
	}
	var t cuda.Trace
	err = c.replaying(s, cuda.Options{Precision: tensor.BF16, Trace: true},
		func(b *cuda.Backend, next func()) (err error) {
			t, err = b.Trace(func() {
				for range steps {
					next()
				}
			})
			return err
		})
	if err != nil {
		return err
	}
	if t.Kernels == 0 || t.Lost > 0 {
		return fmt.Errorf("%s noted %d kernels and lost %d", by, t.Kernels, t.Lost)
	}
	n := float64(steps)
	kernels := t.KernelTime.Seconds() / n
	c.say(line{Stage: "idle", Name: s.name, OK: true, Values: map[string]any{"batch": s.batch,
		"arithmetic": "libraries bf16", "profiler": by, "step_seconds": wall,
		"kernels": float64(t.Kernels) / n, "kernel_seconds": kernels, "idle": 1 - kernels/wall,
		"copy_seconds": t.OtherTime.Seconds() / n, "busy_seconds": t.Busy.Seconds() / n,
		"not_busy": 1 - t.Busy.Seconds()/n/wall, "noted_step_seconds": t.Wall.Seconds() / n}})
	return nil
}

// replaying gives f a step that is replayed already.
func (c *check) replaying(s stepCase, o cuda.Options,
	f func(b *cuda.Backend, next func()) error,
) error {
	b, err := c.open(o)
	if err != nil {
		return err
	}
	defer b.Close()
	t, err := s.start(b, s.batch, c.tiny)
	if err != nil {
		return err
	}
	defer t.done()
	i := 0
	var failed error
	next := func() {
		failed = firstOf(failed, t.step(i))
		i++
	}
	for range 3 { // chooses plans, then records, then replays
		next()
	}
	if err := firstOf(failed, replays(t)); err != nil {
		return err
	}
	return firstOf(f(b, next), failed)
}
