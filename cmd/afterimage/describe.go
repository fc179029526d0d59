package main

import (
	"encoding/json"
	"fmt"

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
	fmt.Fprintf(e.out, "%s on %s\n", d.Study, d.Dataset)
	for _, c := range d.Classifiers {
		fmt.Fprintf(e.out, "  classifier %-18s %-16s %12d parameters  %8.3f GMAC/image  %9.3g training "+
			"FLOPs  %7.1f MB of weights and optimizer\n",
			c.Name, c.Arch, c.Parameters, float64(c.MACs)/1e9, c.FLOPs, c.Memory/1e6)
	}
	for _, i := range d.Inverters {
		fmt.Fprintf(e.out, "  inverter   %-18s G %11d  D %11d parameters  %8.3g FLOPs/step  %9.3g in "+
			"all  %7.1f MB of weights, about %.0f MB of activations\n",
			i.Name, i.GParameters, i.DParameters, i.StepFLOPs, i.TotalFLOPs, i.WeightBytes/1e6,
			i.ActiveBytes/1e6)
	}
	if d.Seconds > 0 {
		fmt.Fprintf(e.out, "  about %s on two cores\n", seconds(d.Seconds))
	}
	return nil
}
