//go:build amd64 && !purego

package vec

type tapLoop = func(y, x, w, init *float32, tiles, c, kh, kw, step, out, skip, col, wskip, wcol,
	from, next int)

// tapSums takes tiles of 8, 4, 2 and 1 pixels, as many of the largest as there are. shared holds,
// by the number of columns of taps, loops of 8 pixels that lie as far apart as the taps.
func tapSums(tiles [4]tapLoop, shared [8]tapLoop) func(y, x, w, init []float32, t Taps) {
	return func(y, x, w, init []float32, t Taps) {
		const b = 4 // bytes of a float
		skip, wskip := b*(t.Row-t.KW*t.Col), b*(t.WRow-t.KW*t.WCol)
		j := 0
		for i, tile := range tiles {
			pixels, skip := 8>>i, skip
			if i == 0 && t.KW < len(shared) && shared[t.KW] != nil && t.Step == t.Col {
				tile, skip = shared[t.KW], b*(t.Row-pixels*t.Step)
			}
			per := max(1, span/(t.KH*t.KW*t.C*pixels)) // tiles of a call
			for left := (t.Count - j) / pixels; left > 0; {
				n := min(per, left)
				tile(&y[j*t.Out], &x[j*t.Step], &w[0], &init[j*t.From], n, b*t.C, t.KH, t.KW, b*t.Step,
					b*t.Out, skip, b*t.Col, wskip, b*t.WCol, b*t.From, b*t.Next)
				j += n * pixels
				left -= n
			}
		}
	}
}

// The taps of which a loop keeps the sums in registers, at most.
const gradRows, gradCols = 3, 7

type gradLoop = func(sum, x, dy *float32, c, rows, cols, step, skip, dyStep, dySkip, tapRow, tapCol,
	sumCol, sumSkip int, nextX, nextDY *float32, nextStep int)

// tapGrads takes as many rows and columns of taps at a time as there is a loop for: one for each
// number of rows and columns, nil where the registers do not suffice.
func tapGrads(loops [gradRows][gradCols]gradLoop) func(sum, x, dy []float32, t TapPixels) {
	return func(sum, x, dy []float32, t TapPixels) {
		nextX, nextDY := &x[0], &dy[0]
		if len(t.NextX) > 0 && len(t.NextDY) > 0 {
			nextX, nextDY = &t.NextX[0], &t.NextDY[0]
		}
		const b = 4 // bytes of a float
		for v := 0; v < t.KW; v += gradCols {
			w := min(gradCols, t.KW-v)
			for u := 0; u < t.KH; {
				h := min(gradRows, t.KH-u)
				for loops[h-1][w-1] == nil {
					h--
				}
				tap, at := u*t.TapRow+v*t.TapCol, u*t.SumRow+v*t.SumCol
				per := max(1, span/(h*w*t.C*t.Cols)) // rows of a call
				for i := 0; i < t.Rows; i += per {
					loops[h-1][w-1](&sum[at], &x[i*t.XRow+tap], &dy[i*t.DYRow], b*t.C, min(per, t.Rows-i),
						t.Cols, b*t.XCol, b*(t.XRow-t.Cols*t.XCol), b*t.DYCol, b*(t.DYRow-t.Cols*t.DYCol),
						b*t.TapRow, b*t.TapCol, b*t.SumCol, b*(t.SumRow-w*t.SumCol), nextX, nextDY, b*t.NextStep)
				}
				u += h
			}
		}
	}
}
