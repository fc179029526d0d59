package gan

import (
	"testing"

	"afterimage/nn"
)

// TestParameterCounts compares with counts printed by BigGAN implementations: compare_gan's unit
// test (128 pixels), PyTorch-StudioGAN's training log (CIFAR-10, ch 96), and counts computed from
// the layer tables of BigGAN's authors' code.
func TestParameterCounts(t *testing.T) {
	studio := BigGAN32(96, 10)
	studio.GAttention, studio.DAttention = 16, 16
	studio.DMult = []int{2, 2, 2, 2}
	authors := BigGAN32(64, 10)
	half := BigGAN32(32, 10)
	pilot := Slim32(16, 10)
	for _, tc := range []struct {
		name string
		c    Config
		g, d int
	}{
		{"128px ch96", BigGAN128(96, 1000), 70_433_988, 87_982_370},
		{"128px ch64", BigGAN128(64, 1000), 31_978_628, 39_448_258},
		{"studio cifar ch96", studio, 9_416_196, 2_415_170},
		{"32px ch64", authors, 4_287_235, 4_207_361},
		{"32px ch32", half, 1_210_371, 1_055_105},
		{"pilot ch16", pilot, 219_043, 149_361},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n := nn.Count(NewGenerator(tc.c)); n != tc.g {
				t.Errorf("generator has %d parameters, published %d", n, tc.g)
			}
			if n := nn.Count(NewDiscriminator(tc.c)); n != tc.d {
				t.Errorf("discriminator has %d parameters, published %d", n, tc.d)
			}
		})
	}
}
