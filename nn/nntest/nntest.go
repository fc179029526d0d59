package nntest

import (
	"fmt"
	"reflect"
	"testing"

	"afterimage/nn"
)

// CheckParams fails the test unless m lists every *nn.Param that can be reached from it through
// struct fields, pointers, interfaces, slices, arrays and maps, once, under names that differ.
func CheckParams(t testing.TB, m nn.Module) {
	t.Helper()
	for _, problem := range Problems(m) {
		t.Errorf("%T: %s", m, problem)
	}
}

// Problems returns what CheckParams complains of, in a fixed order but for maps.
func Problems(m nn.Module) []string {
	var problems []string
	listed := map[*nn.Param]string{}
	names := map[string]bool{}
	for name, p := range m.Params() {
		if first, ok := listed[p]; ok {
			problems = append(problems, fmt.Sprintf("%s and %s are the same parameter", first,
				name))
		}
		if names[name] {
			problems = append(problems, fmt.Sprintf("two parameters are called %s", name))
		}
		listed[p], names[name] = name, true
	}
	w := walker{listed: listed, seen: map[uintptr]bool{}}
	w.walk(reflect.ValueOf(m), fmt.Sprintf("%T", m))
	return append(problems, w.problems...)
}

var paramType = reflect.TypeFor[nn.Param]()

type walker struct {
	listed   map[*nn.Param]string
	seen     map[uintptr]bool
	problems []string
}

func (w *walker) walk(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || w.seen[v.Pointer()] && v.Elem().Kind() == reflect.Struct {
			return
		}
		if v.Elem().Type() == paramType {
			if _, ok := w.listed[(*nn.Param)(v.UnsafePointer())]; !ok {
				w.problems = append(w.problems, path+" is not listed by Params")
			}
			w.seen[v.Pointer()] = true
			return
		}
		w.seen[v.Pointer()] = true
		w.walk(v.Elem(), path)
	case reflect.Interface:
		if !v.IsNil() {
			w.walk(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			w.walk(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			w.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			w.walk(it.Value(), fmt.Sprintf("%s[%v]", path, it.Key()))
		}
	}
}
