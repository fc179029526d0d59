package backendtest

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"afterimage/tensor"
	"afterimage/tensor/ref"
)

// saboteur is ref with one kernel broken the way kernels break. threads is what Open was given.
type saboteur struct {
	*ref.Backend
	fault   string
	threads int
	calls   int
}

// faults names each fault with the family that must find it and a piece of its message.
var faults = []struct{ name, family, message string }{
	{"skip-tail", "elementwise", "got NaN"},
	{"overrun", "elementwise", "outside a buffer"},
	{"underrun", "elementwise", "outside a buffer"},
	{"input-written", "elementwise", "changed its input"},
	{"relu-nan", "elementwise", "specials"},
	{"softmax-no-max", "reduce", "got NaN"},
	{"threads-differ", "matmul", "more threads"},
	{"runs-differ", "matmul", "second run"},
	{"low-precision", "matmul", "wrong"},
	{"pad-off-by-one", "conv", "want"},
	{"pool-last-wins", "pool", "idx"},
	{"variance-textbook", "norm", "variance"},
	{"uniform-24-bits", "random", "dist 0"},
	{"adam-eps-inside", "optim", "p after"},
	{"panic", "copy", "panic"},
}

// broken reports whether b carries the fault.
func (b *saboteur) broken(fault string) bool { return b.fault == fault }

func (b *saboteur) Unary(op tensor.UnaryOp, p tensor.Attr, dst, x *tensor.Tensor) {
	b.Backend.Unary(op, p, dst, x)
	if dst.DType() != tensor.F32 || dst.Size() == 0 {
		return
	}
	d, last := tensor.Host[float32](dst), dst.Size()-1
	switch {
	case b.broken("skip-tail") && dst.Size() == 17:
		d[last] = tensor.Host[float32](b.nan())[0]
	case b.broken("overrun"):
		all := dst.Buffer().(*guardedBuffer).all
		all[len(all)-zone+2]++
	case b.broken("underrun"):
		dst.Buffer().(*guardedBuffer).all[0]++
	case b.broken("input-written"):
		tensor.Host[float32](x)[last]++
	case b.broken("relu-nan") && op == tensor.ReLU:
		for i, v := range d {
			if v != v {
				d[i] = 0
			}
		}
	}
}

func (b *saboteur) nan() *tensor.Tensor {
	t := tensor.NewScope(b.Backend).New(tensor.F32, 1)
	b.Backend.Unary(tensor.Log, tensor.Attr{}, t,
		tensor.FromSlice(tensor.NewScope(b.Backend), []float32{-1}, 1))
	return t
}

func (b *saboteur) Softmax(log bool, dst, x *tensor.Tensor) {
	if !b.broken("softmax-no-max") || log || x.DType() != tensor.F32 {
		b.Backend.Softmax(log, dst, x)
		return
	}
	xs, d, k := tensor.Host[float32](x), tensor.Host[float32](dst), x.Dim(-1)
	for i := 0; i < len(xs); i += k {
		var sum float32
		for _, v := range xs[i : i+k] {
			sum += float32(math.Exp(float64(v)))
		}
		for j, v := range xs[i : i+k] {
			d[i+j] = float32(math.Exp(float64(v))) / sum
		}
	}
}

func (b *saboteur) MatMul(dst, a, bb *tensor.Tensor, p tensor.MatMulParams) {
	b.Backend.MatMul(dst, a, bb, p)
	b.calls++
	if dst.DType() != tensor.F32 {
		return
	}
	d := tensor.Host[float32](dst)
	for i := range d {
		switch {
		case b.broken("threads-differ") && b.threads > 1, b.broken("runs-differ") && b.calls%2 == 0:
			d[i] *= 1 + 0x1p-22
		case b.broken("low-precision"):
			d[i] *= 1 + 0x1p-8 // bfloat16
		}
	}
}

