package bench

import (
	"encoding/json"
	"regexp"

	"afterimage/tensor"
)

// A Spec names a measurement and says what to do, in numbers alone, so that another program can do
// the same work from it: bench/pytorch does.
type Spec struct {
	Key   string `json:"key"`   // unique and stable: "conv/n128h32c16-o16k3s1p1/forward"
	Name  string `json:"name"`  // what is done, for people
	Shape string `json:"shape"` // on what

	// Groups are what geometric means are taken over; the first one is the row's section in a
	// comparison's table.
	Groups []string `json:"groups"`

	Kind   string           `json:"kind"`             // the procedure, a name both programs know
	Arch   string           `json:"arch,omitempty"`   // of models.New
	Target string           `json:"target,omitempty"` // key of the step that a fresh program makes
	Args   map[string]int   `json:"args,omitempty"`
	Lists  map[string][]int `json:"lists,omitempty"` // sizes of tensors, widths of blocks

	// Precision is "bf16" where convolutions and matrix products read bfloat16, else empty: float32.
	Precision string `json:"precision,omitempty"`
	// Modes are the other program's ways of doing it; none: only this program does.
	Modes []string `json:"modes,omitempty"`
	// Uses counts, for a convolution, how often each network's forward pass has it.
	Uses map[string]int `json:"uses,omitempty"`

	Work   float64 `json:"work"` // of one run, in Unit times seconds: GFLOP, GB, images
	Unit   string  `json:"unit"`
	Images int     `json:"images,omitempty"` // of a training step or a network's pass
}

// PyTorch's ways: memory layout, and whether torch.compile traces and fuses. The first layout is
// NCHW, "cl" is channels_last for images and weights. "bf16-cl" computes convolutions and matrix
// products in bfloat16 (autocast). "freeze" compiles inference, channels_last, with the weights as
// constants. "workersN" is a DataLoader with N processes beside its own.
const (
	Eager     = "eager"
	EagerCL   = "eager-cl"
	Compile   = "compile"
	CompileCL = "compile-cl"
	Freeze    = "freeze"
	BF16CL    = "bf16-cl"
)

// allModes are the ways of a float32 step.
func allModes() []string { return []string{Eager, EagerCL, Compile, CompileCL} }

// layouts are the ways of a kernel that sees images.
func layouts() []string { return []string{Eager, EagerCL} }

// label is what a reader of the table sees of the row.
func (s Spec) label() string { return s.Name + " " + s.Shape }

// Matches reports whether only selects the row, by its key or by its name and shape.
func (s Spec) Matches(only *regexp.Regexp) bool {
	return only == nil || only.MatchString(s.Key) || only.MatchString(s.label())
}

// Units of Row.Rate.
const (
	FLOPs     = "GFLOP/s"
	Bytes     = "GB/s"
	Images    = "images/s"
	Seconds   = "s"  // of starting a program
	Megabytes = "MB" // of a program's memory
)

// A Catalogue is every measurement there is.
type Catalogue struct {
	Kernels []Spec `json:"kernels"`
	Steps   []Spec `json:"steps"`
}

// NewCatalogue lists every measurement, derived from the networks themselves: no list of shapes can
// fall behind them.
func NewCatalogue() Catalogue { return Catalogue{Kernels: kernels(), Steps: steps()} }

// All returns kernels and steps together.
func (c Catalogue) All() []Spec { return append(append([]Spec{}, c.Kernels...), c.Steps...) }

// Find returns the measurement called key.
func (c Catalogue) Find(key string) (Spec, error) {
	for _, s := range c.All() {
		if s.Key == key {
			return s, nil
		}
	}
	return Spec{}, tensor.Refuse("bench: no measurement is called %q: `afterimage bench "+
		"rows` lists them", key)
}

// JSON is the list that bench/pytorch/rows.json holds, one measurement a line.
func (c Catalogue) JSON() ([]byte, error) {
	text := []byte("[\n")
	for i, s := range c.All() {
		line, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ",\n"...)
		}
		text = append(text, line...)
	}
	return append(text, "\n]\n"...), nil
}
