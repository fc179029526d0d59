package main

import (
	"encoding/json"
	"strings"
	"testing"

	"afterimage/nn/models"
)

// TestModels compares the list with counts published for the architectures (nn/models and gan check
// more of them) and wants every architecture in both forms.
func TestModels(t *testing.T) {
	var list []architecture
	if err := json.Unmarshal([]byte(mustCall(t, "models", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if want := len(models.List()) + 8; len(list) != want {
		t.Errorf("%d architectures, expected %d", len(list), want)
	}
	published := map[string]int{"resnet20-cifar classifier": 269_722,
		"resnet50 classifier": 25_557_032, "biggan128 (ch 96) generator": 70_433_988,
		"biggan128 (ch 96) discriminator": 87_982_370}
	table := mustCall(t, "models")
	for _, a := range list {
		if want, ok := published[a.Name+" "+a.Kind]; ok && a.Parameters != want {
			t.Errorf("%s %s has %d parameters, published %d", a.Name, a.Kind, a.Parameters, want)
		}
		delete(published, a.Name+" "+a.Kind)
		if a.MACs <= 0 || !strings.Contains(table, grouped(a.Parameters)) ||
			!strings.Contains(table, grouped(a.MACs)) {
			t.Errorf("the table does not show %s: %d parameters, %d MACs", a.Name, a.Parameters, a.MACs)
		}
	}
	if len(published) > 0 {
		t.Errorf("not in the list: %v", published)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for _, line := range lines[1:] {
		if got, want := len([]rune(line)), len([]rune(lines[0])); got != want {
			t.Errorf("%q is %d characters wide, the heading %d", line, got, want)
		}
	}
}
