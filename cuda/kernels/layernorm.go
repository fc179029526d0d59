package kernels

type layerNormArgs struct {
	Y, Mean, Rstd, X, Gamma, Beta uint64
	Rows, C                       int64
	Eps                           float64
	PerRow, Vec                   int32
}

type layerNormGradArgs struct {
	Dx, Dy, X, Mean, Rstd, Gamma uint64
	Rows, C                      int64
	PerRow, Vec                  int32
}

// LayerNorm computes y = (x − mean)·rstd·gamma + beta for each row of x [… C], and the row's mean
// and rstd = 1/√(var + eps), in one launch. beta may be absent. Beside BF16 x and y all others are
// F32.
func (e *Encoder) LayerNorm(y, mean, rstd, x, gamma, beta Array, eps float64) {
	rows, c := mean.size(), gamma.size()
	a := layerNormArgs{Y: y.Ptr, Mean: mean.Ptr, Rstd: rstd.Ptr, X: x.Ptr, Gamma: gamma.Ptr,
		Beta: beta.Ptr, Rows: int64(rows), C: int64(c), Eps: eps, Vec: packed(c, y, x, gamma, beta)}
	entry := "layer_norm" + suffix("LayerNorm", x)
	e.rows(entry, &a.PerRow, rows, c, func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// LayerNormGrad computes dx = rstd·(h − avg(h) − x̂·avg(h·x̂)), h = dy·gamma, in one launch.
func (e *Encoder) LayerNormGrad(dx, dy, x, mean, rstd, gamma Array) {
	rows, c := mean.size(), gamma.size()
	a := layerNormGradArgs{Dx: dx.Ptr, Dy: dy.Ptr, X: x.Ptr, Mean: mean.Ptr, Rstd: rstd.Ptr,
		Gamma: gamma.Ptr, Rows: int64(rows), C: int64(c), Vec: packed(c, dx, dy, x, gamma)}
	entry := "layer_norm_grad" + suffix("LayerNormGrad", x)
	e.rows(entry, &a.PerRow, rows, c, func(g [3]int) {
		emit(e, entry, a, g, [3]uint32{block, 1, 1}, 0)
	})
}

// packed reports whether rows of c elements can be read 16 bytes at a time from all of ts.
func packed(c int, ts ...Array) int32 {
	for _, t := range ts {
		if !t.absent() && vec(t, c) == 0 {
			return 0
		}
	}
	return 1
}
