package checkpoint

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"afterimage/tensor"
)

// wrappers are the keys under which training scripts put the state_dict, in the order of
// preference.
func wrappers() []string { return []string{"state_dict", "model_state_dict", "model", "net"} }

// maxDepth bounds the nesting of dicts and lists around tensors. Real files stay below 5; a pickle
// can hold a list that contains itself.
const maxDepth = 32

// A collector turns the value of a pickle into a File.
type collector struct {
	file   *File
	budget *budget
}

// collect fills the File from the top-level value.
func (c *collector) collect(top any) error {
	switch v := top.(type) {
	case *torchTensor:
		return c.add(Single, v, 0)
	case *dict:
		return c.unwrap(v)
	case *list, tuple:
		return c.add("", v, 0)
	case *inert:
		return unsupported("", "in Python, save model.state_dict() instead of the model",
			"the file holds an object of class %s, not a state_dict", quote(v.class.String()))
	}
	return unsupported("", "save a state_dict", "the file holds a %T, not a state_dict", top)
}

// unwrap finds the state_dict, reads the rest of the dict around it as fields, and repeats that
// inside, since some files wrap twice.
func (c *collector) unwrap(d *dict) error {
	for range maxDepth {
		inner, name := innerDict(d)
		if inner == nil {
			return c.add("", d, 0)
		}
		for i, k := range d.keys {
			if k == name {
				continue
			}
			if err := c.field(keyName(k), d.values[i]); err != nil {
				return err
			}
		}
		d = inner
	}
	return bad("", "dicts nested more than %d deep", maxDepth)
}

func innerDict(d *dict) (inner *dict, name string) {
	for _, name := range wrappers() {
		if v, ok := d.get(name); ok {
			if inner, ok := v.(*dict); ok {
				return inner, name
			}
		}
	}
	return nil, ""
}

// add walks v and sets every tensor under its path: dict keys and list indices joined by ".".
func (c *collector) add(name string, v any, depth int) error {
	if depth > maxDepth {
		return bad(name, "nested more than %d deep", maxDepth)
	}
	// A few bytes can make a graph with exponentially many paths; each visit is paid for.
	const visit = 64
	if err := c.budget.take(visit+len(name), name); err != nil {
		return err
	}
	switch v := v.(type) {
	case *torchTensor:
		if _, ok := c.file.Get(name); ok {
			return bad(name, "the name occurs twice")
		}
		a, err := v.array(name, c.budget)
		if err != nil {
			return err
		}
		c.file.Set(name, a)
		return nil
	case *dict:
		for i, k := range v.keys {
			if err := c.add(join(name, keyName(k)), v.values[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	case *list:
		return c.addItems(name, v.items, depth)
	case tuple:
		return c.addItems(name, v, depth)
	case *inert:
		if strings.HasPrefix(v.class.module, "torch.") {
			return unsupported(name, "convert it to an ordinary dense tensor before saving",
				"a %s, which this reader does not know", quote(v.class.String()))
		}
	}
	return c.field(name, v)
}

func (c *collector) addItems(name string, items []any, depth int) error {
	for i, item := range items {
		if err := c.add(join(name, strconv.Itoa(i)), item, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// keyName spells a dict key; numbers appear in optimizer states.
func keyName(k any) string {
	switch k := k.(type) {
	case string:
		return k
	case global:
		return k.String()
	}
	return fmt.Sprint(k)
}

// field stores v under Fields when it is a scalar and its name under Skipped when it is not.
func (c *collector) field(name string, v any) error {
	switch v := v.(type) {
	case float64, int64, bool, string:
		c.file.Fields[name] = v
		return nil
	case *big.Int: // beyond int64: a random seed, which the decimal text keeps exactly
		c.file.Fields[name] = v.String()
		return nil
	case *torchTensor:
		if n, ok := byteSize(v.shape, 1); ok && n == 1 {
			a, err := v.array(name, c.budget)
			if err == nil {
				c.file.Fields[name] = scalarOf(a)
			}
			return err
		}
	}
	c.file.Skipped = append(c.file.Skipped, name)
	return nil
}

// scalarOf returns the single element of a as float64, int64 or bool.
func scalarOf(a Array) any {
	switch {
	case a.DType == tensor.Bool:
		return a.Data[0] != 0
	case a.DType.IsFloat():
		return a.at(0)
	}
	return a.Int64s()[0]
}
