package main

import (
	"encoding/json"

	"afterimage/gan/study"
)

// describeStudy states what a study would take, from the shapes alone.
func describeStudy(e *env, s *study.Spec, folder string, asJSON bool) error {
	d, err := s.Describe(folder)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(e.out).Encode(d)
	}
	return d.Write(e.out)
}