func (b *saboteur) Conv2D(y, x, w *tensor.Tensor, p tensor.ConvParams) {
	if b.broken("pad-off-by-one") && p.PadLeft != p.PadRight {
		p.PadLeft, p.PadRight = p.PadRight, p.PadLeft
	}
	b.Backend.Conv2D(y, x, w, p)
}

func (b *saboteur) MaxPool(y, idx, x *tensor.Tensor, p tensor.PoolParams) {
	b.Backend.MaxPool(y, idx, x, p)
	if idx != nil && b.broken("pool-last-wins") && y.DType() == tensor.F32 {
		is, c := tensor.Host[int32](idx), x.Dim(3)
		ys, xs := tensor.Host[float32](y), tensor.Host[float32](x)
		each, pixels := y.Shape()[1:].Size(), x.Dim(1)*x.Dim(2)
		for i, v := range ys { // the right neighbour, when it is in the window and holds the same
			next := int(is[i]) + 1
			inside := next%x.Dim(2) != 0 && next%x.Dim(2) < i/c%y.Dim(2)*p.StrideW-p.PadLeft+p.KW
			if inside && xs[(i/each*pixels+next)*c+i%c] == v {
				is[i]++
			}
		}
	}
}

func (b *saboteur) NormStats(mean, variance, rstd, scale, shift, x, gamma, beta *tensor.Tensor,
	eps float64) {
	b.Backend.NormStats(mean, variance, rstd, scale, shift, x, gamma, beta, eps)
	if !b.broken("variance-textbook") || x.DType() != tensor.F32 {
		return
	}
	xs, v := tensor.Host[float32](x), tensor.Host[float32](variance)
	for c := range v {
		var sum, squares float32
		n := float32(len(xs) / len(v))
		for i := c; i < len(xs); i += len(v) {
			sum, squares = sum+xs[i], squares+xs[i]*xs[i]
		}
		v[c] = squares/n - sum/n*sum/n
	}
}

func (b *saboteur) Random(d tensor.Dist, key tensor.Key, dst, step *tensor.Tensor) {
	b.Backend.Random(d, key, dst, step)
	if b.broken("uniform-24-bits") && d == tensor.Uniform && dst.DType() == tensor.F32 {
		for i, v := range tensor.Host[float32](dst) {
			tensor.Host[float32](dst)[i] = float32(int(v*(1<<24))) / (1 << 24)
		}
	}
}

func (b *saboteur) Adam(p tensor.AdamParams, params, grads, m, v []*tensor.Tensor,
	lr, step *tensor.Tensor,
) {
	if b.broken("adam-eps-inside") {
		p.Eps *= 1e4
	}
	b.Backend.Adam(p, params, grads, m, v, lr, step)
}

func (b *saboteur) Permute(dst, x *tensor.Tensor, perm []int) {
	if b.broken("panic") {
		panic(&tensor.Error{Op: "Permute", Reason: "no kernel"})
	}
	b.Backend.Permute(dst, x, perm)
}

// faultVariable tells the test binary, started again by TestFindsFaults, which fault to carry.
const faultVariable = "AFTERIMAGE_BACKENDTEST_FAULT"

// TestSabotaged fails, by design, when TestFindsFaults runs it. That the suite passes a sound
// backend is for tensor/ref to test.
func TestSabotaged(t *testing.T) {
	fault := os.Getenv(faultVariable)
	if fault == "" {
		t.Skip("needs a fault: TestFindsFaults starts it with each")
	}
	Run(t, Options{Open: func(threads int) tensor.Backend {
		return &saboteur{Backend: ref.New(), fault: fault, threads: threads}
	}})
}

// TestFindsFaults breaks kernels one at a time and checks that the suite fails for the right
// reason.
func TestFindsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("short: starts a process for each fault")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.short", "-test.run",
				"^TestSabotaged$/^"+f.family+"$")
			cmd.Env = append(os.Environ(), faultVariable+"="+f.name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passed a broken backend")
			}
			if !strings.Contains(string(out), f.message) {
				t.Errorf("the report does not say %q:\n%.2000s", f.message, out)
			}
		})
	}
}
