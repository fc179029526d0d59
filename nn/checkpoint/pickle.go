package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math/big"
)

// This file and pickle_ops.go are a machine for Python's pickle byte code, protocols 0 to 5,
// limited to what data needs. A pickle is a program: it pushes values, and may ask to import a name
// and to call it. Here an imported name is only a pair of strings, and a call goes to the env,
// which knows a short list of names and returns an inert placeholder for all others. Nothing is
// executed. Source: CPython's Lib/pickletools.py, which documents every opcode's effect on the
// stack.

// Values on the stack: nil (None), bool, int64, *big.Int, float64, string, []byte, tuple, *list,
// *dict, global, *inert, and what the env returns.
type (
	tuple []any
	list  struct{ items []any }
	// A dict keeps insertion order. Keys that cannot index a Go map are refused.
	dict struct {
		keys   []any
		values []any
		index  map[any]int
	}
	// A global is a name that the pickle asked to import. It is never looked up anywhere.
	global struct{ module, name string }
	// An inert value stands for an object of a class that this package does not know.
	inert struct{ class global }
)

func (g global) String() string { return g.module + "." + g.name }

// maxName is the limit on the bytes of a dict's key, a storage's key and an imported name. A few
// bytes of pickle can use one again and again, and each time it is read whole. Real ones stay below
// a hundred.
const maxName = 1 << 12

func (d *dict) set(key, value any) error {
	switch k := key.(type) {
	case string:
		if len(k) > maxName {
			return fmt.Errorf("a dict key of %d bytes: expected at most %d", len(k), maxName)
		}
	case int64, bool, float64, nil, global:
	default:
		return fmt.Errorf("a dict key is a %T: expected a string or a number", key)
	}
	if i, ok := d.index[key]; ok {
		d.values[i] = value
		return nil
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	d.index[key] = len(d.keys)
	d.keys = append(d.keys, key)
	d.values = append(d.values, value)
	return nil
}

func (d *dict) get(key any) (any, bool) {
	if i, ok := d.index[key]; ok {
		return d.values[i], true
	}
	return nil, false
}

// An env gives meaning to what a pickle imports, calls and refers to.
type env interface {
	// call is REDUCE and NEWOBJ: fn applied to args.
	call(m *machine, fn global, args tuple) (any, error)
	// build is BUILD on an object the env made; what the machine knows never reaches it.
	build(object, state any) (any, error)
	// persistent resolves a persistent id, PyTorch's reference to a storage.
	persistent(id any) (any, error)
}

// maxPickleOps bounds the work of one pickle. A tensor in a state_dict takes about 25 operations,
// so this is some 160,000 tensors.
const maxPickleOps = 1 << 22

// A machine runs one pickle.
type machine struct {
	in    []byte
	pos   int
	stack []any
	marks []int // stack heights at which MARK was pushed
	memo  map[int]any
	env   env
	// copied is how much the calls have copied from memoised values, which a few bytes can
	// repeat; it is bounded by the length of the input.
	copied int
}

// unpickle runs one pickle at the start of in and returns its value and how many bytes it took.
func unpickle(in []byte, e env) (value any, n int, err error) {
	m := &machine{in: in, memo: map[int]any{}, env: e}
	for range maxPickleOps {
		op, err := m.byte()
		if err != nil {
			return nil, m.pos, err
		}
		at := m.pos - 1
		if op == '.' { // STOP
			value, err = m.pop()
			if err != nil {
				return nil, m.pos, bad("", "pickle offset %d: %v", at, err)
			}
			return value, m.pos, nil
		}
		if err := m.step(op); err != nil {
			if _, ok := err.(*FormatError); ok {
				return nil, m.pos, err
			}
			return nil, m.pos, bad("", "pickle offset %d, opcode %q: %v", at, op, err)
		}
	}
	return nil, m.pos, unsupported("", "save only the state_dict",
		"the pickle has more than %d operations", maxPickleOps)
}

func (m *machine) step(op byte) error {
	known, err := m.numberOp(op)
	if !known {
		known, err = m.stringOp(op)
	}
	if !known {
		known, err = m.containerOp(op)
	}
	if !known {
		known, err = m.memoOp(op)
	}
	if !known {
		known, err = m.objectOp(op)
	}
	if !known {
		return fmt.Errorf("unknown or unsupported opcode")
	}
	return err
}

// ---- input ----

func (m *machine) byte() (byte, error) {
	if m.pos >= len(m.in) {
		return 0, bad("", "the pickle ends at offset %d without STOP", m.pos)
	}
	m.pos++
	return m.in[m.pos-1], nil
}

// bytes returns the next n bytes without copying them.
func (m *machine) bytes(n uint64) ([]byte, error) {
	if n > uint64(len(m.in)-m.pos) {
		return nil, fmt.Errorf("wants %d bytes where %d are left", n, len(m.in)-m.pos)
	}
	b := m.in[m.pos : m.pos+int(n)]
	m.pos += int(n)
	return b, nil
}

// uint reads a little-endian unsigned integer of size bytes, 1, 2, 4 or 8.
func (m *machine) uint(size int) (uint64, error) {
	b, err := m.bytes(uint64(size))
	if err != nil {
		return 0, err
	}
	var word [8]byte
	copy(word[:], b)
	return binary.LittleEndian.Uint64(word[:]), nil
}

// block reads a length of size bytes and then that many bytes.
func (m *machine) block(size int) ([]byte, error) {
	n, err := m.uint(size)
	if err != nil {
		return nil, err
	}
	return m.bytes(n)
}

// line reads to the next newline, which is consumed and not returned.
func (m *machine) line() (string, error) {
	for i := m.pos; i < len(m.in); i++ {
		if m.in[i] == '\n' {
			s := string(m.in[m.pos:i])
			m.pos = i + 1
			return s, nil
		}
	}
	return "", fmt.Errorf("no newline before the end of the file")
}

// ---- stack ----

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// floor is the height below which the stack may not be popped: the last mark.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, fmt.Errorf("the stack is empty")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

func (m *machine) pop2() (below, top any, err error) {
	if top, err = m.pop(); err != nil {
		return nil, nil, err
	}
	below, err = m.pop()
	return below, top, err
}

// top returns the topmost value without removing it.
func (m *machine) top() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, fmt.Errorf("the stack is empty")
	}
	return m.stack[len(m.stack)-1], nil
}

