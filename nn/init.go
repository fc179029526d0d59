package nn

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"afterimage/tensor"
)

// An Initializer returns the initial values of a parameter, in row-major order. It depends on rng
// and shape alone. Weights have the output axis first (OHWI, [out in]); everything after it but the
// last axis of a convolution is the kernel window, see Fans.
type Initializer interface {
	Values(rng *tensor.RNG, shape tensor.Shape) []float64
}

// A writer is an Initializer that hands its values over one by one, so that they need not be there
// all at once: set(i, v) makes v element i.
type writer interface {
	write(rng *tensor.RNG, shape tensor.Shape, set func(i int, v float64))
}

// written returns what a writer writes.
func written(w writer, rng *tensor.RNG, shape tensor.Shape) []float64 {
	out := make([]float64, shape.Size())
	w.write(rng, shape, func(i int, v float64) { out[i] = v })
	return out
}

// Fans returns the number of inputs that one output sums over and the number of outputs that one
// input reaches, for a weight [out in] or OHWI [O KH KW I]: fanIn = KH·KW·I, fanOut = KH·KW·O,
// PyTorch's count. A vector or a scalar counts as [n 1].
func Fans(shape tensor.Shape) (fanIn, fanOut int) {
	if len(shape) < 2 {
		return 1, shape.Size()
	}
	last := len(shape) - 1
	return shape[1:].Size(), shape[0] * shape[1:last].Size()
}

// Constant fills with c.
type Constant float64

// Values returns shape.Size() copies of c.
func (c Constant) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(c, rng, shape)
}

func (c Constant) write(_ *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	for i := range shape.Size() {
		set(i, float64(c))
	}
}

// NormalInit draws from N(0, Std²).
type NormalInit struct{ Std float64 }

// Values returns independent normal numbers.
func (n NormalInit) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(n, rng, shape)
}

func (n NormalInit) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	for i := range shape.Size() {
		set(i, n.Std*rng.Normal())
	}
}

// UniformInit draws from (−Bound, Bound).
type UniformInit struct{ Bound float64 }

// Values returns independent uniform numbers.
func (u UniformInit) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(u, rng, shape)
}

func (u UniformInit) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	for i := range shape.Size() {
		set(i, rng.Uniform(-u.Bound, u.Bound))
	}
}

// KaimingNormal draws from N(0, 2/fan), which keeps the variance of activations through ReLU
// layers: fan is fan-in, or fan-out (keeping that of gradients) with FanOut.
//
// Source: He et al., "Delving deep into rectifiers", ICCV 2015, equations 10 and 14.
type KaimingNormal struct{ FanOut bool }

// Values returns independent normal numbers.
func (k KaimingNormal) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(k, rng, shape)
}

func (k KaimingNormal) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	NormalInit{math.Sqrt(2 / kaimingFan(shape, k.FanOut))}.write(rng, shape, set)
}

// KaimingUniform draws from U(−b, b) with b = √(6/((1 + A²)·fan)), the variance of KaimingNormal
// for a leaky ReLU of slope A. A = √5 gives b = 1/√fan, PyTorch's default for linear layers and
// convolutions.
//
// Source: He et al. 2015; the constant √5 is torch.nn.Linear's and torch.nn.Conv2d's.
type KaimingUniform struct {
	A      float64
	FanOut bool
}

// Values returns independent uniform numbers.
func (k KaimingUniform) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(k, rng, shape)
}

func (k KaimingUniform) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	b := math.Sqrt(6 / ((1 + k.A*k.A) * kaimingFan(shape, k.FanOut)))
	UniformInit{b}.write(rng, shape, set)
}

func kaimingFan(shape tensor.Shape, out bool) float64 {
	fanIn, fanOut := Fans(shape)
	if out {
		fanIn = fanOut
	}
	return float64(max(fanIn, 1))
}

// XavierUniform draws from U(−b, b), b = Gain·√(6/(fanIn + fanOut)); a zero Gain means 1.
//
// Source: Glorot and Bengio, AISTATS 2010, equation 16.
type XavierUniform struct{ Gain float64 }

// Values returns independent uniform numbers.
func (x XavierUniform) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(x, rng, shape)
}

func (x XavierUniform) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	UniformInit{xavierStd(shape, x.Gain) * math.Sqrt(3)}.write(rng, shape, set)
}

// XavierNormal draws from N(0, Gain²·2/(fanIn + fanOut)); a zero Gain means 1.
//
// Source: Glorot and Bengio, AISTATS 2010.
type XavierNormal struct{ Gain float64 }

// Values returns independent normal numbers.
func (x XavierNormal) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(x, rng, shape)
}

func (x XavierNormal) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	NormalInit{xavierStd(shape, x.Gain)}.write(rng, shape, set)
}

func xavierStd(shape tensor.Shape, gain float64) float64 {
	if gain == 0 {
		gain = 1
	}
	fanIn, fanOut := Fans(shape)
	return gain * math.Sqrt(2/float64(max(fanIn+fanOut, 1)))
}

// Orthogonal gives, on the view [out, everything else], Gain times a matrix with orthonormal rows
// (or columns, where there are more rows), uniformly distributed: the Q of a Gaussian matrix's QR
// with every column's sign taken from R's diagonal. A zero Gain means 1.
//
// Source: Saxe et al., ICLR 2014; the sign fix is Mezzadri, Notices of the AMS 54 (2007); layout
// conventions are torch.nn.init.orthogonal_'s.
type Orthogonal struct{ Gain float64 }

// Values returns the matrix in row-major order.
func (o Orthogonal) Values(rng *tensor.RNG, shape tensor.Shape) []float64 {
	return written(o, rng, shape)
}

func (o Orthogonal) write(rng *tensor.RNG, shape tensor.Shape, set func(int, float64)) {
	gain := o.Gain
	if gain == 0 {
		gain = 1
	}
	if shape.Size() == 0 {
		return
	}
	rows := 1
	if len(shape) > 0 {
		rows = shape[0]
	}
	cols := shape.Size() / rows
	tall, wide := max(rows, cols), min(rows, cols)
	q := orthonormalColumns(rng, tall, wide)
	for r := range rows {
		for c := range cols {
			if rows >= cols {
				set(r*cols+c, gain*q[r*wide+c])
			} else {
				set(r*cols+c, gain*q[c*wide+r])
			}
		}
	}
}

// orthonormalColumns returns a random m×n matrix, m ≥ n, with orthonormal columns. It calls LAPACK
// rather than mat.QR because that forms the whole m×m factor.
func orthonormalColumns(rng *tensor.RNG, m, n int) []float64 {
	a := blas64.General{Rows: m, Cols: n, Stride: n, Data: make([]float64, m*n)}
	for i := range a.Data {
		a.Data[i] = rng.Normal()
	}
	tau := make([]float64, n)
	size := make([]float64, 1)
	lapack64.Geqrf(a, tau, size, -1)
	lapack64.Geqrf(a, tau, make([]float64, int(size[0])), int(size[0]))
	sign := make([]float64, n)
	for j := range sign {
		sign[j] = math.Copysign(1, a.Data[j*n+j])
	}
	lapack64.Orgqr(a, tau, size, -1)
	lapack64.Orgqr(a, tau, make([]float64, int(size[0])), int(size[0]))
	for j, s := range sign {
		blas64.Scal(s, blas64.Vector{N: m, Inc: n, Data: a.Data[j:]})
	}
	return a.Data
}
