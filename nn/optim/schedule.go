package optim

import "math"

// A Schedule returns the learning rate of a step; steps count from 0.
type Schedule func(step int) float64

// Constant returns lr at every step.
func Constant(lr float64) Schedule { return func(int) float64 { return lr } }

// Steps multiplies lr by factor at each milestone: a step at or behind k milestones has lr·factorᵏ.
func Steps(lr, factor float64, milestones ...int) Schedule {
	return func(step int) float64 {
		v := lr
		for _, m := range milestones {
			if step >= m {
				v *= factor
			}
		}
		return v
	}
}

// Cosine falls from lr at step 0 to floor at step total and stays there:
// floor + (lr−floor)·(1 + cos(π·step/total))/2. With a total of 0 it is at floor from the start.
//
// Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
func Cosine(lr, floor float64, total int) Schedule {
	return func(step int) float64 {
		if step >= total {
			return floor
		}
		x := float64(step) / float64(total)
		return floor + (lr-floor)*(1+math.Cos(math.Pi*x))/2
	}
}

// Triangular rises from 0 at step 0 to peak at step top and falls to 0 at step total, both
// linearly: the one-cycle schedule of fast adversarial training.
//
// Source: Smith, "Cyclical learning rates for training neural networks", 2017; Wong et al., "Fast
// is better than free", ICLR 2020.
func Triangular(peak float64, top, total int) Schedule {
	return func(step int) float64 {
		switch {
		case step < top:
			return peak * float64(step) / float64(top)
		case step < total:
			return peak * float64(total-step) / float64(total-top)
		}
		return 0
	}
}

// OneCycle rises from peak/div at step 0 to peak at step top and falls to peak/div/finalDiv at step
// total, both along half a cosine, as torch.optim's OneCycleLR (div 25, finalDiv 1e4 there).
//
// Source: Smith and Topin, "Super-convergence", 2018.
func OneCycle(peak, div, finalDiv float64, top, total int) Schedule {
	start := peak / div
	up, down := Cosine(start, peak, top), Cosine(peak, start/finalDiv, total-top)
	return func(step int) float64 {
		if step < top {
			return up(step)
		}
		return down(step - top)
	}
}

// WarmUp multiplies the first n steps of s by (step+1)/n, so that no step has rate 0.
func WarmUp(n int, s Schedule) Schedule {
	return func(step int) float64 {
		if step < n {
			return s(step) * float64(step+1) / float64(n)
		}
		return s(step)
	}
}
