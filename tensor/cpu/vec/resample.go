package vec

// Pool2x2 adds 2×2 blocks of one pair of NHWC image rows:
//
//	dst[w,c] = ((top[2w,c] + top[2w+1,c]) + (bottom[2w,c] + bottom[2w+1,c])) · scale
//
// for dst [W, C] and top, bottom [2W, C]. With scale 1/4 it is average pooling, with 1 the
// gradient of Upsample2x2. dst must not overlap top or bottom.
func Pool2x2(dst, top, bottom []float32, c int, scale float32) {
	wholeRows("Pool2x2", len(dst), c)
	sameLen("Pool2x2", 2*len(dst), len(top), len(bottom))
	active.pool2x2(dst, top, bottom, c, scale)
}

// Upsample2x2 writes one NHWC image row to two rows of twice the width, nearest neighbour:
//
//	top[2w,c] = top[2w+1,c] = bottom[2w,c] = bottom[2w+1,c] = x[w,c] · scale
//
// for x [W, C] and top, bottom [2W, C]. With scale 1 it is up-sampling, with 1/4 the gradient of
// average pooling. The outputs must not overlap x.
func Upsample2x2(top, bottom, x []float32, c int, scale float32) {
	wholeRows("Upsample2x2", len(x), c)
	sameLen("Upsample2x2", 2*len(x), len(top), len(bottom))
	active.upsample2x2(top, bottom, x, c, scale)
}

func pool2x2Go(dst, top, bottom []float32, c int, scale float32) {
	for ; len(dst) > 0; dst, top, bottom = dst[c:], top[2*c:], bottom[2*c:] {
		for i := range dst[:c] {
			dst[i] = ((top[i] + top[c+i]) + (bottom[i] + bottom[c+i])) * scale
		}
	}
}

func upsample2x2Go(top, bottom, x []float32, c int, scale float32) {
	for ; len(x) > 0; top, bottom, x = top[2*c:], bottom[2*c:], x[c:] {
		for i, v := range x[:c] {
			v *= scale
			top[i], top[c+i] = v, v
			bottom[i], bottom[c+i] = v, v
		}
	}
}
