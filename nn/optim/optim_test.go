package optim_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/optim"
	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// tol bounds rounding of a few steps in double precision with a learning rate stored as F32.
const tol = 1e-7

// fixture is a module of a weight and a bias, with gradients that depend on the step.
type fixture struct {
	s      *tensor.Scope
	g      *autodiff.Graph
	params nn.Params
}

func setup(t *testing.T) *fixture {
	b := ref.New()
	f := &fixture{s: tensor.NewScope(b), g: autodiff.NewGraph(b)}
	t.Cleanup(func() { f.g.Close(); f.s.Close() })
	f.params = nn.Params{
		{Name: "w", Param: &nn.Param{Shape: tensor.Shape{2}, Init: nn.Constant(1)}},
		{Name: "b", Param: &nn.Param{Shape: tensor.Shape{1}, Init: nn.Constant(-2), NoWD: true}},
	}
	nn.InitDType(f.s, f.params, 1, tensor.F64)
	return f
}

// gradient of element i at step t: any numbers of both signs.
func gradient(i, t int) float64 { return math.Sin(float64(3*i + 2*t)) }

func (f *fixture) gradients(t int) []*autodiff.Value {
	w := tensor.FromSlice(f.s, []float64{gradient(0, t), gradient(1, t)}, 2)
	b := tensor.FromSlice(f.s, []float64{gradient(2, t)}, 1)
	return []*autodiff.Value{f.g.Const(w), f.g.Const(b)}
}

func (f *fixture) values() []float64 {
	return append(f.params[0].Param.T.Floats(), f.params[1].Param.T.Floats()...)
}

func compare(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i, v := range got {
		if math.Abs(v-want[i]) > tol {
			t.Errorf("%s: element %d is %.12g, want %.12g", what, i, v, want[i])
		}
	}
}

const (
	lr    = 0.125 // exact in F32
	decay = 0.1
	steps = 4
)

// Step by step as torch.optim.SGD documents it; the bias is spared by weight decay.
func TestSGD(t *testing.T) {
	for _, nesterov := range []bool{false, true} {
		f := setup(t)
		o := optim.NewSGD(f.s, f.params, optim.SGDConfig{Momentum: 0.9, Nesterov: nesterov,
			WeightDecay: decay, SpareGains: true})
		want, buf := f.values(), make([]float64, 3)
		for step := 1; step <= steps; step++ {
			o.Begin(step, lr)
			o.Update(f.gradients(step))
			for i := range want {
				g := gradient(i, step)
				if i < 2 {
					g += decay * want[i]
				}
				buf[i] = 0.9*buf[i] + g
				if nesterov {
					want[i] -= lr * (g + 0.9*buf[i])
				} else {
					want[i] -= lr * buf[i]
				}
			}
		}
		compare(t, fmt.Sprintf("nesterov %v", nesterov), f.values(), want)
	}
}

// Step by step as torch.optim.AdamW documents it, with β₁ = 0 as BigGAN has it, too.
func TestAdam(t *testing.T) {
	for _, beta1 := range []float64{0, 0.9} {
		f := setup(t)
		const beta2, eps = 0.999, 1e-6
		o := optim.NewAdam(f.s, f.params, optim.AdamConfig{Beta1: beta1, Beta2: beta2, Eps: eps,
			WeightDecay: decay})
		want, m, v := f.values(), make([]float64, 3), make([]float64, 3)
		for step := 1; step <= steps; step++ {
			o.Begin(step, lr)
			o.Update(f.gradients(step))
			for i := range want {
				g := gradient(i, step)
				m[i] = beta1*m[i] + (1-beta1)*g
				v[i] = beta2*v[i] + (1-beta2)*g*g
				mh, vh := m[i]/(1-math.Pow(beta1, float64(step))),
					v[i]/(1-math.Pow(beta2, float64(step)))
				want[i] -= lr * decay * want[i]
				want[i] -= lr * mh / (math.Sqrt(vh) + eps)
			}
		}
		compare(t, fmt.Sprintf("beta1 %g", beta1), f.values(), want)
	}
}

// Copying every state parameter resumes with the same bytes.
func TestStateIsComplete(t *testing.T) {
	makers := map[string]func(f *fixture) optim.Optimizer{
		"sgd": func(f *fixture) optim.Optimizer {
			return optim.NewSGD(f.s, f.params,
				optim.SGDConfig{Momentum: 0.9})
		},
		"adam": func(f *fixture) optim.Optimizer {
			return optim.NewAdam(f.s, f.params, optim.AdamConfig{Beta1: 0.5, Beta2: 0.9, Eps: 1e-8})
		},
	}
	for name, newOptimizer := range makers {
		a, b := setup(t), setup(t)
		oa, ob := newOptimizer(a), newOptimizer(b)
		for step := 1; step <= steps; step++ {
			oa.Begin(step, lr)
			oa.Update(a.gradients(step))
		}
		for _, pair := range [][2]nn.Params{{nn.List(oa), nn.List(ob)}, {a.params, b.params}} {
			for i, p := range pair[1] {
				if p.Name != pair[0][i].Name {
					t.Fatalf("%s: state names differ: %s, %s", name, p.Name, pair[0][i].Name)
				}
				p.Param.T.SetFloats(pair[0][i].Param.T.Floats())
			}
		}
		oa.Begin(steps+1, lr)
		oa.Update(a.gradients(steps + 1))
		ob.Begin(steps+1, lr)
		ob.Update(b.gradients(steps + 1))
		for i, v := range a.values() {
			if v != b.values()[i] {
				t.Errorf("%s: element %d differs after a resume", name, i)
			}
		}
	}
}

