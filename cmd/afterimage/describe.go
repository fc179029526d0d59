package main

import (
	"encoding/json"

	"afterimage/gan/study"
)

// describeStudy states what a study would take, from the shapes alone.
func describeStudy(e *env, s *study.Spec, asJSON bool) error {
	d, err := s.Describe()
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(e.out).Encode(d)
	}
	return d.Write(e.out)
}
