package checkpoint

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

func float64FromBits(u uint64) float64 { return math.Float64frombits(u) }

// pushText pushes the number that INT, LONG or FLOAT spell in decimal.
func (m *machine) pushText(op byte, s string) error {
	if len(s) > longest {
		return fmt.Errorf("a number of %d characters: expected at most %d", len(s), longest)
	}
	switch {
	case op == 'F':
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%s is not a float", quote(s))
		}
		m.push(v)
	case op == 'I' && (s == "00" || s == "01"): // how protocol 1 spells False and True
		m.push(s == "01")
	default:
		v, ok := new(big.Int).SetString(strings.TrimSuffix(s, "L"), 10)
		if !ok {
			return fmt.Errorf("%s is not an integer", quote(s))
		}
		m.pushBig(v)
	}
	return nil
}

// stringOp handles text and byte strings. Python 2's str (BINSTRING) is taken as text, which is
// what the keys of old state_dicts are.
func (m *machine) stringOp(op byte) (bool, error) {
	size := 0
	asBytes := false
	switch op {
	case 'U', 0x8c: // SHORT_BINSTRING, SHORT_BINUNICODE
		size = 1
	case 'T', 'X': // BINSTRING, BINUNICODE
		size = 4
	case 0x8d: // BINUNICODE8
		size = 8
	case 'C': // SHORT_BINBYTES
		size, asBytes = 1, true
	case 'B': // BINBYTES
		size, asBytes = 4, true
	case 0x8e, 0x96: // BINBYTES8, BYTEARRAY8
		size, asBytes = 8, true
	case 'S', 'V': // STRING, UNICODE
		return true, m.textString(op)
	default:
		return false, nil
	}
	b, err := m.block(size)
	if err != nil {
		return true, err
	}
	if asBytes {
		m.push(b)
	} else {
		m.push(string(b))
	}
	return true, nil
}

