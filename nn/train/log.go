package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// ReadMetrics returns the lines of a run's log. A last line cut short by a crash is left out.
func ReadMetrics(dir string) ([]map[string]float64, error) {
	raw, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	var out []map[string]float64
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var line map[string]any
		if json.Unmarshal(sc.Bytes(), &line) != nil {
			break
		}
		m := map[string]float64{}
		for k, v := range line {
			switch v := v.(type) {
			case float64:
				m[k] = v
			case string:
				m[k], _ = strconv.ParseFloat(v, 64)
			}
		}
		out = append(out, m)
	}
	return out, sc.Err()
}
