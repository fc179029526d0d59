package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"afterimage/tensor"
)

// freeKeys are the configuration's keys that a run may change on its way: where the images lie, and
// what is kept on the disk or in memory meanwhile. Every number comes out the same.
func freeKeys() []string { return []string{"data", "save_every", "recompute"} }

// sameConfig returns an error that names the keys in which the run's configuration differs from the
// one that led to its checkpoint; with another the run would be neither the one nor the other, and
// its config.yaml would not tell. was is empty in checkpoints of versions that did not keep it.
func (r *Run) sameConfig(was string) error {
	if was == "" || was == string(r.config) {
		return nil
	}
	before, err := flatYAML([]byte(was))
	if err != nil {
		return tensor.Refuse("train: %s: the configuration in the checkpoint: %w", r.Dir, err)
	}
	now, err := flatYAML(r.config)
	if err != nil {
		return damagedConfig(r.Dir, err)
	}
	keys := map[string]bool{}
	for k := range before {
		keys[k] = before[k] != now[k]
	}
	for k := range now {
		keys[k] = before[k] != now[k]
	}
	var changed []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if keys[k] && !slices.Contains(freeKeys(), k) {
			changed = append(changed, fmt.Sprintf("%s is %s: expected %s", k, shown(now, k),
				shown(before, k)))
		}
	}
	if changed == nil {
		return nil
	}
	return tensor.Refuse("train: %s was changed since the run's last checkpoint: %s: undo the "+
		"change, or start a new run with --out", r.Path(ConfigFile), strings.Join(changed, "; "))
}

// shown returns a key's value for a message.
func shown(values map[string]string, key string) string {
	if v, ok := values[key]; ok {
		return v
	}
	return "absent"
}

// flatYAML returns the values of a configuration by the path of their keys, "attack.eps". Order,
// comments and the way a number is written do not count.
func flatYAML(text []byte) (map[string]string, error) {
	var tree map[string]any
	if err := decodeYAML(text, &tree); err != nil {
		return nil, err
	}
	flat := map[string]string{}
	flatten(flat, "", tree)
	return flat, nil
}

func flatten(into map[string]string, prefix string, tree map[string]any) {
	for k, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			flatten(into, prefix+k+".", sub)
		} else {
			into[prefix+k] = fmt.Sprint(v)
		}
	}
}
