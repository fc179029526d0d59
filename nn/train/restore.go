package train

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"syscall"

	"afterimage/nn"
	"afterimage/nn/checkpoint"
	"afterimage/nn/data"
	"afterimage/tensor"
)

// The metadata keys of a checkpoint.
const (
	metaStep    = "step"
	metaMetrics = "metrics_bytes"
	metaConfig  = "config" // the text of the configuration that led here
	metaData    = "data"   // the fingerprint of the data set, where that has one
)

// On names the data set that the run is trained on, before Save and Restore: of a folder's images
// the checkpoints keep a fingerprint.
func (r *Run) On(set *data.Set) { r.set, r.print = set.Name, set.Fingerprint() }

// Save writes all parameters of state and the step reached as checkpoints/name, whole or not at
// all, sealed by a checksum, with the configuration that led to it. The log is synced first, and
// its length noted, so that Restore can cut it back to this moment. A state with a NaN or an
// infinity is refused with ErrDiverged, so that what stands on the disk can always be gone on from.
func (r *Run) Save(name string, state nn.Params, step int, meta map[string]string) error {
	if err := r.finite(state, step); err != nil {
		return err
	}
	// EINVAL: a pipe, a device
	if err := r.metrics.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("train: metrics: %w", err)
	}
	f := checkpoint.NewFile()
	maps.Copy(f.Metadata, meta)
	f.Metadata[metaStep] = strconv.Itoa(step)
	f.Metadata[metaMetrics] = strconv.FormatInt(r.written, 10)
	if err := nn.Store(f, state); err != nil {
		return err
	}
	f.Metadata[metaConfig] = string(r.config)
	if r.print != "" {
		f.Metadata[metaData] = r.print
	}
	err := checkpoint.SaveSafetensors(r.Path(CheckpointDir, name), f, checkpoint.Sealed())
	if err != nil {
		return err
	}
	r.saved = step
	return nil
}

// finite returns an error that wraps ErrDiverged if a parameter of state holds a NaN or an
// infinity.
func (r *Run) finite(state nn.Params, step int) error {
	for _, p := range state {
		if k := p.Param.T.FirstNonFinite(); k >= 0 {
			return fmt.Errorf("train: step %d: %w: %s is not finite at element %d: "+
				"try a lower learning rate", step, ErrDiverged, p.Name, k)
		}
	}
	return nil
}

// Restore reads checkpoints/name into state, which must have the same names and shapes, cuts the
// log back to the moment of the checkpoint, and returns the step reached and the metadata. Without
// such a checkpoint it empties the log and returns step 0: the run starts from the beginning.
//
// It returns an error if the checkpoint has changed since it was written, or the configuration in
// anything that the training's result depends on, or the images of the folder that On named. So it
// does if the checkpoint is missing and final, the file that the training writes behind its last
// checkpoint, is there: to begin again would lose it. Checkpoints of earlier versions, which have
// no checksum, configuration or fingerprint, are taken as they are.
func (r *Run) Restore(
	name, final string, state nn.Params,
) (step int, meta map[string]string, err error) {
	f, err := checkpoint.Open(r.Path(CheckpointDir, name))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(r.Path(CheckpointDir, final)); err == nil {
			return 0, nil, tensor.Refuse("train: the run has ended, with %s, and its %s is gone: there is "+
				"nothing to go on with; train anew with another --out", final, name)
		}
		return 0, nil, errors.Join(r.cut(0), r.openEvents(), r.record())
	}
	if err != nil {
		return 0, nil, err
	}
	if err := r.sameConfig(f.Metadata[metaConfig]); err != nil {
		return 0, nil, err
	}
	if was, ok := f.Metadata[metaData]; ok && r.print != "" && was != r.print {
		return 0, nil, tensor.Refuse("train: the images of %s are not those that the run was begun "+
			"with: restore them, or start a new run", r.set)
	}
	if err := nn.Restore(f, state); err != nil {
		return 0, nil, err
	}
	step, err1 := strconv.Atoi(f.Metadata[metaStep])
	size, err2 := strconv.ParseInt(f.Metadata[metaMetrics], 10, 64)
	err = errors.Join(err1, err2)
	if err == nil && (step < 0 || size < 0) {
		err = tensor.Refuse("step %d after %d bytes of log", step, size)
	}
	if err != nil {
		return 0, nil, tensor.Refuse("train: %s: not a checkpoint of a run: %w",
			r.Path(CheckpointDir, name), err)
	}
	r.saved = step
	if err := errors.Join(r.cut(size), r.openEvents()); err != nil {
		return 0, nil, err
	}
	return step, f.Metadata, r.record()
}

func (r *Run) cut(size int64) error {
	if size > r.written {
		return tensor.Refuse("train: %s is shorter (%d bytes) than its checkpoint says (%d): it was "+
			"changed by hand; start a new run", r.Path(MetricsFile), r.written, size)
	}
	if size == r.written {
		return nil
	}
	if err := r.metrics.Truncate(size); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	if _, err := r.metrics.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	r.written = size
	return nil
}
