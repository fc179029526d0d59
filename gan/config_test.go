package gan

import (
	"math"
	"strings"
	"testing"
)

// TestImpossibleNetworks: each error names the field, and nothing that was asked for is left out
// without a word.
func TestImpossibleNetworks(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"g_mult has 1":               func(c *Config) { c.GMult, c.Size = c.GMult[:1], 4 },
		"g_mult has 64":              func(c *Config) { c.GMult, c.Size = make([]int, 64), 0 },
		"size 31":                    func(c *Config) { c.Size = 31 },
		"g_mult [4 4 4 0]":           func(c *Config) { c.GMult[3] = 0 },
		"d_mult [4 4 4 -4]":          func(c *Config) { c.DMult[3] = -4 },
		"4611686018427387904":        func(c *Config) { c.GMult[0] = 1 << 62 },
		"sn_eps NaN":                 func(c *Config) { c.SNEps = math.NaN() },
		"bn_eps +Inf":                func(c *Config) { c.BNEps = math.Inf(1) },
		"g_attention is 17":          func(c *Config) { c.GAttention = 17 },
		"d_attention is 32":          func(c *Config) { c.DAttention = 32 }, // not halved
		"g_attention is 16, where":   func(c *Config) { c.GAttention, c.ChG = 16, 1 },
		"halves a 32-pixel image":    func(c *Config) { c.DMult, c.DDown = sixTimes(4, true) },
		"z_dim 81 is not a multiple": func(c *Config) { c.ZDim = 81 },
	} {
		c := BigGAN32(16, 10)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for _, c := range []Config{Slim32(1, 1), BigGAN64(2, 10), BigGAN128(96, 1000)} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func sixTimes(mult int, down bool) ([]int, []bool) {
	m, d := make([]int, 6), make([]bool, 6)
	for i := range m {
		m[i], d[i] = mult, down
	}
	return m, d
}
