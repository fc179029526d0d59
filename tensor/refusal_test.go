package tensor

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestRefusal(t *testing.T) {
	plain := errors.New("x")
	marked := Refuse("--n %d: expected 1 or more", 0)
	over := Refuse("file: %w: %w; copy it again", io.ErrUnexpectedEOF, plain)
	for _, c := range []struct {
		err  error
		is   bool
		text string
	}{
		{plain, false, "x"},
		{marked, true, "--n 0: expected 1 or more"},
		{fmt.Errorf("run: %w", marked), true, "run: --n 0: expected 1 or more"},
		{errors.Join(plain, marked), true, "x\n--n 0: expected 1 or more"},
		{over, true, "file: unexpected EOF: x; copy it again"},
	} {
		if IsRefusal(c.err) != c.is || c.err.Error() != c.text {
			t.Errorf("%q is a refusal: %v, expected %q, %v", c.err, IsRefusal(c.err), c.text, c.is)
		}
	}
	if !errors.Is(over, io.ErrUnexpectedEOF) || !errors.Is(over, plain) {
		t.Error("what was wrapped is not seen")
	}
}