func TestEMA(t *testing.T) {
	f := setup(t)
	cfg := optim.EMAConfig{Decay: 0.9, Start: 1, WarmUp: true}
	e := optim.NewEMA(f.s, f.params, cfg)
	want := f.values()
	for step := 1; step <= steps; step++ {
		f.params[0].Param.T.SetFloats([]float64{gradient(0, step), gradient(1, step)})
		e.Begin(step)
		e.Update()
		d := 0.0
		if step > 1 {
			d = min(0.9, float64(step)/float64(step+9)) // n = step − 1: (1+n)/(10+n)
		}
		for i, v := range f.values() {
			want[i] += (1 - d) * (v - want[i])
		}
	}
	now := f.values()
	e.With(func() { compare(t, "average", f.values(), want) })
	compare(t, "after With", f.values(), now)
}

func TestSchedules(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    optim.Schedule
		at   map[int]float64
	}{
		{"constant", optim.Constant(0.3), map[int]float64{0: 0.3, 1000: 0.3}},
		{"steps", optim.Steps(1, 0.1, 10, 20), map[int]float64{9: 1, 10: 0.1, 19: 0.1, 20: 0.01}},
		{"cosine", optim.Cosine(1, 0.2, 100), map[int]float64{0: 1, 50: 0.6, 100: 0.2, 200: 0.2}},
		{"triangular", optim.Triangular(0.2, 10, 30), map[int]float64{0: 0, 5: 0.1, 10: 0.2,
			20: 0.1, 30: 0, 40: 0}},
		{"cosine of no steps", optim.Cosine(1, 0.1, 0), map[int]float64{0: 0.1, 1: 0.1}},
		{"no fall", optim.OneCycle(1, 25, 1e4, 10, 10), map[int]float64{0: 0.04, 10: 4e-6}},
		{"no rise", optim.OneCycle(1, 25, 1e4, 0, 10), map[int]float64{0: 1, 10: 4e-6}},
		{"one cycle", optim.OneCycle(1, 25, 1e4, 30, 100), map[int]float64{0: 0.04, 15: 0.52, 30: 1,
			100: 4e-6}},
		{"warm-up", optim.WarmUp(4, optim.Constant(1)), map[int]float64{0: 0.25, 3: 1, 4: 1}},
	} {
		for step, want := range tc.at {
			if got := tc.s(step); math.Abs(got-want) > tol {
				t.Errorf("%s at step %d: got %g, want %g", tc.name, step, got, want)
			}
		}
	}
}

func TestClipNorm(t *testing.T) {
	f := setup(t)
	grads := f.gradients(1)
	norm := 0.0
	for i := range 3 {
		norm += gradient(i, 1) * gradient(i, 1)
	}
	norm = math.Sqrt(norm)
	for _, limit := range []float64{norm / 2, norm * 2} {
		clipped, got := optim.ClipNorm(grads, limit)
		compare(t, "norm", []float64{got.Item()}, []float64{norm})
		factor := min(1, limit/(norm+1e-6))
		compare(t, "clipped", append(clipped[0].Tensor().Floats(), clipped[1].Tensor().Floats()...),
			[]float64{factor * gradient(0, 1), factor * gradient(1, 1), factor * gradient(2, 1)})
	}
}

// A scalingRef is tensor/ref with a kernel for many factors.
type scalingRef struct {
	*ref.Backend
	calls int
}

func (b *scalingRef) ScaleAll(dst, src []*tensor.Tensor, factor *tensor.Tensor) {
	b.calls++
	for i, d := range dst {
		b.Binary(tensor.Mul, d, src[i], factor)
	}
}

// TestClipNormAtOnce wants a backend that scales many tensors at once to be asked, once, and the
// gradients to stay as they are.
func TestClipNormAtOnce(t *testing.T) {
	b := &scalingRef{Backend: ref.New()}
	s, g := tensor.NewScope(b), autodiff.NewGraph(b)
	defer s.Close()
	defer g.Close()
	grads := []*autodiff.Value{g.Const(tensor.FromSlice(s, []float64{3, 0}, 2)),
		g.Const(tensor.FromSlice(s, []float64{-4}, 1))}
	clipped, norm := optim.ClipNorm(grads, 1)
	got := append(clipped[0].Tensor().Floats(), clipped[1].Tensor().Floats()...)
	compare(t, "clipped", got, []float64{3 / (5 + 1e-6), 0, -4 / (5 + 1e-6)})
	compare(t, "norm", []float64{norm.Item()}, []float64{5})
	compare(t, "gradients", grads[0].Tensor().Floats(), []float64{3, 0})
	if b.calls != 1 {
		t.Errorf("%d calls", b.calls)
	}
}

func TestMisuse(t *testing.T) {
	f := setup(t)
	o := optim.NewSGD(f.s, f.params, optim.SGDConfig{})
	for want, call := range map[string]func(){
		"steps count from 1, got 0":   func() { o.Begin(0, lr) },
		"expected 2 gradients, got 1": func() { o.Update(f.gradients(1)[:1]) },
		"must have its parameter's sh": func() {
			g := f.gradients(1)
			o.Update([]*autodiff.Value{g[1], g[0]})
		},
	} {
		if err := tensor.Try(call); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func ExampleSchedule() {
	lr := optim.WarmUp(2, optim.Steps(0.1, 0.5, 100))
	fmt.Println(lr(0), lr(1), lr(99), lr(100))
	// Output: 0.05 0.1 0.1 0.05
}
