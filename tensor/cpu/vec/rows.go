package vec

// AddRow computes dst[r,c] = x[r,c] + v[c]: a bias.
func AddRow(dst, x, v []float32) {
	sameLen("AddRow", len(dst), len(x))
	wholeRows("AddRow", len(x), len(v))
	active.addRow(dst, x, v)
}

// SubRow computes dst[r,c] = x[r,c] - v[c].
func SubRow(dst, x, v []float32) {
	sameLen("SubRow", len(dst), len(x))
	wholeRows("SubRow", len(x), len(v))
	active.subRow(dst, x, v)
}

// MulRow computes dst[r,c] = x[r,c] · v[c]: a scale.
func MulRow(dst, x, v []float32) {
	sameLen("MulRow", len(dst), len(x))
	wholeRows("MulRow", len(x), len(v))
	active.mulRow(dst, x, v)
}

// DivRow computes dst[r,c] = x[r,c] / v[c], correctly rounded.
func DivRow(dst, x, v []float32) {
	sameLen("DivRow", len(dst), len(x))
	wholeRows("DivRow", len(x), len(v))
	active.divRow(dst, x, v)
}

// ScaleShift computes dst[r,c] = x[r,c]·scale[c] + shift[c]: batch norm's forward pass, with
// scale = gamma·rstd and shift = beta - mean·scale.
func ScaleShift(dst, x, scale, shift []float32) {
	sameLen("ScaleShift", len(dst), len(x))
	sameLen("ScaleShift", len(scale), len(shift))
	wholeRows("ScaleShift", len(x), len(scale))
	active.scaleShift(dst, x, scale, shift)
}

// ScaleShiftReLU computes dst[r,c] = relu(x[r,c]·scale[c] + shift[c]).
func ScaleShiftReLU(dst, x, scale, shift []float32) {
	sameLen("ScaleShiftReLU", len(dst), len(x))
	sameLen("ScaleShiftReLU", len(scale), len(shift))
	wholeRows("ScaleShiftReLU", len(x), len(scale))
	active.scaleShiftReLU(dst, x, scale, shift)
}

// ScaleShiftAdd computes dst[r,c] = x[r,c]·scale[c] + shift[c] + res[r,c], in that order.
func ScaleShiftAdd(dst, x, res, scale, shift []float32) {
	sameLen("ScaleShiftAdd", len(dst), len(x), len(res))
	sameLen("ScaleShiftAdd", len(scale), len(shift))
	wholeRows("ScaleShiftAdd", len(x), len(scale))
	active.scaleShiftAdd(dst, x, res, scale, shift)
}

// ScaleShiftAddReLU computes dst[r,c] = relu(x[r,c]·scale[c] + shift[c] + res[r,c]): the end of a
// residual block.
func ScaleShiftAddReLU(dst, x, res, scale, shift []float32) {
	sameLen("ScaleShiftAddReLU", len(dst), len(x), len(res))
	sameLen("ScaleShiftAddReLU", len(scale), len(shift))
	wholeRows("ScaleShiftAddReLU", len(x), len(scale))
	active.scaleShiftAddReLU(dst, x, res, scale, shift)
}

// BNBackward computes dx[r,c] = a[c]·dy[r,c] + b[c]·(x[r,c] - mean[c]) + d[c]. With ColDot2's sums
// over n rows and
//
//	a = gamma·rstd,  b = -a·rstd·sumDyXhat/n,  d = -a·sumDy/n
//
// it is batch norm's input gradient, gamma·rstd·(dy - sumDy/n - xhat·sumDyXhat/n) (Ioffe and
// Szegedy 2015, section 3). The assembly evaluates fma(a, dy, fma(b, x-mean, d)). Subtracting the
// mean first, instead of folding b·mean into d, keeps the gradient free of cancellation where the
// mean is large.
func BNBackward(dx, dy, x, mean, a, b, d []float32) {
	sameLen("BNBackward", len(dx), len(dy), len(x))
	sameLen("BNBackward", len(mean), len(a), len(b), len(d))
	wholeRows("BNBackward", len(x), len(a))
	active.bnBackward(dx, dy, x, mean, a, b, d)
}

// BNBackwardReLU is BNBackward with dy taken as 0 but for where x[r,c]·a[c] + shift[c] > 0: the
// gradient of relu(batchnorm(x)), ScaleShiftReLU with a for its scale, whose output need not be
// read, since x says where it is positive.
func BNBackwardReLU(dx, dy, x, mean, a, b, d, shift []float32) {
	sameLen("BNBackwardReLU", len(dx), len(dy), len(x))
	sameLen("BNBackwardReLU", len(mean), len(a), len(b), len(d), len(shift))
	wholeRows("BNBackwardReLU", len(x), len(a))
	active.bnBackwardReLU(dx, dy, x, mean, a, b, d, shift)
}

// scaled is ScaleShift's x·scale + shift, never as one rounding: some processors' compilers would
// make it so in one place and not in another, and a ReLU is to be found again by the same bits.
func scaled(x, scale, shift float32) float32 { return float32(x*scale) + shift }

func addRowGo(dst, x, v []float32) {
	for c := len(v); len(x) > 0; dst, x = dst[c:], x[c:] {
		addGo(dst[:c], x[:c], v)
	}
}

func subRowGo(dst, x, v []float32) {
	for c := len(v); len(x) > 0; dst, x = dst[c:], x[c:] {
		subGo(dst[:c], x[:c], v)
	}
}

func mulRowGo(dst, x, v []float32) {
	for c := len(v); len(x) > 0; dst, x = dst[c:], x[c:] {
		mulGo(dst[:c], x[:c], v)
	}
}

func divRowGo(dst, x, v []float32) {
	for c := len(v); len(x) > 0; dst, x = dst[c:], x[c:] {
		divGo(dst[:c], x[:c], v)
	}
}

func scaleShiftGo(dst, x, scale, shift []float32) {
	for n := len(scale); len(x) > 0; dst, x = dst[n:], x[n:] {
		for c, s := range scale {
			dst[c] = scaled(x[c], s, shift[c])
		}
	}
}

func scaleShiftReLUGo(dst, x, scale, shift []float32) {
	scaleShiftGo(dst, x, scale, shift)
	reluGo(dst, dst)
}

func scaleShiftAddGo(dst, x, res, scale, shift []float32) {
	for n := len(scale); len(x) > 0; dst, x, res = dst[n:], x[n:], res[n:] {
		for c, s := range scale {
			dst[c] = scaled(x[c], s, shift[c]) + res[c]
		}
	}
}

func scaleShiftAddReLUGo(dst, x, res, scale, shift []float32) {
	scaleShiftAddGo(dst, x, res, scale, shift)
	reluGo(dst, dst)
}

func bnBackwardGo(dx, dy, x, mean, a, b, d []float32) {
	for n := len(a); len(x) > 0; dx, dy, x = dx[n:], dy[n:], x[n:] {
		for c, s := range a {
			dx[c] = s*dy[c] + (b[c]*(x[c]-mean[c]) + d[c])
		}
	}
}

func bnBackwardReLUGo(dx, dy, x, mean, a, b, d, shift []float32) {
	for n := len(a); len(x) > 0; dx, dy, x = dx[n:], dy[n:], x[n:] {
		for c, s := range a {
			t := b[c]*(x[c]-mean[c]) + d[c]
			if scaled(x[c], s, shift[c]) > 0 {
				t += s * dy[c]
			}
			dx[c] = t
		}
	}
}
