package nn

import "afterimage/autodiff"

// FixSpectral gives a pass the singular vectors u [1 out] and v [1 rest], so that a difference
// quotient sees σ as the function of W that is differentiated: with u and v constant.
func FixSpectral(c *Ctx, s *SpectralNorm, u, v *autodiff.Value) {
	c.derived[spectralVectors{s}] = uv{u: u, v: v}
}