// popMark removes and returns what was pushed since the last MARK, and the mark. The slice is only
// valid until the next push.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, fmt.Errorf("no MARK on the stack")
	}
	at := m.floor()
	m.marks = m.marks[:len(m.marks)-1]
	items := m.stack[at:]
	m.stack = m.stack[:at]
	return items, nil
}

// copying accounts for n values or bytes that a call copies.
func (m *machine) copying(n int) error {
	if m.copied += n; m.copied > len(m.in) {
		return unsupported("", "save only the state_dict",
			"the pickle copies more than its own length of memoised values")
	}
	return nil
}

// ---- numbers ----

// longest is the limit on a long integer's bytes or digits; PyTorch's magic number has 10 bytes.
const longest = 1024

func (m *machine) numberOp(op byte) (bool, error) {
	switch op {
	case 'N':
		m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
	case 'K': // BININT1
		v, err := m.uint(1)
		m.push(int64(v))
		return true, err
	case 'M': // BININT2
		v, err := m.uint(2)
		m.push(int64(v))
		return true, err
	case 'J': // BININT, the only signed one
		v, err := m.uint(4)
		m.push(int64(int32(v)))
		return true, err
	case 0x8a, 0x8b: // LONG1, LONG4
		size := 1
		if op == 0x8b {
			size = 4
		}
		b, err := m.block(size)
		if err == nil {
			err = m.pushLong(b)
		}
		return true, err
	case 'G': // BINFLOAT is big-endian
		b, err := m.bytes(8)
		if err == nil {
			m.push(float64FromBits(binary.BigEndian.Uint64(b)))
		}
		return true, err
	case 'I', 'L', 'F':
		s, err := m.line()
		if err == nil {
			err = m.pushText(op, s)
		}
		return true, err
	default:
		return false, nil
	}
	return true, nil
}

// pushLong pushes a two's complement little-endian integer of any length.
func (m *machine) pushLong(b []byte) error {
	if len(b) > longest {
		return fmt.Errorf("an integer of %d bytes: expected at most %d", len(b), longest)
	}
	be := make([]byte, len(b))
	for i, c := range b {
		be[len(b)-1-i] = c
	}
	v := new(big.Int).SetBytes(be)
	if len(be) > 0 && be[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	m.pushBig(v)
	return nil
}

func (m *machine) pushBig(v *big.Int) {
	if v.IsInt64() {
		m.push(v.Int64())
		return
	}
	m.push(v)
}
