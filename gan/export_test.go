package gan

// CheckCollapse lets tests feed the check with shares of their own.
func (t *Trainer) CheckCollapse(step int, share float64) error {
	return t.checkCollapse(step, share)
}
