package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
)

// ErrStopped is wrapped by what a training returns that saved a checkpoint and ended because it was
// asked to.
var ErrStopped = errors.New("stopped as asked")

// ErrDiverged is wrapped by the error of a training that met a NaN, an infinity or a collapse. Its
// last checkpoint is intact.
var ErrDiverged = errors.New("the training went wrong")

// checkFinite is Move.Check on gradients grads of params, whose squared norm is norm.
func checkFinite(
	step int, loss, norm float64, params nn.Params, grads []*autodiff.Value, others []nn.Named,
) error {
	if finite(loss) && finite(norm) {
		return nil
	}
	bad := fmt.Errorf("train: step %d: %w: the loss is %g", step, ErrDiverged, loss)
	const next = "try a lower learning rate"
	for _, p := range append(slices.Clone(params), others...) {
		if k := p.Param.T.FirstNonFinite(); k >= 0 {
			return fmt.Errorf("%w; parameter %s is not finite at element %d: %s", bad, p.Name, k, next)
		}
	}
	for i, g := range grads {
		if k := g.Tensor().FirstNonFinite(); k >= 0 {
			return fmt.Errorf("%w; all parameters are finite, the gradient of %s is not: %s", bad,
				params[i].Name, next)
		}
	}
	if finite(loss) {
		return fmt.Errorf("%w; all gradients are finite, but the sum of their squares is %g: %s", bad,
			norm, next)
	}
	return fmt.Errorf("%w; all parameters and gradients are finite: look at the data", bad)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Explain adds to the error of a training that went wrong what of the run is left; other errors it
// returns as they are.
func (r *Run) Explain(err error) error {
	switch {
	case !errors.Is(err, ErrDiverged):
		return err
	case r.saved == 0:
		return fmt.Errorf("%w; no checkpoint had been written yet", err)
	}
	return fmt.Errorf("%w; the checkpoint of step %d is intact", err, r.saved)
}

// Stopped returns the error of a training that was asked to stop and has written a checkpoint.
func (r *Run) Stopped(step, total int) error {
	return fmt.Errorf("train: %w at step %d of %d: the checkpoint is written, go on with --resume %s",
		ErrStopped, step, total, r.Dir)
}

// A Clock measures a training's seconds across its starts.
type Clock struct{ start time.Time }

// metaSeconds is the metadata key under which a checkpoint keeps the seconds spent so far.
const metaSeconds = "seconds"

// StartClock goes on from a checkpoint's metadata, from 0 without one.
func StartClock(meta map[string]string) Clock {
	spent := time.Duration(parseFloat(meta[metaSeconds]) * float64(time.Second))
	return Clock{time.Now().Add(-spent)}
}

// Seconds returns the seconds spent so far.
func (c Clock) Seconds() float64 { return time.Since(c.start).Seconds() }

// Meta adds the seconds spent so far to a checkpoint's metadata, which may be nil.
func (c Clock) Meta(meta map[string]string) map[string]string {
	if meta == nil {
		meta = map[string]string{}
	}
	meta[metaSeconds] = formatFloat(c.Seconds())
	return meta
}

// Export writes a classifier alone, without optimizer state, as checkpoints/name: what later
// commands load. score is its accuracy on the held-out images.
func (r *Run) Export(name string, m *models.Classifier, step int, score float64) error {
	f := m.Export()
	f.Metadata[metaStep] = strconv.Itoa(step)
	f.Metadata["val_accuracy"] = formatFloat(score)
	return checkpoint.SaveSafetensors(r.Path(CheckpointDir, name), f, checkpoint.Sealed())
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func parseFloat(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return v
}
