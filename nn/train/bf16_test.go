package train_test

import (
	"path/filepath"
	"testing"

	"afterimage/nn/train"
	"afterimage/tensor"
	"afterimage/tensor/cpu"
	"afterimage/tensor/cpu/gemm"
)

// halfPrecision opens a backend that multiplies in bfloat16, or skips the test.
func halfPrecision(t *testing.T, threads int) *cpu.Backend {
	t.Helper()
	if !gemm.HasBF16() {
		t.Skip("no AVX512_BF16 here")
	}
	b := cpu.Open(threads)
	t.Cleanup(b.Close)
	if err := b.SetPrecision(tensor.BF16); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBF16Learns: the same small training in float32 and in bfloat16. The loss falls by the same
// amount within a fifth (rounding by 2⁻⁸ is small beside the noise of batches of 16),
// and not to the same number.
func TestBF16Learns(t *testing.T) {
	if testing.Short() {
		t.Skip("short: two trainings")
	}
	half := halfPrecision(t, 2)
	single := cpu.Open(2)
	defer single.Close()
	cfg := tiny()
	cfg.TrainImages, cfg.ValImages, cfg.Batch, cfg.Epochs, cfg.SaveEvery = 64, 8, 16, 12, 0
	// to be learnt by heart
	cfg.Attack, cfg.Flip, cfg.Crop, cfg.Smoothing = train.Adversary{}, false, 0, 0
	losses := func(b tensor.Backend) (first, last float64) {
		dir := filepath.Join(t.TempDir(), "run")
		finish(t, b, dir, cfg, nil)
		lines, err := train.ReadMetrics(dir)
		if err != nil || len(lines) != 12 {
			t.Fatalf("%d lines of metrics, error %v", len(lines), err)
		}
		return lines[0]["loss"], lines[11]["loss"]
	}
	from, to := losses(single)
	fromHalf, toHalf := losses(half)
	t.Logf("loss in f32 %.4f … %.4f, in bf16 %.4f … %.4f", from, to, fromHalf, toHalf)
	fall, other := from-to, fromHalf-toHalf
	if !(fall > 0.2) || !(other > 0.8*fall && other < 1.2*fall) {
		t.Errorf("the loss fell by %.3f in f32, by %.3f in bf16", fall, other)
	}
	if to == toHalf {
		t.Error("the losses are equal: is that bf16?")
	}
}

// TestBF16ResumeIsExact compares an interrupted training in bfloat16 with an undisturbed one on
// another number of threads.
func TestBF16ResumeIsExact(t *testing.T) {
	one, two := halfPrecision(t, 1), halfPrecision(t, 2)
	dir, cfg := t.TempDir(), tiny()
	whole, part := filepath.Join(dir, "whole"), filepath.Join(dir, "part")
	finish(t, one, whole, cfg, nil)
	if n := finish(t, two, part, cfg, func(s int) bool { return s == 3 }); n != 2 {
		t.Errorf("%d starts, expected 2", n)
	}
	same(t, "half and half", whole, part)
}
