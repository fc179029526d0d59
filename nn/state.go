package nn

import (
	"fmt"

	"afterimage/nn/checkpoint"
	"afterimage/tensor"
)

// Store puts a copy of every parameter into f under its own name and in its own dtype and layout
// (convolution weights OHWI). Exact resume is made of this and Restore.
func Store(f *checkpoint.File, ps Params) error {
	for _, p := range ps {
		t := p.Param.T
		if t == nil {
			return fmt.Errorf("nn: Store: %s has no values yet", p.Name)
		}
		switch t.DType() {
		case tensor.F32:
			f.Set(p.Name, checkpoint.FromFloat32s(t.Shape(), tensor.ToHost[float32](t)))
		case tensor.F64:
			f.Set(p.Name, checkpoint.FromFloat64s(t.Shape(), tensor.ToHost[float64](t)))
		case tensor.I32:
			f.Set(p.Name, checkpoint.FromInt32s(t.Shape(), tensor.ToHost[int32](t)))
		default:
			return fmt.Errorf("nn: Store: %s is %v: expected f32, f64 or i32", p.Name, t.DType())
		}
	}
	return nil
}

// Restore writes the arrays of f into parameters that already have memory. Nothing is written
// unless every name is there with the right shape; arrays beyond the wanted ones are an error too.
func Restore(f *checkpoint.File, ps Params) error {
	want := make([]checkpoint.Want, len(ps))
	for i, p := range ps {
		want[i] = checkpoint.Want{Name: p.Name, Shape: p.Param.Shape}
	}
	if err := checkpoint.Match(f, want); err != nil {
		return err
	}
	for _, p := range ps {
		a, err := f.Lookup(p.Name)
		if err != nil {
			return err
		}
		p.Param.T.SetFloats(a.Float64s())
	}
	return nil
}
