package gan

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/tensor"
)

// ExportTorch returns the generator as a state_dict for PyTorch, F32. Names are those of
// Generator.Params, layouts PyTorch's: convolutions OIHW, and the rows of "linear" in the order
// (c, h, w), so that its result is viewed as [N C 4 4]. A spectrally normalised layer has
// "weight_orig", "weight_u" and "weight_v", as torch.nn.utils.spectral_norm names and uses them: u
// and v are those of the iteration that an evaluation here makes, so that PyTorch, which makes none
// in evaluation, divides by the same σ. "condition.mean" and "condition.std" standardise the
// condition, (y − mean)/std, in front of the rest.
//
// Metadata: "format" is "pt"; "net" is the network's Config as JSON, under the names it has in
// config.yaml; "condition" is the kind of the condition. It returns an error if a value is not to
// be had: a generator without weights.
func (v *Inverter) ExportTorch() (*checkpoint.File, error) {
	layers, err := v.exported()
	if err != nil {
		return nil, err
	}
	f := checkpoint.NewFile()
	for _, l := range layers {
		if l.u == nil {
			f.Set(l.name, l.array(l.value))
			continue
		}
		stem := strings.TrimSuffix(l.name, "weight")
		f.Set(stem+"weight_orig", l.array(l.value))
		f.Set(stem+"weight_u", vector(l.u))
		f.Set(stem+"weight_v", vector(l.v))
	}
	net, err := json.Marshal(v.Config.Net)
	if err != nil {
		return nil, fmt.Errorf("gan: export: %w", err)
	}
	f.Metadata["format"], f.Metadata["net"] = "pt", string(net)
	f.Metadata["condition"] = string(v.Conditioner.Kind)
	return f, nil
}

// An exportedParam is a parameter in PyTorch's layout. u and v are the singular vectors of a
// spectrally normalised weight, nil for others.
type exportedParam struct {
	name  string
	shape []int
	value []float64
	u, v  []float64
}

// exported returns what the generator and its condition consist of, without the vectors "weight_u".
func (v *Inverter) exported() ([]exportedParam, error) {
	var out []exportedParam
	eps := v.Config.Net.SNEps
	list := nn.Join(nn.List(v.G), v.Conditioner.State())
	u := map[string]*nn.Param{}
	for _, p := range list {
		if p.Param.T == nil {
			return nil, tensor.Refuse("gan: export: parameter %s has no values: train or open the "+
				"inverter first", p.Name)
		}
		if stem, ok := strings.CutSuffix(p.Name, "_u"); ok {
			u[stem] = p.Param
		}
	}
	for _, p := range list {
		if strings.HasSuffix(p.Name, "_u") {
			continue
		}
		e := exportedParam{name: p.Name, shape: p.Param.Shape, value: p.Param.T.Floats()}
		if w := u[p.Name]; w != nil {
			e.u = w.T.Floats()
		}
		if v.Conditioner.Kind == Label { // a label is not standardised, whatever stands here
			e.plain()
		}
		if strings.HasPrefix(p.Name, "linear.") {
			e.permuteRows(v.Config.Net.GMult[0] * v.Config.Net.ChG)
		}
		if len(e.shape) == 4 {
			e.toOIHW()
		}
		if e.u != nil {
			e.iterate(eps)
		}
		out = append(out, e)
	}
	return out, nil
}

// plain makes a standardisation one that changes nothing.
func (e *exportedParam) plain() {
	for i := range e.value {
		switch e.name {
		case "condition.mean":
			e.value[i] = 0
		case "condition.std":
			e.value[i] = 1
		}
	}
}

// toOIHW brings a convolution's weight to PyTorch's order of axes.
func (e *exportedParam) toOIHW() {
	o, h, w, c := e.shape[0], e.shape[1], e.shape[2], e.shape[3]
	to := make([]float64, len(e.value))
	for i, x := range e.value {
		k, rest := i/(h*w*c), i%(h*w*c)
		at, ch := rest/c, rest%c
		to[(k*c+ch)*h*w+at] = x
	}
	e.shape, e.value = []int{o, c, h, w}, to
}

// permuteRows brings the rows that become an image of 4×4 pixels from (h, w, c) to (c, h, w).
func (e *exportedParam) permuteRows(channels int) {
	const pixels = 16
	wide := len(e.value) / (pixels * channels)
	to, u := make([]float64, len(e.value)), make([]float64, len(e.u))
	for p := range pixels {
		for c := range channels {
			from, at := p*channels+c, c*pixels+p
			copy(to[at*wide:(at+1)*wide], e.value[from*wide:(from+1)*wide])
			if e.u != nil {
				u[at] = e.u[from]
			}
		}
	}
	if e.value = to; e.u != nil {
		e.u = u
	}
}

// iterate makes the power iteration of an evaluation: v = Mᵀu/‖Mᵀu‖, u = Mv/‖Mv‖.
func (e *exportedParam) iterate(eps float64) {
	rows := e.shape[0]
	wide := len(e.value) / rows
	e.v = make([]float64, wide)
	for i := range rows {
		for j := range wide {
			e.v[j] += e.value[i*wide+j] * e.u[i]
		}
	}
	scale(e.v, eps)
	e.u = e.times(e.v)
	scale(e.u, eps)
}

// times returns Mv.
func (e *exportedParam) times(v []float64) []float64 {
	out := make([]float64, e.shape[0])
	for i := range out {
		for j, x := range v {
			out[i] += e.value[i*len(v)+j] * x
		}
	}
	return out
}

// scale divides x by max(‖x‖, eps).
func scale(x []float64, eps float64) {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	norm := max(math.Sqrt(sum), eps)
	for i := range x {
		x[i] /= norm
	}
}

// effective returns the values that the layer multiplies with: W/σ, σ = uᵀMv.
func (e *exportedParam) effective() []float64 {
	if e.u == nil {
		return e.value
	}
	sigma := 0.0
	for i, x := range e.times(e.v) {
		sigma += e.u[i] * x
	}
	out := make([]float64, len(e.value))
	for i, x := range e.value {
		out[i] = x / sigma
	}
	return out
}

func (e *exportedParam) array(v []float64) checkpoint.Array {
	return checkpoint.FromFloat32s(e.shape, singles(v))
}

func vector(v []float64) checkpoint.Array {
	return checkpoint.FromFloat32s([]int{len(v)}, singles(v))
}

func singles(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
