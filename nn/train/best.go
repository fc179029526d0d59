package train

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// keepBest returns the k best (score, file) pairs of list after adding one; a higher score is
// better, and of two equal ones the earlier stays first.
func keepBest(list []scored, s scored, k int) []scored {
	list = append(slices.Clone(list), s)
	slices.SortStableFunc(list, func(a, b scored) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return list[:min(k, len(list))]
}

// A scored names a checkpoint and how well it did on the held-out images.
type scored struct {
	File  string
	Score float64
}

const bestPrefix = "best-"

// bestName returns the name of the checkpoint of a step that may become one of the best.
func bestName(step int) string { return fmt.Sprintf("%s%06d.safetensors", bestPrefix, step) }

// prune removes the checkpoints of this kind that are not in keep.
func (r *Run) prune(keep []scored) error {
	entries, err := os.ReadDir(r.Path(CheckpointDir))
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), bestPrefix) &&
			!slices.ContainsFunc(keep, func(s scored) bool { return s.File == e.Name() }) {
			if err := os.Remove(r.Path(CheckpointDir, e.Name())); err != nil {
				return fmt.Errorf("train: %w", err)
			}
		}
	}
	return nil
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
