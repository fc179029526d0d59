package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"afterimage/cuda"
	"afterimage/cuda/driver"
	"afterimage/tensor"
)

// faults makes go wrong what can be made to on a good card: memory runs out, at once and in the
// middle of a training, and the device is lost. Each must give one clear line, and the first two
// leave a device that works. That a driver is too old cannot be arranged; the tests of cuda/driver
// do it to a fake one.
func faults(c *check) error {
	b, err := c.open(cuda.Options{})
	if err != nil {
		return err
	}
	c.fault("out of memory, one tensor", b, "out of memory", func() error {
		_, err := b.Alloc(2 * b.Info().Memory)
		return err
	})
	b.Close()
	o, batch := cuda.Options{}, 1<<14 // of 224 pixels: ten times what the largest card holds
	if c.tiny {
		o.Memory, batch = 1<<20, 2
	}
	if b, err = c.open(o); err != nil {
		return err
	}
	defer b.Close()
	c.fault("out of memory, in a training", b, "out of memory", func() error {
		t, err := resnetSteps(b, batch, c.tiny)
		if err != nil {
			return err
		}
		defer t.done()
		return t.step(0)
	})
	return c.lose(b)
}

// fault does what must fail, wants one line with certain words, and a device that still computes.
func (c *check) fault(name string, b *cuda.Backend, words string, fail func() error) {
	var err error
	if misuse := tensor.Try(func() { err = fail() }); misuse != nil {
		err = misuse
	}
	l := told(name, err, words)
	if after := c.computes(b); after != nil && l.OK {
		l.OK, l.Error = false, "afterwards the device does not work: "+after.Error()
	}
	c.say(l)
}

// told is the line about an error that must be one line with certain words.
func told(name string, err error, words string) line {
	l := line{Stage: "faults", Name: name}
	switch {
	case err == nil:
		l.Error = "nothing failed"
		return l
	case strings.Contains(err.Error(), "\n"):
		l.Error = "the message has several lines"
	case !strings.Contains(err.Error(), words):
		l.Error = fmt.Sprintf("the message does not say %q", words)
	}
	l.OK, l.Values = l.Error == "", map[string]any{"says": err.Error()}
	return l
}

// computes adds two numbers.
func (c *check) computes(b *cuda.Backend) (err error) {
	misuse := tensor.Try(func() {
		s := tensor.NewScope(b)
		defer s.Close()
		x, y := s.Full(tensor.F32, 1, 2), s.New(tensor.F32, 2)
		b.Binary(tensor.Add, y, x, x)
		if got := y.Floats()[0]; got != 2 {
			err = fmt.Errorf("1 + 1 is %g", got)
		}
	})
	if misuse != nil {
		return misuse
	}
	return err
}

// loser is a kernel that writes where nothing is: the driver then gives up the whole context.
const loser = `//
.version 7.0
.target sm_80
.address_size 64
.visible .entry afterimage_lost(.param .u64 where)
{
	.reg .u64 %a;
	.reg .u32 %r;
	ld.param.u64 %a, [where];
	mov.u32 %r, 1;
	st.global.u32 [%a], %r;
	ret;
}
`

// lose loses the device under b.
func (c *check) lose(b *cuda.Backend) error {
	api, err := driver.Open()
	if err != nil {
		return err
	}
	ctx, err := api.Retain(b.Info().Index)
	if err != nil {
		return err
	}
	m, err := ctx.LoadModule([]byte(loser))
	if err != nil {
		return err
	}
	f, err := ctx.Function(m, "afterimage_lost")
	if err != nil {
		return err
	}
	s, err := ctx.NewStream()
	if err != nil {
		return err
	}
	const nowhere = 8
	var work driver.Batch
	one := [3]uint32{1, 1, 1}
	work.Launch(f, one, one, 0, binary.LittleEndian.AppendUint64(nil, nowhere))
	if _, err := ctx.Run(s, &work); err != nil {
		return err
	}
	if err := ctx.SyncStream(s); err == nil {
		return fmt.Errorf("a kernel has written to address %d, and nothing happened", nowhere)
	}
	c.say(told("lost device", c.computes(b), "start the program again"))
	c.say(told("lost device, waited for", b.Sync(), "start the program again"))
	return nil
}
