package bench

// A Request is one line of JSON to a program that measures. bench/pytorch/bench.py answers the same
// lines.
type Request struct {
	// Op is "hello", which asks for the environment; "measure"; "memory", which asks for the
	// resident sizes; or "quit". The end of the input quits as well.
	Op   string `json:"op"`
	Spec *Spec  `json:"spec,omitempty"` // to measure
	Mode string `json:"mode,omitempty"` // one of Spec.Modes; this program knows only one
	// WarmUps are runs before the first measured one, fewer where one takes seconds. They are made
	// when the spec or the mode is another than in the request before; several modes of one spec stay
	// ready side by side.
	WarmUps int     `json:"warmups"`
	Least   int     `json:"least"`   // number of runs, at least
	Seconds float64 `json:"seconds"` // time of all runs, at least, if they are fewer than 1000
	Bound   bool    `json:"bound"`   // measure the row's bound besides, and a step's roofline
}

// A Reply is the line that answers a Request.
type Reply struct {
	Error       string `json:"error,omitempty"`
	Unsupported bool   `json:"unsupported,omitempty"` // the error is that there is no way to do it

	Environment map[string]any `json:"environment,omitempty"`

	Seconds []float64 `json:"seconds,omitempty"` // of each run
	CPU     float64   `json:"cpu,omitempty"`     // CPU seconds of the process for a run, their mean
	Bound   float64   `json:"bound,omitempty"`   // by the wall clock, in the row's unit
	// Roofline is the seconds that a run takes at least; a step's only.
	Roofline float64 `json:"roofline,omitempty"`

	Start int `json:"start,omitempty"` // resident bytes when the program was ready for requests
	Peak  int `json:"peak,omitempty"`  // the largest so far
}