func (m *machine) textString(op byte) error {
	s, err := m.line()
	if err != nil {
		return err
	}
	if op == 'S' {
		if len(s) < 2 || (s[0] != '\'' && s[0] != '"') || s[len(s)-1] != s[0] {
			return fmt.Errorf("the string %s is not quoted", quote(s))
		}
		s = s[1 : len(s)-1]
	}
	if strings.Contains(s, `\`) {
		return unsupported("", "save the file again with protocol 2 or newer",
			"a protocol 0 string with escapes: %s", quote(s))
	}
	m.push(s)
	return nil
}

func (m *machine) containerOp(op byte) (bool, error) {
	switch op {
	case '(':
		m.marks = append(m.marks, len(m.stack))
	case ')':
		m.push(tuple{})
	case ']':
		m.push(&list{})
	case '}':
		m.push(&dict{})
	case 0x8f: // EMPTY_SET: of no use to a checkpoint
		m.push(&inert{global{"builtins", "set"}})
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		n := int(op) - 0x84
		if len(m.stack)-m.floor() < n {
			return true, fmt.Errorf("the stack is empty")
		}
		items := m.stack[len(m.stack)-n:]
		m.stack = m.stack[:len(m.stack)-n]
		m.push(append(tuple{}, items...))
	case 't', 'l', 'd', 0x91: // TUPLE, LIST, DICT, FROZENSET
		items, err := m.popMark()
		if err != nil {
			return true, err
		}
		return true, m.collectMark(op, items)
	case 'a', 's': // APPEND, SETITEM
		n := 1
		if op == 's' {
			n = 2
		}
		if len(m.stack)-m.floor() < n+1 {
			return true, fmt.Errorf("the stack is empty")
		}
		items := m.stack[len(m.stack)-n:]
		m.stack = m.stack[:len(m.stack)-n]
		return true, m.extend(op == 's', items)
	case 'e', 'u', 0x90: // APPENDS, SETITEMS, ADDITEMS
		items, err := m.popMark()
		if err != nil {
			return true, err
		}
		return true, m.extend(op == 'u', items)
	default:
		return false, nil
	}
	return true, nil
}

// collectMark pushes a container made of items.
func (m *machine) collectMark(op byte, items []any) error {
	switch op {
	case 't':
		m.push(append(tuple{}, items...))
	case 'l':
		m.push(&list{append([]any{}, items...)})
	case 'd':
		d := &dict{}
		if err := d.setAll(items); err != nil {
			return err
		}
		m.push(d)
	default:
		m.push(&inert{global{"builtins", "frozenset"}})
	}
	return nil
}

func (d *dict) setAll(items []any) error {
	if len(items)%2 != 0 {
		return fmt.Errorf("%d keys and values: expected pairs", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// extend appends items to the list, or sets them in the dict, on top of the stack.
func (m *machine) extend(pairs bool, items []any) error {
	target, err := m.top()
	if err != nil {
		return err
	}
	switch t := target.(type) {
	case *inert: // what goes into an unknown object is dropped with it
		return nil
	case *dict:
		if pairs {
			return t.setAll(items)
		}
	case *list:
		if !pairs {
			t.items = append(t.items, items...)
			return nil
		}
	}
	return fmt.Errorf("cannot add items to a %T", target)
}

func (m *machine) memoOp(op byte) (bool, error) {
	switch op {
	case '0': // POP, which also removes a mark
		if len(m.marks) > 0 && m.floor() == len(m.stack) {
			m.marks = m.marks[:len(m.marks)-1]
			return true, nil
		}
		_, err := m.pop()
		return true, err
	case '1': // POP_MARK
		_, err := m.popMark()
		return true, err
	case '2': // DUP
		v, err := m.top()
		m.push(v)
		return true, err
	case 'q', 'r': // BINPUT, LONG_BINPUT
		i, err := m.uint(memoIndexSize(op == 'r'))
		if err == nil {
			err = m.remember(int(i))
		}
		return true, err
	case 'h', 'j': // BINGET, LONG_BINGET
		i, err := m.uint(memoIndexSize(op == 'j'))
		if err == nil {
			err = m.recall(int(i))
		}
		return true, err
	case 'p', 'g': // PUT, GET
		s, err := m.line()
		if err != nil {
			return true, err
		}
		i, err := strconv.Atoi(s)
		if err != nil {
			return true, fmt.Errorf("%s is not a memo index", quote(s))
		}
		if op == 'p' {
			return true, m.remember(i)
		}
		return true, m.recall(i)
	case 0x94: // MEMOIZE
		return true, m.remember(len(m.memo))
	}
	return false, nil
}

func memoIndexSize(long bool) int {
	if long {
		return 4
	}
	return 1
}

func (m *machine) remember(i int) error {
	v, err := m.top()
	if err == nil {
		m.memo[i] = v
	}
	return err
}

func (m *machine) recall(i int) error {
	v, ok := m.memo[i]
	if !ok {
		return fmt.Errorf("memo entry %d was never set", i)
	}
	m.push(v)
	return nil
}

func (m *machine) objectOp(op byte) (bool, error) {
	switch op {
	case 0x80: // PROTO
		v, err := m.byte()
		if err == nil && v > 5 {
			err = unsupported("", "save the file again with protocol 2", "pickle protocol %d", v)
		}
		return true, err
	case 0x95: // FRAME: a hint for readers of streams; the length must still be true
		n, err := m.uint(8)
		if err == nil && n > uint64(len(m.in)-m.pos) {
			err = fmt.Errorf("a frame of %d bytes where %d are left", n, len(m.in)-m.pos)
		}
		return true, err
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return true, err
		}
		name, err := m.line()
		if err != nil {
			return true, err
		}
		return true, m.pushGlobal(module, name)
	case 0x93: // STACK_GLOBAL
		module, name, err := m.pop2()
		if err != nil {
			return true, err
		}
		mod, ok1 := module.(string)
		attr, ok2 := name.(string)
		if !ok1 || !ok2 {
			return true, fmt.Errorf("an import of %T.%T: expected two strings", module, name)
		}
		return true, m.pushGlobal(mod, attr)
	case 'R', 0x81: // REDUCE, NEWOBJ
		return true, m.callTop()
	case 0x92: // NEWOBJ_EX: keyword arguments are of no use to the known names
		if _, err := m.pop(); err != nil {
			return true, err
		}
		return true, m.callTop()
	case 'b': // BUILD
		return true, m.buildTop()
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return true, err
		}
		v, err := m.env.persistent(id)
		m.push(v)
		return true, err
	default: // PERSID, INST, OBJ, EXT*, NEXT_BUFFER, READONLY_BUFFER: PyTorch writes none of them
		return false, nil
	}
}

func (m *machine) pushGlobal(module, name string) error {
	if n := len(module) + len(name); n > maxName {
		return fmt.Errorf("an imported name of %d bytes: expected at most %d", n, maxName)
	}
	m.push(global{module, name})
	return nil
}

// callTop replaces a callable and its argument tuple by the result.
func (m *machine) callTop() error {
	fn, args, err := m.pop2()
	if err != nil {
		return err
	}
	var result any
	switch f := fn.(type) {
	case global:
		a, ok := args.(tuple)
		if !ok {
			return fmt.Errorf("call of %s with a %T: expected a tuple", quote(f.String()), args)
		}
		if result, err = m.env.call(m, f, a); err != nil {
			return err
		}
	case *inert: // a method of an unknown object
		result = f
	default:
		return fmt.Errorf("call of a %T: expected an imported name", fn)
	}
	m.push(result)
	return nil
}

// buildTop applies a state to the object below it. The state of an OrderedDict is its Python
// attributes (PyTorch keeps _metadata, layer versions, there), which no array depends on.
func (m *machine) buildTop() error {
	object, state, err := m.pop2()
	if err != nil {
		return err
	}
	switch object.(type) {
	case *inert, *dict, *list:
	default:
		if object, err = m.env.build(object, state); err != nil {
			return err
		}
	}
	m.push(object)
	return nil
}
