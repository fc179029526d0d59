//go:build amd64 && !purego

package vec

type tapLoop = func(y, x, w, init *float32, tiles, c, kh, kw, step, out, skip, col, wskip, wcol,
	from int)

// tapSums takes tiles of 8, 4, 2 and 1 pixels, as many of the largest as there are.
func tapSums(tiles [4]tapLoop) func(y, x, w, init []float32, t Taps) {
	return func(y, x, w, init []float32, t Taps) {
		const b = 4 // bytes of a float
		skip, wskip := b*(t.Row-t.KW*t.Col), b*(t.WRow-t.KW*t.WCol)
		j := 0
		for i, tile := range tiles {
			pixels := 8 >> i
			per := max(1, span/(t.KH*t.KW*t.C*pixels)) // tiles of a call
			for left := (t.Count - j) / pixels; left > 0; {
				n := min(per, left)
				tile(&y[j*t.Out], &x[j*t.Step], &w[0], &init[j*t.From], n, b*t.C, t.KH, t.KW, b*t.Step,
					b*t.Out, skip, b*t.Col, wskip, b*t.WCol, b*t.From)
				j += n * pixels
				left -= n
			}
		}
	}
}
