package train

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"afterimage/autodiff"
	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/models"
)

// ErrStopped is what a training returns that saved a checkpoint and ended because it was asked to.
var ErrStopped = errors.New("stopped; go on with --resume")

// ErrDiverged is wrapped by the error of a training that met a NaN, an infinity or a collapse. Its last
// checkpoint is intact.
var ErrDiverged = errors.New("the training went wrong")

// Finite returns an error that names the step and the first tensor with a NaN or an infinity when
// the loss is not finite. Parameters are looked at first: a gradient follows from them.
func Finite(step int, loss float64, params nn.Params, grads []*autodiff.Value) error {
	if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		return nil
	}
	for _, p := range params {
		if k := p.Param.T.FirstNonFinite(); k >= 0 {
			return fmt.Errorf("train: step %d: %w: the loss is %g; parameter %s is not finite at element %d; "+
				"the last checkpoint is intact: try a lower learning rate", step, ErrDiverged, loss, p.Name, k)
		}
	}
	for i, g := range grads {
		if k := g.Tensor().FirstNonFinite(); k >= 0 {
			return fmt.Errorf("train: step %d: %w: the loss is %g; all parameters are finite, the gradient of %s is not; "+
				"the last checkpoint is intact: try a lower learning rate", step, ErrDiverged, loss, params[i].Name)
		}
	}
	return fmt.Errorf("train: step %d: %w: the loss is %g; the last checkpoint is intact", step, ErrDiverged, loss)
}

// Export writes a classifier alone, without optimizer state, as checkpoints/name: what later commands
// load. score is its accuracy on the held-out images.
func (r *Run) Export(name string, m *models.Classifier, step int, score float64) error {
	f := m.Export()
	f.Metadata[metaStep] = strconv.Itoa(step)
	f.Metadata["val_accuracy"] = formatFloat(score)
	return checkpoint.SaveSafetensors(r.Path(CheckpointDir, name), f)
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func parseFloat(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return v
}

// formatBest writes the list of best checkpoints as "file score file score …".
func formatBest(list []scored) string {
	var s []string
	for _, b := range list {
		s = append(s, b.File, formatFloat(b.Score))
	}
	return strings.Join(s, " ")
}

func parseBest(s string) []scored {
	f := strings.Fields(s)
	var out []scored
	for i := 0; i+1 < len(f); i += 2 {
		out = append(out, scored{f[i], parseFloat(f[i+1])})
	}
	return out
}
